"""What the others share."""
import six


def greeting(host):
    """One line for a host name, str or bytes."""
    return "hello " + six.ensure_str(host)
