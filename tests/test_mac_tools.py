"""The start by sh, the entry script and the programs of an environment with the tools of an older Mac.

There is no `timeout`, no `realpath`, and a `readlink` without -f; /usr/bin/python3 may be a stub that opens a dialog.
"""

import os
import subprocess
import sys
import time

import pytest
from conftest import uv_program
from machines import add_mac_tools

import proto_prime

SHELLS = pytest.mark.parametrize("shell", ["bash", "dash", "busybox", "zsh"])
VERSION = "proto_prime %s\n" % proto_prime.__version__
HANGS = "#!/bin/sh\ntrap '' TERM INT HUP\necho $$ >/tmp/pid\nwhile :; do sleep 4321; done\n"  # holds its output open


@SHELLS
def test_M20_python_that_hangs_is_passed_over_and_ended(mac_tools, shell):
    mac = mac_tools(shell)
    mac.program("python3", HANGS)
    begin = time.time()
    assert mac.prime("--version")[0] == VERSION
    assert 4 < time.time() - begin < 40
    pid = int((mac.root / "tmp/pid").read_text())
    running = [line for line in subprocess.check_output(["ps", "-eo", "pid,stat,args"]).decode().splitlines()[1:]
               if line.split()[1][0] != "Z" and (line.split()[0] == str(pid) or "sleep 4321" in line)]
    assert running == []


@SHELLS
def test_M20_pythons_that_answer_are_not_waited_for(mac_tools, shell):
    mac = mac_tools(shell)
    mac.program("python3", "#!/bin/sh\nexit 0\n")  # says nothing, though its status is right
    mac.program("python", "#!/bin/sh\nexec python3.12 \"$@\"\n")
    begin = time.time()
    assert mac.prime("--version") == (VERSION, "")
    assert time.time() - begin < 4


@SHELLS
def test_M20_stub_of_xcode_is_started_only_with_xcode_whatever_leads_to_it(mac_tools, shell):
    mac = mac_tools(shell)
    (mac.root / "bin/python3").symlink_to("/usr/bin/python3")
    (mac.root / "bin/python").symlink_to("../tmp/second")
    (mac.root / "tmp/second").symlink_to("python-by-a-link")
    (mac.root / "tmp/python-by-a-link").symlink_to("../usr/bin/../bin/python3")
    (mac.root / "tmp/programs").symlink_to("/usr/bin")
    for path in ("/bin", "//usr/bin:/bin", "/usr/bin/:/bin", "/usr/../usr/bin:/bin", "/tmp/programs:/bin"):
        assert mac.prime("--version", env={"PATH": path}) == (VERSION, ""), path
        assert mac.dialogs == [], path
    mac.has_xcode(True)
    assert mac.prime("--version", env={"PATH": "//usr/bin:/bin"}) == (VERSION, "")
    assert [line.partition(" ")[0] for line in mac.dialogs] == ["//usr/bin/python3"] * 2


@pytest.mark.parametrize("spelling", ["/usr/bin/{}", "//usr/bin/{}", "/usr/lib/../bin/{}", "link", "directory/{}"])
def test_M20_file_itself_knows_the_stub_by_any_name(monkeypatch, tmp_path, spelling):
    (tmp_path / "link").symlink_to("/usr/bin/id")  # stands for /usr/bin/python3, which is not everywhere
    (tmp_path / "directory").symlink_to("/usr/bin")
    started = []

    def run_child(argv, *_, **__):
        started.append(argv)
        return proto_prime.Child(2)

    monkeypatch.setattr(proto_prime, "run_child", run_child)
    monkeypatch.setattr(sys, "platform", "darwin")
    path = spelling.format("id")
    assert proto_prime.is_stub(path if path.startswith("/") else str(tmp_path / path))
    assert started == [["/usr/bin/xcode-select", "-p"]]
    assert not proto_prime.is_stub(sys.executable)


@SHELLS
def test_M20_entry_script_is_reached_by_links(mac_tools, shell):
    mac = mac_tools(shell)
    mac.put("repo/prime", proto_prime.ENTRY_SCRIPT, mode=0o755)
    (mac.root / "tmp/more tools").mkdir()
    (mac.root / "tmp/more tools/one").symlink_to("../other")
    (mac.root / "tmp/other").symlink_to("/repo/prime")
    for name in ("prime", "/repo/prime", "/tmp/more tools/one", "../tmp/other"):
        command = mac.command(name, "--version")
        done = subprocess.run(command, env=mac.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, universal_newlines=True, timeout=60)
        assert (done.stdout, done.stderr) == (VERSION, ""), name


@pytest.mark.parametrize("name", ["it's", "a\ttab"])
def test_M20_programs_of_an_environment_are_reached_by_links(make_repo, driver, name):
    repo = make_repo(name)
    repo.link("uv", uv_program())
    repo.env["PROTOPRIMER_VENV_DRIVER"] = driver
    repo.config('dependencies = ["wheel"]')
    repo.prime()
    tools = repo.home / "mac"
    tools.mkdir()
    add_mac_tools(tools)
    (tools / "wheel").symlink_to("second")
    (tools / "second").symlink_to(os.path.relpath(str(repo.path / ".venv/bin/wheel"), str(tools)))
    for program in (repo.path / ".venv/bin/wheel", tools / "wheel"):
        done = subprocess.run([str(program), "version"], env={"PATH": str(tools)}, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, universal_newlines=True)
        assert done.stdout.startswith("wheel ") and done.stderr == "", program
