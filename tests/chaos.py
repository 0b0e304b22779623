"""Kill boots with SIGKILL while their environment is in use (B1): python tests/chaos.py [--moments N]
[--driver venv_uv|venv_pip|both]

A boot that builds anew is killed at N moments spread evenly over its length, and a little over. At once
another boot follows, which must succeed, whatever the killed one and its children, which live on, left
behind. All the while programs of the environment are started as its users do, and none may ever fail.
Exits 1 if one did, if a boot failed, or if what was half-made stays behind.

Everything happens in a temporary directory, with its own HOME and caches and a copy of the file. The
wheels are fetched first, once; from then on there is no index.
"""

import argparse
import collections
import itertools
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from conftest import PYTHONS, TOP, Repo, fetch_wheels, some_python, uv_program

DRIVERS = ["venv_uv", "venv_pip"]
MARKER = "proto-prime.json"
BEYOND = 1.1  # times a boot's length: the last kills come when it has ended
FIRST = 3  # number of the first boot that is killed; those before it tell how long one takes
PERIOD = 0.05  # seconds between two starts of a user's program
USE = "import six"
PACKAGES = """
import os, site
for place in filter(os.path.isdir, site.getsitepackages()):
    print(place, sorted(set(os.listdir(place)) - {"__pycache__"}))
"""


def wild_python():
    """What starts the boots: where there is a choice not the environment's own, so that each has a hop."""
    return next((path for path in PYTHONS.values() if path != some_python()), some_python())


def change(repo, number):
    """Change an input, so that the next boot builds; in one rename, since a user may read it just now."""
    aside = repo.write("next.toml", 'dependencies = ["six", "six!=0.%d"]\n' % number)
    os.replace(str(aside), str(repo.path / "proto_prime.toml"))


def what_is_wrong(repo, number):
    """Why the environment in use does not fit the config of this number; "" if it does."""
    try:
        told = json.loads((repo.current / MARKER).read_text())
    except (OSError, ValueError) as problem:
        return "the link leads to what is not complete: %s" % problem
    wanted = "six!=0.%d" % number
    is_there = wanted in told["inputs"]["dependencies"]
    return "" if is_there else "the link leads to an environment without %s" % wanted


def packages_of_base():
    """What is installed for the base python, which no boot may touch."""
    return subprocess.check_output([str(some_python()), "-c", PACKAGES]).decode()


class Users(threading.Thread):
    """Starts a program of the environment every 50 ms, inside `with`.

    started   Counter, how many there were of each way to start one
    failures  list of str, what went wrong
    own       path of the generation that is started without the link
    """

    def __init__(self, repo):
        super().__init__(daemon=True)
        self.repo, self.own, self.ending = repo, repo.current, threading.Event()
        self.started, self.failures, self.running = collections.Counter(), [], []

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.join()

    def run(self):
        due = time.monotonic()
        while not self.ending.is_set():
            if len(self.running) < 8:  # a machine that cannot keep up shall not be buried
                self.start_one(sum(self.started.values()))
            self.reap(0)
            due = max(due + PERIOD, time.monotonic())
            self.ending.wait(due - time.monotonic())
        self.reap(120)

    def start_one(self, number):
        """Start the program of this number, by the link and by the generation's own path in turn."""
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        way = "prime run --no-boot" if number % 20 == 19 else "by its own path" if number % 2 else "by the link"
        self.started[way] += 1
        try:
            if not (self.repo.current / MARKER).is_file():
                self.failures.append("the link leads to what is not complete")
            if way == "prime run --no-boot":
                process = self.repo.popen("run", "--no-boot", "--", "python", "-c", USE, **options)
            else:
                prefix = self.own if number % 2 else self.repo.path / ".venv"
                command = [str(prefix / "bin" / "python"), "-c", USE]
                process = subprocess.Popen(command, env=self.repo.env, encoding="utf-8", **options)
            self.running.append((way, process))
        except OSError as problem:
            self.failures.append("%s: %s" % (way, problem))

    def reap(self, seconds):
        """Look at those that have ended, or that do in so many seconds."""
        for way, process in list(self.running):
            if not seconds and process.poll() is None:
                continue
            try:
                said = process.communicate(timeout=seconds or None)[1]
            except subprocess.TimeoutExpired:
                process.kill()
                said = "it hangs"
            if process.returncode:
                self.failures.append("%s: status %s: %s" % (way, process.returncode, said.strip()))
            self.running.remove((way, process))


class Summary:
    """What came of the kills with one driver: counts, and `failures`, a list of str."""

    def __init__(self, moments):
        self.moments, self.lengths, self.killed, self.unbuilt = moments, [], collections.Counter(), 0
        self.started, self.failures, self.left = collections.Counter(), [], {}

    @property
    def length(self):
        """How many seconds a boot that builds takes: of late, since the machine has other work, too."""
        return statistics.median(self.lengths[-3:] or [1])

    @property
    def kills(self):
        return sum(self.killed.values())

    def lines(self):
        yield "a boot takes %.2f s; %d moments, %d boots killed: %s" % (
            statistics.median(self.lengths or [0]), self.moments, self.kills, counted(self.killed))
        yield "%d times there was a complete generation before the next boot came" % self.unbuilt
        yield "%d programs started: %s" % (sum(self.started.values()), counted(self.started))
        yield "left: %s" % counted(self.left)
        yield "%d failures" % len(self.failures)
        for failure in self.failures:
            yield "  " + failure.replace("\n", "\n    ")


def counted(counts):
    """{what: how many} on one line."""
    return ", ".join("%d %s" % (count, what) for what, count in sorted(counts.items()))


