"""How fast this is against its peers: python tests/benchmark.py [--json] [--runs N] [--only TEXT]

Each row compares medians of interleaved runs, so that what else the machine does hits both sides: a
round runs one side, then the other. Rows whose runs take seconds (first boots) take fewer rounds;
the table says how many. Exits 1 where a limit is missed. A row that cannot be measured says why.

Everything happens in a temporary directory, with its own HOME and caches. The wheels are fetched
first, once, with the ordinary client and the caller's settings; from then on pip and uv both use
that directory alone, and no network is measured. Caches are warm: each thing was done before it is
timed. One interpreter, named by its absolute path, is the wild one, the required one and the peers'.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from conftest import PYTHONS, TOP, fetch_wheels, uv_program

RUNS, SLOW_RUNS = 31, 5
PEER = "protoprimer==0.13.0"
PASS = ["-c", "pass"]
HELLO = TOP / "examples" / "hello"


class NotMeasured(Exception):
    """Why a row has no numbers."""


def wild_python():
    """pyenv's 3.12 if there is one, else the interpreter below the one that runs this."""
    return str(PYTHONS.get("3.12") or os.path.realpath(sys.executable))


class Bench:
    """The directory that all is measured in, and the rows. Peers are set up when a row needs them."""

    def __init__(self, base, runs):
        self.base, self.runs, self.slow_runs = base, runs, min(runs, SLOW_RUNS)
        self.wild, self.uv = wild_python(), uv_program()
        self.wheels, self.log = base / "wheels", base / "log"
        self.fetch()
        config = base / "uv.toml"
        config.write_text("no-index = true\nfind-links = [%s]\n" % json.dumps(str(self.wheels)))
        (base / "bin").mkdir()
        (base / "bin" / "uv").symlink_to(self.uv)
        kept = {name: value for name, value in os.environ.items() if re.match("PIP_|SSL_|REQUESTS_", name)}
        self.env = dict(kept, **{
            "HOME": str(base / "home"),
            "LANG": "C.UTF-8",
            "PATH": os.pathsep.join([str(base / "bin"), os.path.dirname(self.wild), "/usr/bin", "/bin"]),
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": self.wheels.as_uri(),
            "PIP_CACHE_DIR": str(base / "pip cache"),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "UV_CONFIG_FILE": str(config),
            "UV_CACHE_DIR": str(base / "uv cache"),
            "UV_PYTHON_DOWNLOADS": "never",
            "PROTOPRIMER_CACHE_DIR": str(base / "cache"),
        })
        self.ready = {}

    def fetch(self):
        """What both sides install, from the index that the caller's settings name."""
        fetch_wheels(self.wheels)
        command = [self.uv, "tool", "run", "--quiet", "pip", "wheel", "-q", "--no-deps"]
        command += ["--wheel-dir", str(self.wheels), "pip", PEER]
        fetched = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.peer_problem = fetched.stderr.decode().strip() if fetched.returncode else ""

    # Clients: each is made once, and is current when it is first returned.

    def client(self, kind, make):
        if kind not in self.ready:
            path = self.base / kind
            path.mkdir()
            for name in ("hello.py", "pyproject.toml"):
                shutil.copy(str(HELLO / name), str(path))
            make(path)
            self.ready[kind] = path
        return self.ready[kind]

    def ours(self, driver="venv_uv"):
        """A client of ours, with a real copy of the file."""

        def make(path):
            shutil.copy(str(TOP / "proto_prime.py"), str(path))
            shutil.copy(str(HELLO / "prime"), str(path))
            time.sleep(0.1)  # files as fresh as that get no stamp
            for _ in range(3):
                self.prime(path, driver)()

        return self.client("ours " + driver, make)

    def prime(self, path, driver, *argv, **options):
        """A timed side: `prime argv…` in a client of ours."""
        env = {"PROTOPRIMER_VENV_DRIVER": driver}
        return self.side([self.wild, str(path / options.get("file", "prime"))] + list(argv), path, env)

    def uv_project(self):
        """The same project as uv has it: locked and synced."""

        def make(path):
            for _ in range(2):
                self.side([self.uv, "sync", "--python", self.wild], path)()

        return self.client("uv project", make)

    def peer(self, driver):
        """A client of protoprimer as its quick start says: the kernel copied beside pyproject.toml, which
        depends on it (whence it updates itself), and a .python-version, which it insists on."""

        def make(path):
            wheel = next(iter(self.wheels.glob("protoprimer-*.whl")), None)
            if self.peer_problem or not wheel:
                raise NotMeasured("no %s: %s" % (PEER, self.peer_problem[-200:]))
            with zipfile.ZipFile(str(wheel)) as archive:
                (path / "proto_kernel.py").write_bytes(archive.read("protoprimer/primer_kernel.py"))
            config = (path / "pyproject.toml").read_text()
            (path / "pyproject.toml").write_text(config.replace('["six"]', '["six", "protoprimer"]'))
            say_version = "import platform; print(platform.python_version())"
            version = subprocess.check_output([self.wild, "-c", say_version])
            (path / ".python-version").write_bytes(version)
            if driver == "venv_uv":  # left alone it downloads a python, even where one is at hand
                self.side([self.uv, "venv", "--seed", "--python", self.wild, "venv"], path)()
            for _ in range(2):
                self.peer_boot(path, driver)()

        return self.client("peer " + driver, make)

    def peer_boot(self, path, driver):
        return self.side([self.wild, "proto_kernel.py"], path, {"PROTOPRIMER_VENV_DRIVER": driver})

    # Timing: a side is a function that does a thing once and returns the seconds it took.

    def side(self, argv, cwd=None, env=None):
        """One command, which must succeed."""
        environ = dict(self.env, **(env or {}))
        cwd, devnull = str(cwd or self.base), subprocess.DEVNULL

        def run():
            with open(str(self.log), "wb") as log:
                start = time.perf_counter()
                status = subprocess.call(argv, cwd=cwd, env=environ, stdin=devnull, stdout=log, stderr=log)
                seconds = time.perf_counter() - start
            if status:
                text = self.log.read_text(errors="replace")[-2000:]
                raise NotMeasured("status %d of %s\n%s" % (status, " ".join(argv), text))
            return seconds

        return run

    def medians(self, runs, *sides):
        """The median of each side, in milliseconds; one unmeasured round first."""
        rounds = [[side() for side in sides] for _ in range(runs + 1)][1:]
        return [1000 * statistics.median(each) for each in zip(*rounds)]

    # The rows: each returns (rounds, ours in ms, theirs in ms).

    def run_against_pythons(self):
        path = self.ours()
        inside = os.path.realpath(str(path / ".venv")) + "/bin/python"
        ours, wild, inner = self.medians(
            self.runs, self.run_side(), self.side([self.wild] + PASS), self.side([inside] + PASS)
        )
        return self.runs, ours, wild + inner

    def run_side(self):
        return self.prime(self.ours(), "venv_uv", "run", "--", "python", *PASS)

    def run_against_uv(self):
        theirs = self.side([self.uv, "run", "python"] + PASS, self.uv_project())
        return [self.runs] + self.medians(self.runs, self.run_side(), theirs)

    def boot_against_uv(self):
        theirs = self.side([self.uv, "sync"], self.uv_project())
        return [self.runs] + self.medians(self.runs, self.prime(self.ours(), "venv_uv"), theirs)

    def boot_against_peer(self, driver):
        runs = min(self.runs, 15)
        ours, theirs = self.prime(self.ours(driver), driver), self.peer_boot(self.peer(driver), driver)
        return [runs] + self.medians(runs, ours, theirs)

    def uncompiled(self):
        ours = self.prime(self.ours(), "venv_uv", file="proto_prime.py")  # what is run itself is never kept
        return [self.runs] + self.medians(self.runs, ours, self.side([self.wild] + PASS))

    def ten_pythons(self):
        """`python --all` over the interpreters of this machine, linked into one directory, all known."""
        path = self.ours("venv_uv")
        place = path / "pythons"
        if not place.exists():
            place.mkdir()
            for version, python in PYTHONS.items():
                (place / ("python" + version)).symlink_to(python)
        env = {"PATH": str(place), "PYENV_ROOT": str(path)}
        ours = self.side([self.wild, str(path / "prime"), "python", "--all"], path, env)
        return [self.runs] + self.medians(self.runs, ours, self.side([self.wild] + PASS))

    def first_boot(self, driver):
        """A side: all that was made for the repo is removed, then a boot is timed."""
        path = self.ours(driver)
        boot = self.prime(path, driver)

        def run():
            shutil.rmtree(str(path / ".prime"))
            (path / ".venv").unlink()
            return boot()

        return run

    def by_hand(self, name, *commands):
        """A side: the commands that make an environment `env` and install the project into it."""
        path = self.client(name, lambda path: (path / "env").mkdir())
        sides = [self.side(command, path) for command in commands]

        def run():
            shutil.rmtree(str(path / "env"))
            return sum(side() for side in sides)

        return run

    def first_boot_pip(self):
        make, fill = [self.wild, "-m", "venv", "env"], ["env/bin/pip", "install", "-e", "."]
        theirs = self.by_hand("hand pip", make, fill)
        return [self.slow_runs] + self.medians(self.slow_runs, self.first_boot("venv_pip"), theirs)

    def first_boot_uv(self):
        make = [self.uv, "venv", "--python", self.wild, "env"]
        fill = [self.uv, "pip", "install", "--python", "env/bin/python", "-e", "."]
        theirs = self.by_hand("hand uv", make, fill)
        return [self.slow_runs] + self.medians(self.slow_runs, self.first_boot("venv_uv"), theirs)

    def known_branch(self, driver):
        path = self.ours(driver)
        first, config = self.first_boot(driver), path / "pyproject.toml"
        here, boot = config.read_text(), self.prime(path, driver)
        there = here.replace('["six"]', '["six", "idna"]')

        def back():
            config.write_text(there)
            boot()  # after a first boot builds it, untimed
            config.write_text(here)
            return boot()

        return [self.slow_runs] + self.medians(self.slow_runs, back, first)

    def imported(self):
        """The modules that importing the file adds; no times."""
        code = "import sys; old = set(sys.modules); import proto_prime; print(*set(sys.modules) - old)"
        printed = subprocess.check_output([self.wild, "-c", code], cwd=str(self.ours()), env=self.env)
        names = printed.decode().split()
        names.remove("proto_prime")
        if names:
            print("import proto_prime loads: " + " ".join(sorted(names)), file=sys.stderr)
        return 1, len(names), 0


