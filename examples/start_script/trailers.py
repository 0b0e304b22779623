"""What ./commit-msg does, on the python and with the dependencies that the repo requires."""
import re
import sys

import idna


def main():
    """Check the message in the file that git names. Returns what is wrong with it, or None."""
    with open(sys.argv[1], encoding="utf-8") as message:
        hosts = re.findall(r"^[\w-]+: .*<[^@>]+@([^>]*)>", message.read(), re.MULTILINE)
    for host in hosts:
        try:
            idna.encode(host)
        except idna.IDNAError as problem:
            return "commit-msg: no mail gets to %s: %s" % (host, problem)
    return None