def kill_boots(repo, moments):
    """Kill `moments` boots of a repo, whose driver is set. Returns a `Summary`."""
    summary, wild, before = Summary(moments), wild_python(), packages_of_base()
    change(repo, 0)
    repo.prime()
    with Users(repo) as users:
        for number in range(1, FIRST):
            users.own = repo.current
            boot_after(repo, number, wild, summary)
        parts = [(count + 0.5) / moments for count in range(moments)]
        random.Random(1).shuffle(parts)  # else a slow while of the machine would hit one part of a boot
        numbers = itertools.count(FIRST)
        for part in parts:
            for _ in range(2):
                place = kill_one(repo, next(numbers), part, wild, users, summary)
                if place != "too late" or part > 0.7:  # else the machine has become faster: once more
                    break
        wait_for_children(repo, summary)
        users.own = repo.current
        boot_after(repo, next(numbers), wild, summary, ", the last one")  # a quiet one, which cleans up
        told = repo.info()
        if not told["current"]:
            summary.failures.append("in the end the environment is not current: %s" % told["reasons"])
    summary.started = users.started
    summary.failures += users.failures
    summary.left = left_behind(repo)
    if packages_of_base() != before:
        summary.failures.append("the base python was changed: %s, before %s" % (packages_of_base(), before))
    if summary.left["incomplete directories"]:
        summary.failures.append("incomplete directories stay: %s" % ", ".join(incomplete(repo)))
    if summary.kills < moments / 2:
        summary.failures.append("of %d boots only %d were killed before they ended" % (moments, summary.kills))
    return summary


def kill_one(repo, number, part, wild, users, summary):
    """Kill a boot that builds after this part of its length, and boot. Returns what the killed one did."""
    users.own = repo.current
    change(repo, number)
    delay = summary.length * BEYOND * part
    place = boot_and_kill(repo, delay, wild, summary)
    is_built = boot_after(repo, number, wild, summary, " after a kill at %.3f s, %s" % (delay, place))
    summary.unbuilt += not is_built
    return place


def boot_and_kill(repo, delay, wild, summary):
    """Start a boot and kill it after so many seconds, if it has not ended. Returns what it did then."""
    start = time.monotonic()
    boot = repo.popen(python=wild)
    try:
        boot.wait(delay)
        summary.lengths.append(time.monotonic() - start)
    except subprocess.TimeoutExpired:
        boot.kill()
    said = boot.communicate()[1]
    if boot.returncode > 0:
        summary.failures.append("a boot that was not killed: status %s\n%s" % (boot.returncode, said.strip()))
    if boot.returncode >= 0:
        return "too late"
    doing = [line.replace("prime: ", "", 1).split(" (")[0].split(":")[0] for line in said.splitlines()]
    place = "before the build" if not doing else "at its end" if "ready" in doing[-1] else doing[-1]
    summary.killed[place] += 1
    return place


def boot_after(repo, number, wild, summary, when=""):
    """Change an input, if it is not changed yet, and boot, which must succeed. Returns whether it built."""
    change(repo, number)
    start = time.monotonic()
    boot = repo.popen(python=wild)
    try:
        said = boot.communicate(timeout=120)[1]
    except subprocess.TimeoutExpired:
        boot.kill()
        said = boot.communicate()[1] + "it hangs"
    is_built = "prime: building environment" in said
    summary.lengths += [time.monotonic() - start] if is_built else []
    wrong = what_is_wrong(repo, number)
    if boot.returncode or wrong or "Traceback" in said:
        how = "boot %d%s: status %s: %s\n%s" % (number, when, boot.returncode, wrong, said.strip())
        summary.failures.append(how)
    return is_built


def wait_for_children(repo, summary):
    """Wait until no child of a killed boot runs any more, as told by the paths on its command line."""
    deadline, place = time.monotonic() + 60, str(repo.path / ".prime" / "envs").encode()
    while any(place in command and USE.encode() not in command for command in commands()):
        if time.monotonic() > deadline:
            summary.failures.append("children of killed boots still run")
            return
        time.sleep(0.1)


def commands():
    """The command line of each process on this machine, as bytes."""
    if not os.path.isdir("/proc/self"):
        return subprocess.check_output(["ps", "-A", "-w", "-w", "-o", "args="]).splitlines()
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" "))
        except OSError:  # it ended
            pass
    return found


def incomplete(repo):
    """The names of the directories in which a generation was begun and not completed."""
    envs = repo.path / ".prime" / "envs"
    return sorted(path.name for path in envs.iterdir() if not (path / MARKER).is_file())


def left_behind(repo):
    """{what: how many} of all that stays on disk."""
    temporary = list(repo.path.glob(".prime/**/*.tmp")) + list(repo.path.glob(".*.tmp"))
    return {"generations": len(repo.generations), "incomplete directories": len(incomplete(repo)),
            "logs": len(repo.logs), "temporary files": len(temporary)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("--moments", type=int, default=100, metavar="N", help="how many; default 100")
    parser.add_argument("--driver", choices=DRIVERS + ["both"], default="both")
    options = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory(prefix="chaos ") as name:
        base = Path(os.path.realpath(name))
        fetch_wheels(base / "wheels")
        for driver in DRIVERS if options.driver == "both" else [options.driver]:
            repo = Repo(base / driver / "a repo", base / driver / "home", base / "shared", base / "wheels")
            (repo.path / "proto_prime.py").unlink()  # a link, and what it leads to may change meanwhile
            shutil.copy(str(TOP / "proto_prime.py"), str(repo.path))
            repo.env["PROTOPRIMER_VENV_DRIVER"] = driver
            if driver == "venv_uv":
                repo.link("uv", uv_program())
            summary = kill_boots(repo, options.moments)
            print("\n  ".join(["%s:" % driver] + list(summary.lines())), flush=True)
            failed = failed or bool(summary.failures)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
