"""What ./dns-name does, on the python and with the dependencies that the repo requires."""
import sys

import idna


def main():
    """Print a line per argument. What this returns ends the process, as sys.exit would."""
    if len(sys.argv) == 1:
        return "usage: dns-name HOST..."
    status = 0
    for host in sys.argv[1:]:
        try:
            print(idna.encode(host).decode())
        except idna.IDNAError as problem:
            print("%s: %s" % (host, problem), file=sys.stderr)
            status = 3
    return status
