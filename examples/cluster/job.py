"""Spread work over the workers of a Dask cluster, and tell where it ran: ./prime job [TASKS [SECONDS]]."""

import os
import sys
import time

import six
from distributed import Client


def work(number, seconds):
    """What one task does: it says which environment it ran in."""
    time.sleep(seconds)
    return number * number, sys.prefix, os.getpid(), six.__version__


def main():
    words = sys.argv[1:]
    count, seconds = int(words[0] if words else 100), float(words[1] if words[1:] else 0.01)
    with Client(scheduler_file=".cluster.json") as client:
        found = client.gather(client.map(work, range(count), seconds=seconds, pure=False))
    assert [each[0] for each in found] == [number * number for number in range(count)]
    print("%d tasks in %d workers, environments: %s, six: %s" % (
        count, len({each[2] for each in found}), " ".join(sorted({os.path.basename(each[1]) for each in found})),
        " ".join(sorted({each[3] for each in found}))))


if __name__ == "__main__":
    main()
