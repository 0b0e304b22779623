"""Says which python it runs on."""
import sys

import six


def main():
    """Print one line."""
    print("hello from python %d.%d, with six %s" % (sys.version_info[:2] + (six.__version__,)))


if __name__ == "__main__":
    main()
