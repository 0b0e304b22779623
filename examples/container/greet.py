"""Greets from inside a container."""

import sys

import six


def main():
    name = sys.argv[1] if len(sys.argv) > 1 else "you"
    print("hello %s, from python %d.%d.%d with six %s" % ((name,) + sys.version_info[:3] + (six.__version__,)))


if __name__ == "__main__":
    main()
