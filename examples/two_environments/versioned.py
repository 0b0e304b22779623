"""Knows which python it runs on."""
import sys

import six


def version():
    """Such as "3.12"; `six` stands for what differs between pythons."""
    return six.ensure_text("%d.%d" % sys.version_info[:2])
