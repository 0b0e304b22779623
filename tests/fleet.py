"""What a fleet of CI jobs costs: python tests/fleet.py [--json | --markdown] [--jobs 10000] [--hits 0.95] [--runs 5]

Measures a job for each way to keep something for the next one: the bytes that it takes from the package index and
from the store of caches, and the seconds of processor that it costs, with the time to restore. Then counts for a day:
of all jobs the share of `hits` finds what was kept, the others begin with nothing. The same for `uv sync` and for
`pip install` as their setup actions have them.

A job is a fresh clone at the same path, with a new HOME. The index is a server on 127.0.0.1 whose answers may be kept
as PyPI's; what is kept goes through tar and zstd (gzip, where there is none), as the caches of CI do. Nothing but the
wheels, which are fetched first, comes from the network; the time that bytes take on it is not counted.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import trustme
from benchmark import machine_of, wild_python
from conftest import ANY_PYTHON, TOP, fetch_wheels, project_text, uv_program
from helpers import Index

DEPENDENCIES = ["numpy", "pydantic", "requests", "rich"]
SQUEEZE = ["--use-compress-program", "zstd -3 -T0"] if shutil.which("zstd") else ["--gzip"]
LINE = "%-34s %10s %10s %9s %9s %11s %11s %11s"


class CountingIndex(Index):
    """An `Index` that counts the bytes of what it serves."""

    sent = 0

    def answer(self, request):
        give = request.give

        def counted(status, body=b"", **headers):
            self.sent += len(body) if request.command == "GET" else 0
            give(status, body, **headers)

        request.give = counted
        super().answer(request)


class Job:
    """One way to run a job: what it keeps, and the commands that make its environment.

    title     str, for people; `by` is "prime", "uv" or "pip"
    commands  lists of words
    kept      function of the job's root, called when it is done: the paths that the next one gets
    env       dict of variables
    """

    def __init__(self, fleet, title, by, commands, kept, files=(), env=()):
        self.fleet, self.title, self.by, self.commands, self.kept = fleet, title, by, commands, kept
        self.files, self.env = files, dict(fleet.env, **dict(env))

    def begin(self):
        """A fresh clone and a fresh HOME."""
        fleet = self.fleet
        for place in (fleet.root, fleet.home):
            shutil.rmtree(str(place), ignore_errors=True)
            place.mkdir()
        for name in self.files:
            source = fleet.repo / name
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(str(source), str(fleet.root / name))
        time.sleep(0.1)  # files as fresh as that get no stamp

    def run(self, archive=None):
        """Run it on a machine that has nothing but this archive. Returns a dict of what it cost."""
        self.begin()
        sent, before, start = self.fleet.index.sent, processor_seconds(), time.perf_counter()
        if archive:
            subprocess.run(["tar", "-xPf", str(archive)] + SQUEEZE, check=True)
        for command in self.commands:
            done = subprocess.run(command, cwd=str(self.fleet.root), env=self.env, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
            if done.returncode:
                raise SystemExit("%s: %s\n%s" % (self.title, " ".join(command), done.stdout[-2000:]))
        return {"index_bytes": self.fleet.index.sent - sent, "core_seconds": processor_seconds() - before,
                "wall_seconds": time.perf_counter() - start, "cache_bytes": archive.stat().st_size if archive else 0}

    def measure(self, runs):
        """What a job without anything costs, which keeps something, and the medians of those that get that."""
        missed, archive = self.run(), None
        paths = [str(path) for path in self.kept(self.fleet.root) if os.path.lexists(str(path))]
        if paths:
            archive = self.fleet.base / "kept.tar"
            subprocess.run(["tar", "-cPf", str(archive)] + SQUEEZE + paths, check=True)
        hits = [self.run(archive) for _ in range(runs)]
        return {"case": self.title, "by": self.by, "miss": missed,
                "hit": {name: statistics.median(hit[name] for hit in hits) for name in missed}}


def processor_seconds():
    """The seconds of processor that the children of this process took so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Fleet:
    """The directory that all is measured in, with an index, and the jobs."""

    def __init__(self, base):
        self.base, self.repo, self.root, self.home = base, base / "repo", base / "clone", base / "home"
        self.wild, self.uv, self.wheels = wild_python(), uv_program(), base / "wheels"
        version = subprocess.check_output([self.wild, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"])
        only = ["--only-binary=:all:", "--python-version", version.decode().strip()]
        fetch_wheels(self.wheels, [only + DEPENDENCIES + ["flit_core>=3.4,<4"], ANY_PYTHON + ["3.8", "uv"]])
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(base / "authority.pem"))
        self.index = CountingIndex(self.wheels, authority)
        self.index.is_cached = True
        self.env = {
            "HOME": str(self.home), "PATH": os.pathsep.join([os.path.dirname(self.wild), "/usr/bin", "/bin"]),
            "LANG": "C.UTF-8", "PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": self.index.url(),
            "PIP_CERT": str(base / "authority.pem"), "SSL_CERT_FILE": str(base / "authority.pem"), "UV_NO_CONFIG": "1",
            "UV_DEFAULT_INDEX": self.index.url(), "UV_PYTHON_DOWNLOADS": "never", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        self.prepare()

    def prepare(self):
        """Write the repo: a project with a uv.lock, and what `prime vendor` makes of it."""
        self.repo.mkdir()
        self.home.mkdir()
        (self.repo / "client.py").write_text('"""A client."""\n')
        (self.repo / "pyproject.toml").write_text(project_text("client", DEPENDENCIES, 'requires-python = ">=3.8"'))
        shutil.copy(str(TOP / "proto_prime.py"), str(self.repo))
        shutil.copy(str(TOP / "examples" / "hello" / "prime"), str(self.repo))
        text = self.repo / "pyproject.toml"
        minor = subprocess.check_output([self.wild, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"])
        text.write_text(text.read_text().replace('">=3.8"', '">=%s"' % minor.decode().strip()))
        for command in ([self.uv, "lock", "--python", self.wild], [self.wild, "prime", "vendor"]):
            env = dict(self.env, PATH="%s:%s" % (os.path.dirname(self.uv), self.env["PATH"]))
            subprocess.run(command, cwd=str(self.repo), env=env, check=True, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def jobs(self):
        """The `Job`s that are compared."""
        files = ["client.py", "pyproject.toml", "proto_prime.py", "prime"]
        prime, locked = [[self.wild, "prime"]], files + ["uv.lock"]
        uv_driver, pip_driver = {"PROTOPRIMER_VENV_DRIVER": "venv_uv"}, {"PROTOPRIMER_VENV_DRIVER": "venv_pip"}
        cache, uv_bin = self.home / ".cache", self.home / "bin"
        vendor = next(name for name in (".prime-vendor", "vendor") if (self.repo / name).is_dir())
        get_uv = [[self.wild, "-m", "pip", "install", "-q", "--target", str(uv_bin), "uv"]]  # a setup action's download
        sync = [[str(uv_bin / "bin" / "uv"), "sync", "--python", self.wild]]
        by_pip = [[self.wild, "-m", "venv", ".venv"], [".venv/bin/python", "-m", "pip", "install", "-q", "-e", "."]]

        def told(root):
            done = subprocess.run([self.wild, "prime", "info", "--json"], cwd=str(root), stdout=subprocess.PIPE,
                                  env=dict(self.env, **uv_driver))
            return json.loads(done.stdout.decode())["cache_paths"]

        def pruned(_):
            env = dict(self.env)
            subprocess.run([str(uv_bin / "bin" / "uv"), "cache", "prune", "--ci", "-q"], env=env, check=True)
            return [cache / "uv"]

        return [
            Job(self, "prime, uv: nothing kept", "prime", prime, lambda _: [], locked, uv_driver),
            Job(self, "prime, uv: uv kept", "prime", prime, lambda _: [cache / "proto_prime"], locked, uv_driver),
            Job(self, "prime, uv: cache_paths kept", "prime", prime, told, locked, uv_driver),
            Job(self, "prime, uv: environment kept", "prime", prime, lambda root: [root / ".prime", root / ".venv"],
                locked, uv_driver),
            Job(self, "prime, vendored", "prime", [[self.wild, "prime", "--offline"]], lambda _: [], locked + [vendor]),
            Job(self, "prime, pip: nothing kept", "prime", prime, lambda _: [], files, pip_driver),
            Job(self, "prime, pip: cache kept", "prime", prime, lambda _: [cache / "proto_prime", cache / "pip"], files,
                pip_driver),
            Job(self, "uv sync: nothing kept", "uv", get_uv + sync, lambda _: [], locked),
            Job(self, "uv sync: uv and its cache kept", "uv", sync_if(uv_bin, get_uv, sync),
                lambda _: [cache / "uv", uv_bin], locked),
            Job(self, "uv sync: uv cache prune --ci", "uv", sync_if(uv_bin, get_uv, sync),
                lambda _: pruned(_) + [uv_bin], locked),
            Job(self, "pip install: nothing kept", "pip", by_pip, lambda _: [], files),
            Job(self, "pip install: its cache kept", "pip", by_pip, lambda _: [cache / "pip"], files),
        ]


def sync_if(uv_bin, get_uv, sync):
    """The commands that get a uv unless it was kept, and sync."""
    script = '[ -x "$0" ] || "$@"'
    return [["sh", "-c", script, str(uv_bin / "bin" / "uv")] + get_uv[0]] + sync


def model(row, jobs, hits):
    """What a case costs: a row of `Job.measure` with the means for a job, and the sums of a day."""
    means = {name: hits * row["hit"][name] + (1 - hits) * row["miss"][name] for name in row["hit"]}
    return dict(row, mean=means, day={
        "index_gigabytes": jobs * means["index_bytes"] / 1e9, "cache_gigabytes": jobs * means["cache_bytes"] / 1e9,
        "core_hours": jobs * means["core_seconds"] / 3600})


def cells(row):
    """What the table says of a case, as text."""
    hit, day = row["hit"], row["day"]
    return (row["case"], "%.1f" % (hit["index_bytes"] / 1e6), "%.1f" % (hit["cache_bytes"] / 1e6),
            "%.2f" % hit["core_seconds"], "%.2f" % hit["wall_seconds"], "%.0f" % day["index_gigabytes"],
            "%.0f" % day["cache_gigabytes"], "%.1f" % day["core_hours"])


HEAD = ("a job that finds what was kept", "index MB", "cache MB", "core s", "wall s", "index GB/d", "cache GB/d",
        "core h/d")


def table(told):
    """The rows for a README; the least of each column is bold."""
    lines = ["%s. %s jobs a day, of which %.0f%% find what was kept; wheels of %s." % (
        told["machine"], format(told["jobs"], ","), 100 * told["hits"], ", ".join(DEPENDENCIES)), ""]
    lines += ["| %s |" % " | ".join(HEAD), "| --- |" + " ---: |" * (len(HEAD) - 1)]
    rows = [cells(row) for row in told["rows"]]
    least = [None] + [min(column, key=float) for column in list(zip(*rows))[1:]]
    for row in rows:
        lines.append("| %s |" % " | ".join("**%s**" % text if text == best else text for text, best in zip(row, least)))
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print data")
    form.add_argument("--markdown", action="store_true", help="print the table for a README")
    parser.add_argument("--jobs", type=int, default=10000, help="jobs a day (10000)")
    parser.add_argument("--hits", type=float, default=0.95, help="the share of them that finds what was kept (0.95)")
    parser.add_argument("--runs", type=int, default=5, help="of each case (5)")
    options = parser.parse_args()
    base, fleet = Path(tempfile.mkdtemp(prefix="prime fleet ")), None
    try:
        fleet = Fleet(base)
        told = {"schema": 1, "machine": machine_of(fleet), "jobs": options.jobs, "hits": options.hits, "rows": []}
        if not options.json and not options.markdown:
            print(LINE % HEAD)
        for job in fleet.jobs():
            told["rows"].append(model(job.measure(options.runs), options.jobs, options.hits))
            if not options.json and not options.markdown:
                print(LINE % cells(told["rows"][-1]), flush=True)
    finally:
        if fleet:
            fleet.index.close()
        shutil.rmtree(str(base), ignore_errors=True)
    if options.json or options.markdown:
        print(json.dumps(told, indent=2) if options.json else table(told))


if __name__ == "__main__":
    sys.exit(main())
