"""H3, H4, H13, H15: names of a repo, a lock or an index decide neither where files go nor what is an option."""

import hashlib
import json
import os
import re
import sys

import pytest
from conftest import TOP, uv_program
from helpers import pylock, six_package, wheel

sys.path.insert(0, str(TOP))
import proto_prime  # noqa: E402

DRIVERS = ("venv_uv", "venv_pip")
BAD_NAMES = ["", ".", "..", "../x", "..\\x", "a/b", "a\\b", "/x", "\\x", "C:x", "x.whl:stream", "a\0b", "a\nb",
             "a\x1bb", "a\x7fb", "a\x85b", "a\u2028b", "a\tb", "con", "NUL.txt", "Aux .whl", "com1", "lpt\xb2.x",
             "COM0.tar.gz", "conin$", "a.", "a ", "a" * 256, "\u20ac" * 86, "\udc80x", 5, None, ["x"]]
GOOD_NAMES = ["six-1.16.0-py2.py3-none-any.whl", ".hidden", "...x", "a-1!2.0+local.tar.gz", "console.whl", "com10",
              "nul-1.0.whl", "\u00e9.whl", "a b.zip", "a" * 255]


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_H4_what_is_no_file_name_on_some_platform_is_refused(name):
    with pytest.raises(proto_prime.PrimeError, match="the lock"):
        proto_prime.file_name(name, "the lock")


@pytest.mark.parametrize("name", GOOD_NAMES, ids=lambda name: name[:30])
def test_H4_file_name_is_itself(name):
    assert proto_prime.file_name(name, "the lock") == name


# -- H4: a lock -------------------------------------------------------------------------------------


@pytest.fixture
def locked(repo, tmp_path, wheelhouse):
    """A function that gives the repo a pylock.toml whose one wheel, six's, has another file name and URL."""
    repo.link("uv", uv_program())
    repo.config()

    def write(name=None, end=None, more=""):
        path = wheel(wheelhouse, "six")
        url = path.parent.as_uri() + "/" + (path.name if end is None else end)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        told = ["url = %s" % json.dumps(url)] + ["name = %s" % json.dumps(name)] * (name is not None)
        wheels = "wheels = [{ %s, hashes = { sha256 = %s } }]" % (", ".join(told), json.dumps(digest))
        version = path.name.split("-")[1]
        repo.write("pylock.toml", pylock(['name = "six"\nversion = "%s"\n%s%s' % (version, more, wheels)]))
    write.directory = tmp_path
    return write


def everything(directory):
    """All that lies in a directory, less bytecode and caches."""
    skipped = ("__pycache__", "cache", "uv cache", ".prime")
    return {path for path in directory.rglob("*") if not set(skipped) & set(path.parts)}


@pytest.mark.parametrize("command", ["boot with venv_uv", "boot with venv_pip", "vendor"])
@pytest.mark.parametrize("name, end", [
    ("../../x", None), ("..\\..\\x", None), ("/x", None), ("C:\\x", None), ("a\nb", None), ("nul", None),
    (None, "..%2F..%2Fx"), (None, "..%5C..%5Cx"), (None, "..%252F..%252Fx"), (None, "a%0Ab"), (None, "%2e%2e"),
    ("six.whl", "..%2F..%2Fx")], ids=str)
def test_H4_file_name_of_a_lock_that_leads_elsewhere_is_refused(repo, locked, tmp_path, command, name, end):
    locked(name, end)
    before = everything(tmp_path)
    words = ["vendor"] if command == "vendor" else ["boot"]
    env = {} if command == "vendor" else {"PROTOPRIMER_VENV_DRIVER": command.split()[-1]}
    result = repo.prime(*words, status=None, env=env)
    assert result.status in (1, 2)
    assert "pylock.toml" in result.stderr and "Traceback" not in result.stderr and "fault of prime" not in result.stderr
    assert everything(tmp_path) - before <= {repo.path / ".venv"}


@pytest.mark.parametrize("driver_name", DRIVERS)
def test_H4_lock_with_a_sound_name_installs(repo, locked, wheelhouse, driver_name):
    locked(wheel(wheelhouse, "six").name)
    env = {"PROTOPRIMER_VENV_DRIVER": driver_name}
    assert repo.inside("import six; print(1)", env=env) == "1"


