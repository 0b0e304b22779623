"""The example cluster: a Dask job whose scheduler and workers start through ./prime, on machines that share a clone.

A machine is a HOME of its own, and a network namespace of its own where the system allows that. PRIME_TEST_WORKERS
says how many workers there are; with 64 and `-s` the test prints figures.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest
from conftest import fetch_wheels
from filelock import FileLock
from helpers import follow_readme, wait_for

WORKERS = int(os.environ.get("PRIME_TEST_WORKERS", "8"))
pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix" or sys.version_info < (3, 10),
                                                   reason="Dask's distributed needs another python")]


@pytest.fixture(scope="session")
def dask_wheels(shared):
    """The path of a directory with the wheels that the example needs, fetched once."""
    target = shared / "wheels of dask"
    with FileLock(str(shared / "wheels of dask.lock")):
        if not (target / "complete").exists():
            fetch_wheels(target, [["--only-binary=:all:", "distributed", "six", "idna"]])
            (target / "complete").touch()
    return target


class Networks:
    """Network namespaces on one bridge; none, and `argv` changes nothing, where they are not allowed."""

    def __init__(self):
        self.tag, self.names = "prime%d" % os.getpid(), []
        self.hub = self.add("hub") if os.getuid() == 0 and shutil.which("ip") else ""
        lines = ["link add br0 type bridge", "link set br0 up", "addr add 10.77.0.1/16 dev br0", "link set lo up",
                 "route add default dev br0"]  # by which Dask finds its own address
        if self.hub and not self.ip(self.hub, *lines):
            self.close()
            self.hub = ""

    def ip(self, name, *lines):
        return all(not subprocess.run(["ip", "-n", name] + line.split(), stderr=subprocess.DEVNULL).returncode
                   for line in lines)

    def add(self, name):
        name = "%s-%s" % (self.tag, name)
        if subprocess.run(["ip", "netns", "add", name], stderr=subprocess.DEVNULL).returncode:
            return ""
        self.names.append(name)
        return name

    def argv(self, number):
        """The words before a command that runs on the machine of that number; the hub's is 0."""
        if not self.hub:
            return []
        if number == 0:
            return ["ip", "netns", "exec", self.hub]
        name = self.add(str(number))
        end = "v%d" % number
        assert self.ip(self.hub, "link add %s type veth peer name eth0 netns %s" % (end, name),
                       "link set %s master br0 up" % end)
        assert self.ip(name, "link set lo up", "link set eth0 up", "addr add 10.77.%d.%d/16 dev eth0" % (
            1 + number // 200, 1 + number % 200), "route add default dev eth0")
        return ["ip", "netns", "exec", name]

    def close(self):
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)


class Cluster:
    """Machines that share the clone `repo`: number 0 has the scheduler, the others have a worker each."""

    def __init__(self, repo):
        self.repo, self.networks, self.processes, self.words = repo, Networks(), {}, {}

    def start(self, number, *argv):
        """Start `prime argv...` on a machine. Its stderr goes to a file."""
        home = self.repo.home / ("machine %d" % number)
        if number not in self.words:
            home.mkdir()
            self.words[number] = self.networks.argv(number)
        env = dict(self.repo.env, HOME=str(home))
        with open(str(self.said(number)), "wb") as said:
            self.processes[number] = subprocess.Popen(
                self.words[number] + [str(self.repo.path / "prime")] + list(argv), env=env, cwd=str(self.repo.path),
                stdin=subprocess.DEVNULL, stdout=said, stderr=said)

    def said(self, number):
        return self.repo.home / ("machine %d" % number) / "said"

    def stop(self, number, how=signal.SIGTERM):
        self.processes[number].send_signal(how)
        self.processes[number].wait(60)

    def work(self, *argv, **options):
        """Start a job on the machine of the scheduler. Returns its process."""
        command = self.words[0] + [str(self.repo.path / "prime"), "job"] + list(map(str, argv))
        return subprocess.Popen(command, env=self.repo.env, cwd=str(self.repo.path), stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, **options)

    def close(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
                process.wait()
        self.networks.close()


def told(job):
    """What a job printed: (number of workers, list of environments)."""
    stdout, stderr = job.communicate(timeout=300)
    assert job.returncode == 0, stderr
    match = re.match(r"\d+ tasks in (\d+) workers, environments: (.*), six: ", stdout)
    return int(match.group(1)), match.group(2).split()


@pytest.fixture
def clone(example, dask_wheels):
    """A copy of the example, whose packages come from the wheels that were fetched."""
    repo = example("cluster")
    repo.env["PIP_FIND_LINKS"] = dask_wheels.as_uri()
    (repo.home / "uv.toml").write_text('no-index = true\nfind-links = ["%s"]\n' % dask_wheels.as_uri())
    return repo


@pytest.fixture
def cluster(clone):
    cluster = Cluster(clone)
    yield cluster
    cluster.close()


def test_N1_workers_share_a_build_come_back_and_take_a_new_one_while_a_job_goes_on(cluster):
    repo, numbers, begun = cluster.repo, range(1, WORKERS + 1), time.time()
    cluster.start(0, "scheduler")
    for number in numbers:
        cluster.start(number, "worker")
    assert wait_for(lambda: (repo.path / ".cluster.json").exists(), 120)
    assert wait_for(lambda: all("Registered to" in cluster.said(each).read_text() for each in numbers), 240)
    print("%d workers at work after %.1f s" % (WORKERS, time.time() - begun))
    [first] = repo.generations
    assert sum(".venv is ready" in cluster.said(each).read_text() for each in [0] + list(numbers)) == 1
    assert told(cluster.work(20 * WORKERS)) == (WORKERS, [first.name])

    cluster.stop(1, signal.SIGKILL)
    begun = time.time()
    cluster.start(1, "worker")
    assert wait_for(lambda: "Registered to" in cluster.said(1).read_text(), 60)
    print("a worker that was killed is back after %.1f s" % (time.time() - begun))
    assert "prime: building" not in cluster.said(1).read_text() and repo.generations == [first]

    config = repo.path / "pyproject.toml"
    config.write_text(config.read_text().replace('"six"]', '"six", "idna"]'))
    job = cluster.work(20 * WORKERS, 0.25)
    for number in numbers:
        cluster.stop(number)
        if number == 2:
            assert "stays" in repo.prime("clean", "--all").stderr  # workers run in the old one
            assert first in repo.generations
        cluster.start(number, "worker")
        assert wait_for(lambda number=number: "Registered to" in cluster.said(number).read_text(), 60)
    told(job)
    assert told(cluster.work(20 * WORKERS)) == (WORKERS, [repo.current.name])
    assert repo.current != first


def test_N1_readme_of_the_example(clone):
    started = time.time()
    printed = follow_readme(clone)
    assert re.match(r"100 tasks in [12] workers, environments: default-\w+, six: ", printed["./prime job"])
    assert time.time() - started < 240


SLURM = """\
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/none
CredType=cred/none
SlurmUser=root
SlurmdUser=root
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/spool
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
KillWait=1
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=64 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES State=UP
"""


@pytest.fixture
def slurm(tmp_path):
    """A Slurm of one node, as environment variables; skips the test where it cannot run."""
    if os.getuid() or not all(map(shutil.which, ("slurmctld", "slurmd", "sbatch", "srun"))):
        pytest.skip("no Slurm (Debian: slurmctld slurmd slurm-client), or not root")
    place, ports = tmp_path / "slurm", []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    for name in ("state", "spool"):
        (place / name).mkdir(parents=True)
    host = os.uname().nodename.partition(".")[0]
    (place / "slurm.conf").write_text(SLURM.format(host=host, place=place, ports=ports))
    env, daemons = {"SLURM_CONF": str(place / "slurm.conf")}, []
    try:
        for name in ("slurmctld", "slurmd"):
            with open(str(place / (name + ".log")), "wb") as log:
                daemons.append(subprocess.Popen([name, "-D"], env=dict(os.environ, **env), stdout=log, stderr=log))

        def is_up():
            told = subprocess.run(["sinfo", "-h", "-o", "%t"], env=dict(os.environ, **env), stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, universal_newlines=True)
            return told.stdout.strip() == "idle"

        if not wait_for(is_up, 20):
            pytest.skip("Slurm does not start here")
        yield env
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait(30)


def test_N1_slurm_batch_script(clone, slurm):
    output, env = clone.home / "output", dict(clone.env, **slurm)

    def told(*words):
        return subprocess.check_output(words, env=env, cwd=str(clone.path), universal_newlines=True)

    told("sbatch", "--ntasks=4", "--output=%s" % output, "job.sbatch")
    assert wait_for(lambda: not told("squeue", "-h"), 240)
    said = output.read_text()
    assert re.search(r"^100 tasks in [1-4] workers, environments: default-\w+, six: ", said, re.MULTILINE), said
    assert said.count(".venv is ready") == 1


def test_N1_batch_script_ends_when_its_scheduler_cannot_be_built(clone):
    """Else it would wait until its allocation is used up."""
    config = clone.path / "pyproject.toml"
    config.write_text(config.read_text().replace('"six"]', '"six", "nowhere-to-be-found"]'))
    clone.program("srun", '#!/bin/sh\nexec "$@"\n')
    done = subprocess.run(["sh", "job.sbatch"], env=dict(clone.env, SLURM_SUBMIT_DIR=str(clone.path)),
                          cwd=str(clone.path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 1 and b"nowhere-to-be-found" in done.stderr