# case, against, limit (None: told for comparison, the contract names none), how it is measured
ROWS = [
    ("prime run -- python -c pass", "python -c pass, wild + environment's", 1.12, Bench.run_against_pythons),
    ("prime run -- python -c pass", "uv run python -c pass", 0.9, Bench.run_against_uv),
    ("prime, nothing to do", "uv sync", 0.9, Bench.boot_against_uv),
    ("prime, nothing to do", "protoprimer 0.13, pip driver", 0.005, lambda b: b.boot_against_peer("venv_pip")),
    ("prime, nothing to do", "protoprimer 0.13, uv driver", None, lambda b: b.boot_against_peer("venv_uv")),
    ("python3 proto_prime.py, uncompiled", "python3 -c pass", 3, Bench.uncompiled),
    ("python --all, answers known", "python3 -c pass", 3, Bench.ten_pythons),
    ("first boot, pip", "python -m venv + pip install -e .", 0.8, Bench.first_boot_pip),
    ("first boot, uv at hand", "uv venv + uv pip install -e .", 1.15, Bench.first_boot_uv),
    ("back to a known branch, pip", "first boot, pip", 0.05, lambda b: b.known_branch("venv_pip")),
    ("back to a known branch, uv", "first boot, uv at hand", 0.05, lambda b: b.known_branch("venv_uv")),
    ("import proto_prime: modules", "python -c pass", 0, Bench.imported),
]