def test_H4_name_of_a_lock_is_no_html(repo, tmp_path):
    document = {"packages": [{"name": "a", "version": "1", "wheels": [{
        "url": "https://x.org/a?b=\"><a href='https://evil.org/a-1-py3-none-any.whl'>&c", "name": "a\"<&>'.whl",
        "hashes": {"sha256": "0" * 64}}]}]}
    document["packages"][0]["wheels"][0]["url"] = document["packages"][0]["wheels"][0]["url"].replace(" ", "%20")
    lock = proto_prime.Lock(str(tmp_path / "pylock.toml"), document, [], [])
    lock.write(str(tmp_path), is_closed=False)
    import html.parser
    seen = []

    class Page(html.parser.HTMLParser):
        def handle_starttag(self, tag, attrs):
            seen.append(dict(attrs)["href"])

    Page().feed((tmp_path / "links.html").read_text())
    assert len(seen) == 1 and seen[0].endswith("&c#sha256=" + "0" * 64)


# -- H4: an index -----------------------------------------------------------------------------------


def test_H4_odd_file_of_an_index_is_passed_over(monkeypatch):
    good = "uv-1.0-py3-none-any.whl"
    files = [{"url": "..%2F..%2Fx", "hashes": {}}, {"url": 5}, "text", {"url": "http://[x/a.whl", "hashes": {}},
             {"hashes": {}}, {"url": good, "hashes": None}, {"url": "a/", "hashes": {}}, None,
             {"url": "b" + good, "hashes": {"sha256": 5}}]
    links = "".join('<a href="%s">x</a>' % each for each in (
        "..%2F..%2Fx", "http://[x/a.whl", "a/", good, "..%5Cx", "nul"))
    for text in (json.dumps({"files": files}), links):
        monkeypatch.setattr(proto_prime, "fetch", lambda *_, text=text: (text.encode(), "https://x.org/simple/uv/"))
        assert [each[0] for each in proto_prime.index_links("https://x.org/simple", "uv")] == [good]


@pytest.mark.parametrize("name", ["uv-1.whl", "uv-x-py3-none-any.whl", "uv-1-2-3-4-5-py3-none-any.whl", ".whl"])
def test_H4_odd_wheel_fits_nothing(name):
    assert not proto_prime.fits(name, ["linux-x86_64"], "3.12.1")


# -- H3: the manifest of a vendored directory -------------------------------------------------------


@pytest.fixture
def vendoring(repo, wheelhouse):
    """A repo with a lock of six, and a vendored directory of its own making."""
    repo.link("uv", uv_program())
    repo.config()
    repo.write("pylock.toml", pylock([six_package(wheelhouse)]))
    (repo.path / "vendor").mkdir()
    (repo.path / ".git").mkdir()
    return repo


MANIFEST = "vendor/proto-prime-vendor.json"


@pytest.mark.parametrize("manifest", [
    {"schema": 1, "files": [".."]}, {"files": ["."]}, {"files": [""]}, {"files": ["../../x"]}, {"files": ["sub"]},
    {"files": ["link"]}, {"files": ["dangling"]}, {"files": ["..\\x"]}, {"files": ["a\0"]}, {"files": [5]},
    {"files": 5}, {"files": "name"}, {"files": {"a": 1}}, {}, [], 7, {"files": ["proto-prime-vendor.json"]},
    {"files": [["a"]]}, "no JSON", "[" * 100000, b"\xff", None], ids=lambda each: str(each)[:40])
def test_H3_manifest_that_names_no_files_of_its_directory_is_refused(vendoring, tmp_path, manifest):
    vendor = vendoring.path / "vendor"
    (vendor / "sub").mkdir()
    vendoring.write("vendor/sub/mine", "mine")
    outside = tmp_path / "precious"
    outside.write_text("precious")
    (vendor / "link").symlink_to(outside)
    (vendor / "dangling").symlink_to(tmp_path / "nothing")
    target = vendoring.path / MANIFEST
    if manifest is None:  # a link, to what would do
        (tmp_path / "manifest").write_text('{"files": []}')
        target.symlink_to(tmp_path / "manifest")
    elif isinstance(manifest, bytes):
        target.write_bytes(manifest)
    else:
        text = manifest if isinstance(manifest, str) and manifest[0] in "n[" else json.dumps(manifest)
        target.write_text(text)
    before = everything(vendoring.path)
    result = vendoring.prime("vendor", status=1)
    assert "proto-prime-vendor.json" in result.stderr and "fault of prime" not in result.stderr
    assert everything(vendoring.path) == before and outside.read_text() == "precious"


