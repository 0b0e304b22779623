"""Greets hosts, by the name that a resolver would use."""
import sys

from core import greeting

try:
    import idna
except ImportError:  # the extra idn
    idna = None


def main():
    """Print a line per argument."""
    for host in sys.argv[1:]:
        print(greeting(idna.encode(host) if idna else host))