def measure(bench, row):
    """One row as data."""
    case, against, limit, how = row
    told = {"case": case, "against": against, "limit": limit, "runs": None, "ours": None, "theirs": None}
    try:
        told["runs"], told["ours"], told["theirs"] = how(bench)
    except NotMeasured as problem:
        return dict(told, ratio=None, verdict="not measured", problem=str(problem))
    ratio = told["ours"] / told["theirs"] if told["theirs"] else told["ours"]
    verdict = "-" if limit is None else "ok" if ratio <= limit else "MISSED"
    return dict(told, ratio=ratio, verdict=verdict)


def line(told):
    """One row for people."""
    start = "%-36s %-37s" % (told["case"], told["against"])
    if "problem" in told:
        return "%s not measured: %s" % (start, told["problem"])
    limit = "-" if told["limit"] is None else "%g" % told["limit"]
    numbers = (told["runs"], told["ours"], told["theirs"], told["ratio"], limit, told["verdict"])
    return start + "%5d %9.1f %9.1f %8.4f %7s  %s" % numbers


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", action="store_true", help="print data")
    parser.add_argument("--runs", type=int, default=RUNS, help="rounds of a quick row (%d)" % RUNS)
    parser.add_argument("--only", default="", metavar="TEXT", help="rows whose case or peer contains it")
    options = parser.parse_args()
    rows = [row for row in ROWS if options.only in row[0] or options.only in row[1]]
    base = Path(tempfile.mkdtemp(prefix="prime benchmark "))
    try:
        bench, told = Bench(base, options.runs), []
        if not options.json:
            print("python: %s, medians of `runs` interleaved rounds\n" % bench.wild)
            head = ("case", "against", "runs", "ours ms", "theirs ms", "ratio", "limit")
            print("%-36s %-37s%5s %9s %9s %8s %7s" % head)
        for row in rows:
            told.append(measure(bench, row))
            if not options.json:
                print(line(told[-1]), flush=True)
    finally:
        shutil.rmtree(str(base), ignore_errors=True)
    if options.json:
        print(json.dumps({"schema": 1, "python": bench.wild, "rows": told}, indent=2))
    return any(each["verdict"] == "MISSED" for each in told)


if __name__ == "__main__":
    sys.exit(main())