def test_H3_manifest_that_is_huge_is_refused(vendoring):
    with (vendoring.path / MANIFEST).open("w") as file:
        file.truncate(1 << 34)
    assert "proto-prime-vendor.json" in vendoring.prime("vendor", status=1, timeout=30).stderr


@pytest.mark.parametrize("what", ["the directory", "a directory above", "a file", "python"])
def test_H3_link_in_place_of_what_is_vendored_is_refused(vendoring, tmp_path, wheelhouse, what):
    outside = tmp_path / "outside"
    (outside / "wheels").mkdir(parents=True)
    (outside / "file").write_text("precious")
    words = ["vendor"]
    if what == "the directory":
        (vendoring.path / "vendor").rmdir()
        (vendoring.path / "vendor").symlink_to(outside)
    elif what == "a directory above":
        (vendoring.path / "third").symlink_to(outside)
        words = ["vendor", "third/wheels"]
    elif what == "python":
        vendoring.write(MANIFEST, '{"files": []}')
        (vendoring.path / "vendor" / "python").symlink_to(outside)
        words = ["vendor", "--python"]
    else:
        vendoring.write(MANIFEST, '{"files": []}')
        (vendoring.path / "vendor" / wheel(wheelhouse, "six").name).symlink_to(outside / "file")
    before = everything(outside)
    assert re.search("vendor: .* is (a link|no regular file)", vendoring.prime(*words, status=1).stderr)
    assert everything(outside) == before and (outside / "file").read_text() == "precious"


def test_H3_file_that_was_not_vendored_is_not_overwritten(vendoring, wheelhouse):
    vendoring.write(MANIFEST, '{"files": []}')
    mine = vendoring.write("vendor/" + wheel(wheelhouse, "six").name, "mine")
    result = vendoring.prime("vendor", status=1)
    assert "is there already" in result.stderr and mine.read_text() == "mine"
    mine.write_bytes(wheel(wheelhouse, "six").read_bytes())  # the very file: it is adopted
    vendoring.prime("vendor")
    assert mine.name in json.loads((vendoring.path / MANIFEST).read_text())["files"]


def test_H3_what_is_about_to_be_written_is_named_first(tmp_path, wheelhouse):
    path = wheel(wheelhouse, "six")
    manifest = tmp_path / "proto-prime-vendor.json"
    manifest.write_text('{"schema": 1, "files": ["old.whl"]}')
    (tmp_path / "old.whl").write_text("old")
    files = {path.name: (path.as_uri(), "", 0), "z.whl": ((tmp_path / "absent").as_uri(), "", 0)}
    with pytest.raises(proto_prime.PrimeError):
        proto_prime.vendor_files(files, str(tmp_path))
    git_files = [".gitattributes", ".gitignore"]
    assert json.loads(manifest.read_text())["files"] == git_files + ["old.whl", path.name, "z.whl"]
    assert (tmp_path / "old.whl").exists() and (tmp_path / path.name).exists()
    proto_prime.vendor_files({path.name: files[path.name]}, str(tmp_path))
    assert json.loads(manifest.read_text())["files"] == git_files + [path.name] and not (tmp_path / "old.whl").exists()


# -- H13: what is shown -----------------------------------------------------------------------------

ODD = "v\x1b[31m\nstate  yes\u202e\x9b\x7f"


def test_H13_tables_show_what_is_not_printable(repo):
    repo.config("env_vars = {A = %s}\n" % json.dumps(ODD).replace("\x7f", "\\u007f"))
    result = repo.prime("info", status=None)
    assert all(line.isprintable() for line in result.stdout.split("\n"))
    assert len([line for line in result.stdout.split("\n") if line.startswith("state ")]) == 1
    told = repo.prime("info", "--json", status=None).stdout
    assert all(" " <= char < "\x7f" or char == "\n" for char in told)
    assert json.loads(told)["config"]["env_vars"]["value"]["A"] == ODD


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such paths")
def test_H13_table_of_pythons_shows_what_is_not_printable(plain):
    odd = plain.bin / "x\n*  yes\x1b[31m"
    odd.mkdir()
    (odd / "python3").write_text("")
    plain.env["PATH"] = "%s:%s" % (odd, plain.env["PATH"])
    stdout = plain.prime("python", "--all", "-v").stdout
    assert all(line.isprintable() for line in stdout.split("\n")) and "x\\n*  yes\\x1b[31m" in stdout
    assert not [line for line in stdout.split("\n") if line.startswith("*  yes")]


