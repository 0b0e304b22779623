"""Runs a worksheet: each line of stdin is python, in one namespace; `%env NAME` goes on in environment NAME."""
import os
import subprocess
import sys
import traceback

import proto_prime

HERE = os.path.dirname(os.path.abspath(__file__))
WHERE = ["run", "python", "-c", "import sys; print(sys.prefix)"]


def find_environment(name):
    """The directory of an environment of this repo, which is made current first. Errors are already told."""
    prime = [sys.executable, os.path.join(HERE, "prime"), "-q", "-e", name]
    return subprocess.run(prime + WHERE, stdout=subprocess.PIPE, check=True, universal_newlines=True).stdout.strip()


def evaluate(line, namespace):
    """Run a line; what an expression yields is printed, and so is what goes wrong."""
    try:
        exec(compile(line, "<worksheet>", "single"), namespace)
    except Exception:  # as a notebook does, go on with the next one
        traceback.print_exc(limit=0, file=sys.stdout)


def main():
    namespace, switch = {"__name__": "__main__"}, None
    for line in sys.stdin:
        command, _, name = line.strip().partition(" ")
        if command != "%env":
            evaluate(line, namespace)
            continue
        try:
            directory = find_environment(name)
            if switch:
                switch.rollback()
            switch = proto_prime.switch_env(directory)
        except (proto_prime.PrimeError, subprocess.CalledProcessError) as error:
            print("no environment %s: %s" % (name, error))


if __name__ == "__main__":
    main()