def test_H13_value_in_a_message_makes_no_line_of_its_own(repo):
    repo.config('"a\\nprime: error: forged\\u001b[31m" = 1\n')
    result = repo.prime(status=2)
    assert len([line for line in result.stderr.split("\n") if line.startswith("prime:")]) == 1
    assert "a\\nprime: error: forged\\x1b[31m" in result.stderr


def test_H13_variable_forges_no_line_of_the_log(plain):
    said = "prime: error: forged\x1b[31m\rx\x0by\u2028prime: z\nprime: too"
    plain.prime(env={"PROTOPRIMER_PY_EXEC": "required:%s" % plain.path, "PROTOPRIMER_SAID": said})
    text = plain.logs[-1].read_text()
    assert "forged\\x1b[31m" in text
    assert not [line for line in text.splitlines() if line.startswith(("prime: error", "prime: z", "prime: too"))]
    assert all(line.isprintable() for line in text.split("\n"))


# -- H15: what becomes an argument or a line --------------------------------------------------------

ENDS = ["\n", "\r", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\0", "\x01", "\x7f", "\x9b"]


def toml(text):
    return json.dumps(text).replace("\x7f", "\\u007f")


@pytest.mark.parametrize("char", ENDS, ids=ascii)
def test_H15_no_character_ends_a_requirement(repo, char):
    repo.config("dependencies = [%s]\n" % toml("six%s--index-url=https://evil.org" % char))
    result = repo.prime(status=2)
    assert "dependencies" in result.stderr and "proto_prime.toml, line 1" in result.stderr
    assert all(line.isprintable() for line in result.stderr.split("\n"))
    repo.config('dependencies = ["six\\t>= 1"]\n')  # which PEP 508 allows
    repo.prime("info", status=None)


BAD = toml("six\n--index-url https://evil.org")
PROJECT_HEAD = '[project]\nname = "a"\nversion = "1"\n'
APPLICATION = "[tool.uv]\npackage = false\n"
PLACES = {
    "a field": ("proto_prime.toml", "index_url = %s\n" % BAD),
    "a list": ("proto_prime.toml", "find_links = [%s]\n" % BAD),
    "an option": ("proto_prime.toml", 'dependencies = [" -r x"]\n'),
    "an option behind": ("proto_prime.toml", 'dependencies = ["six --config-settings=a=b"]\n'),
    "an option as a field": ("proto_prime.toml", 'index_url = "--trusted-host=evil.org"\n'),
    "a path": ("proto_prime.toml", 'projects = [%s]\n' % BAD),
    "an extra": ("proto_prime.toml", 'projects = [{path = ".", extras = [%s]}]\n' % BAD),
    "a group of a project": ("proto_prime.toml", 'projects = [{path = ".", groups = ["-x"]}]\n'),
    "the version of uv": ("pyproject.toml", '[tool.uv]\nrequired-version = ">=0.1,\\n<9"\n'),
    "requires-python": ("pyproject.toml", PROJECT_HEAD + 'requires-python = ">=3.6\\n,<9"\n'),
    "a named environment": ("proto_prime.toml", "[env.x]\ndependencies = [%s]\n" % BAD),
    "a group": ("pyproject.toml", '[dependency-groups]\ndev = [%s]\n' % BAD),
    "a group that another includes": (
        "pyproject.toml", '[dependency-groups]\ndev = [{include-group = "b"}]\nb = ["a -e b"]\n'),
    "a dependency of an application": ("pyproject.toml", PROJECT_HEAD + "dependencies = [%s]\n" % BAD + APPLICATION),
    "an extra of an application": (
        "pyproject.toml", PROJECT_HEAD + '[project.optional-dependencies]\nx = [%s]\n' % BAD + APPLICATION +
        '[tool.proto-prime]\nprojects = [{path = ".", extras = ["x"]}]\n'),
}


@pytest.mark.parametrize("where", PLACES)
def test_H15_text_that_would_be_an_option_is_refused_wherever_it_stands(repo, where):
    name, text = PLACES[where]
    repo.write(name, text)
    result = repo.prime("-e", "x", status=2) if where == "a named environment" else repo.prime(status=2)
    assert name in result.stderr and result.stderr.count("\nprime:") == 0, result.stderr
    assert 'starts with "-"' in result.stderr or "control character" in result.stderr


@pytest.mark.parametrize("driver_name", DRIVERS)
@pytest.mark.parametrize("change", [
    ('name = "six"', 'name = "six\\n--index-url https://evil.org\\n#"'),
    ('name = "six"', 'name = "six @ https://evil.org/x #"'),
    ('name = "six"', 'name = ""'), ('name = "six"', 'name = "-r"'), ('name = "six"', 'name = "../../x"'),
    ('version = "', 'version = "1\\n--pre\\n'), ('version = "', 'version = "1 #'),
    ('url = "', 'url = "https://x.org/\\n'), ('url = "', 'url = "https://x.org/ --pre'),
    ('name = "six"', 'name = "six"\nmarker = "os_name == \'a\'\\n--pre"'),
    ('name = "six"', 'name = "six"\nmarker = "os_name == \'posix\') --pre (os_name"')], ids=lambda each: each[1][:50])
def test_H15_text_of_a_lock_becomes_no_line_and_no_option(repo, wheelhouse, driver_name, change):
    repo.link("uv", uv_program())
    repo.config()
    repo.write("pylock.toml", pylock([six_package(wheelhouse).replace(*change)]))
    result = repo.prime(status=2, env={"PROTOPRIMER_VENV_DRIVER": driver_name})
    assert "pylock.toml" in result.stderr and result.stderr.count("\nprime: error") <= 1


@pytest.mark.parametrize("field", ["extras", "dependency-groups", "environments"])
def test_H15_name_of_a_part_of_a_lock_is_no_option(repo, wheelhouse, field):
    repo.config()
    repo.write("pylock.toml", pylock([six_package(wheelhouse)], head='%s = ["a\\n--pre"]' % field))
    assert field in repo.prime(status=2, env={"PROTOPRIMER_VENV_DRIVER": "venv_pip"}).stderr


@pytest.mark.parametrize("package", [
    'name = "a"\ndirectory = { path = "b\\n--pre" }',
    'name = "a"\ndirectory = { path = "./b", subdirectory = "c\\nd" }',
    'name = "a"\nvcs = { type = "git", url = "https://x.org/a", commit-id = "1\\n--pre" }',
    'name = "a"\nvcs = { type = "git", url = "https://x.org/a --pre", commit-id = "1" }'])
def test_H15_directory_or_checkout_of_a_lock_is_one_argument(repo, package):
    repo.config()
    repo.write("pylock.toml", pylock([package]))
    assert "pylock.toml" in repo.prime(status=2, env={"PROTOPRIMER_VENV_DRIVER": "venv_pip"}).stderr


@pytest.mark.parametrize("system", ["requires = [%s]" % BAD, 'requires = ["-r x"]', "requires = 5", "requires = [5]",
                                    'requires = []\nbuild-backend = 5', 'requires = []\nbackend-path = "x"',
                                    'requires = []\nbuild-backend = "a\\nb"'])
def test_H15_build_system_is_no_option(repo, system):
    repo.link("uv", uv_program())
    repo.write("pyproject.toml", "[build-system]\n%s\n%s" % (system, PROJECT_HEAD))
    result = repo.prime("vendor", ".vendor", status=2)
    assert "build-system." in result.stderr and "pyproject.toml" in result.stderr


def test_H15_metadata_of_a_script_is_no_option(plain):
    plain.write("a.py", "# /// script\n# dependencies = [%s]\n# ///\n" % BAD)
    result = plain.prime("run", "a.py", status=2)
    assert "dependencies" in result.stderr and "PEP 723" in result.stderr


@pytest.mark.parametrize("name", ["nul", "Con", "com1", "x" * 300])
def test_H4_name_of_an_environment_is_that_of_a_directory(repo, name):
    repo.config("[env.%s]\n" % name)
    assert "environment name" in repo.prime(status=2).stderr


def test_values_for_the_users_own_programs_may_be_any_text(repo):
    repo.config('env_vars = {A = "-x\\ny"}\npost_boot = [["python", "-c", "1\\n2"]]\n')
    assert repo.inside("import os; print(repr(os.environ['A']))") == "'-x\\ny'"
