"""An index of one's own: passwords, certificates, proxies; and what an index, or anybody between, may spoil."""

import io
import json
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from conftest import python, some_python, uv_program
from helpers import (
    ENDS,
    FAR,
    FETCH,
    USER,
    Index,
    Proxy,
    Vendored,
    boot_without_wheels,
    check_no_fetch,
    check_secrecy,
    fetch_itself,
    kept_in,
    preloaded,
    real_uv_version,
)

import proto_prime

# -- what each test has ----------------------------------------------------------------------------


def uvs_kept(repo):
    """What the user's cache holds of uv, but for the lock, and whatever was left half done."""
    return kept_in(Path(repo.env["PROTOPRIMER_CACHE_DIR"]))


def check_refusal(repo, words, *argv, **options):
    """Run prime, which must fail with `words` in its error, name them in the log, and leave all as it was."""
    envs, old = sorted((repo.path / ".prime" / "envs").iterdir()), os.readlink(str(repo.path / ".venv"))
    kept, logs = uvs_kept(repo), repo.logs
    result = repo.prime(*argv, status=1, **options)
    error = result.stderr[result.stderr.index("prime: error: "):]
    assert re.search(words, error), error
    assert "Traceback (" not in result.stderr
    assert repo.logs[-1] not in logs and re.search(words, repo.logs[-1].read_text(encoding="utf-8"))
    check_secrecy(repo, result.stdout, result.stderr)
    assert sorted((repo.path / ".prime" / "envs").iterdir()) == envs
    assert uvs_kept(repo) == kept
    assert os.readlink(str(repo.path / ".venv")) == old
    assert repo.prime("run", "--no-boot", "python", "-c", "print(1)").stdout == "1\n"
    return error


# What is wrong: the settings, and what pip, uv and this file itself say of it.
WRONG = {
    "no password": ({"user": None}, "401 .*Unauthorized", "401 Unauthorized", "Unauthorized"),
    "another password": ({"user": "mary:guess"}, "401 .*Unauthorized", "401 Unauthorized", "Unauthorized"),
    "no certificate": ({"certificate": None}, "CERTIFICATE_VERIFY_FAILED", "invalid peer certificate",
                       "CERTIFICATE_VERIFY_FAILED"),
    "certificate that is not there": ({"certificate": "/no/such.pem"}, "/no/such.pem", "/no/such.pem",
                                      "/no/such.pem"),
    "no proxy": ({"proxy": None}, "Connection refused", "127.0.0.1:1/(.|\n)*Connection refused",
                 "127.0.0.1:1/.*refused"),
    "password of the proxy": ({"proxy": "mary:guess"}, "407 Proxy Authentication", "proxy authorization required",
                              "407 Proxy Authentication"),
}
PIP, UV, ITSELF = range(1, 4)

# -- both drivers ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("where", ["index_url", "the tool's own variables"])
def test_index_with_password_certificate_and_proxy(index_client, driver, net, where):
    url, variables = net.settings()
    if where == "index_url":
        index_client.config('dependencies = ["six"]\nindex_url = "%s"' % url)
    else:
        index_client.config('dependencies = ["six"]')
        index_client.env["PIP_INDEX_URL" if driver == "venv_pip" else "UV_DEFAULT_INDEX"] = url
        variables["SSL_CERT_FILE"] = variables.pop("PIP_CERT")
    index_client.env.update(variables)
    result = index_client.prime("-vv")
    assert index_client.inside("import six; print(1)") == "1"
    check_secrecy(index_client, result.stdout, result.stderr)
    assert ("CONNECT", FAR) in net.proxy.passed
    assert {path for path, _ in net.index.asked} >= {"/simple/six/"}


@pytest.mark.slow
def test_plain_index_that_speaks_JSON_behind_a_proxy(index_client, driver, local_index):
    local_index.speaks_json, proxy = True, Proxy(local_index)
    try:
        index_client.config('dependencies = ["six"]\nindex_url = "%s"' % local_index.url(place=FAR))
        index_client.prime(env={"http_proxy": proxy.url()})
        assert index_client.inside("import six; print(1)") == "1"
        assert ("GET", FAR) in proxy.passed
    finally:
        proxy.close()


@pytest.mark.slow
def test_wrong_settings_for_an_index_are_named(index_client, driver, net):
    index_client.prime()
    for case in sorted(set(WRONG) - {"no password"}):
        url, variables = net.settings(**WRONG[case][0])
        index_client.config('dependencies = ["six"]\nindex_url = "%s"' % url)
        words = WRONG[case][PIP if driver == "venv_pip" else UV]
        check_refusal(index_client, words, "-v", env=variables)
        assert FAR in index_client.logs[-1].read_text(encoding="utf-8")


SPOILED = {"changed": Index.changed, "truncated": Index.truncated, "HTML page": Index.html_page}


@pytest.mark.slow
def test_I4_wheel_that_is_not_what_the_index_says_is_refused(index_client, driver, local_index):
    index_client.prime()
    index_client.config('dependencies = ["six"]\nindex_url = "%s"' % local_index.url())
    for way in SPOILED.values():
        local_index.spoiled["six"] = way
        check_refusal(index_client, "six")
    local_index.spoiled.clear()
    index_client.prime()  # and nothing of it is taken from a cache
    assert index_client.inside("import six; print(1)") == "1"


def forged(wheel):
    """A sound wheel with other content."""
    data = io.BytesIO()
    with zipfile.ZipFile(str(wheel)) as old, zipfile.ZipFile(data, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name) + (b"\nFORGED = True\n" if name.endswith("six.py") else b""))
    return data.getvalue()


@pytest.mark.slow
def test_I4_forged_wheel_is_refused_by_the_hash_of_the_index(index_client, driver, local_index, wheelhouse):
    index_client.prime()
    wheel = next(wheelhouse.glob("six-*.whl"))
    local_index.spoiled["six"] = lambda self, request, name, _: request.give(200, forged(wheel))
    index_client.config('dependencies = ["six"]\nindex_url = "%s"' % local_index.url())
    error = check_refusal(index_client, "six")
    assert re.search("(?i)do not match the hashes|hash mismatch", error)
    assert proto_prime.hash_file(str(wheel)) in error


# -- uv, fetched by pip ----------------------------------------------------------------------------


@pytest.fixture
def uvless(index_client):
    """A client without a uv, which has an environment that a uv made."""
    index_client.env["PROTOPRIMER_VENV_DRIVER"] = "venv_uv"
    index_client.link("uv", uv_program())
    index_client.prime()
    (index_client.bin / "uv").unlink()
    return index_client


@pytest.mark.slow
@pytest.mark.parametrize("where", ["index_url", "UV_DEFAULT_INDEX"])
def test_uv_is_fetched_by_pip_with_password_certificate_and_proxy(uvless, net, where):
    url, variables = net.settings()
    if where == "index_url":
        uvless.config('index_url = "%s"' % url)
    else:
        variables[where] = url
    result = uvless.prime("-vv", "reset", env=variables)
    assert "prime: fetching uv\n" in result.stderr
    assert uvs_kept(uvless) == ["uv/uv-" + real_uv_version()]
    check_secrecy(uvless, result.stdout, result.stderr)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["another password", "no certificate", "no proxy"])
def test_wrong_settings_for_the_fetch_of_uv_by_pip_are_named(uvless, net, case):
    url, variables = net.settings(**WRONG[case][0])
    uvless.config('index_url = "%s"' % url)
    check_refusal(uvless, WRONG[case][PIP], "-v", env=variables)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["changed", "truncated"])
def test_I4_uv_that_pip_fetches_and_that_is_not_what_the_index_says_is_refused(uvless, local_index, way):
    uvless.config('index_url = "%s"' % local_index.url())
    local_index.spoiled["uv"] = SPOILED[way]
    error = check_refusal(uvless, "uv-%s-py3" % re.escape(real_uv_version()))
    assert "DO NOT MATCH THE HASHES" in error


# -- uv, fetched by this file itself ---------------------------------------------------------------

def check_fetch(repo, *words, sha256="", **options):
    """Assert that a fetch straight from the index gets a uv that runs, and keeps nothing else."""
    name = "uv/uv-" + real_uv_version() + (sha256 and "-" + sha256[:16])
    for fetch in fetch_itself(repo, *words, **options):
        assert fetch.status == 0, fetch.stderr
        assert fetch.kept == [name]
        assert fetch.stdout == "%s\n" % (fetch.cache / name)
        assert subprocess.run([str(fetch.cache / name), "--version"], stdout=subprocess.DEVNULL).returncode == 0


SPELLINGS = [  # of the index, the certificate and the proxy
    ("--index-url", "PIP_CERT", "https_proxy"), ("PIP_INDEX_URL", "SSL_CERT_FILE", "PIP_PROXY"),
    ("UV_INDEX_URL", "REQUESTS_CA_BUNDLE", "HTTPS_PROXY"), ("UV_DEFAULT_INDEX", "PIP_CERT", "https_proxy")]


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.6", "3.8", "3.11", "3.13"])  # each has another of the spellings
def test_uv_is_fetched_without_pip_with_password_certificate_and_proxy(index_client, net, version):
    place, certificate, proxy = SPELLINGS[int(version[2:]) % 4]
    url, variables = net.settings()[0], {certificate: str(net.certificate), proxy: net.proxy.url(USER)}
    net.index.speaks_json = int(version[2:]) % 2 == 0
    options = ["--index-url", url] if place == "--index-url" else []
    env = variables if options else dict(variables, **{place: url})
    check_fetch(index_client, *options, env=env, versions=[version])
    assert len(net.proxy.passed) == 2


def test_uv_is_fetched_without_pip_through_a_proxy_without_encryption(index_client, local_index):
    proxy = Proxy(local_index)
    try:
        for name, version in zip(("http_proxy", "PIP_PROXY"), ENDS):
            env = {name: proxy.url()}
            check_fetch(index_client, "--index-url", local_index.url(place=FAR), env=env, versions=[version])
        assert proxy.passed == 4 * [("GET", FAR)]
    finally:
        proxy.close()


def test_uv_is_fetched_without_pip_from_the_users_own_find_links(index_client, local_index, wheelhouse):
    settings = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": wheelhouse.as_uri(), "PIP_INDEX_URL": local_index.url()}
    check_fetch(index_client, env=settings)
    assert local_index.asked == []


@pytest.mark.parametrize("case", sorted(WRONG))
def test_wrong_settings_for_the_fetch_of_uv_without_pip_are_named(index_client, net, case):
    url, variables = net.settings(**WRONG[case][0])
    check_no_fetch(index_client, WRONG[case][ITSELF], "--index-url", url, env=variables)


OWN_WORDS = {"changed": "no wheel of uv: Bad CRC", "truncated": "IncompleteRead", "HTML page": "no wheel of uv"}


@pytest.mark.parametrize("has_hashes", [True, False])
@pytest.mark.parametrize("way", sorted(SPOILED))
def test_I4_uv_that_is_not_what_the_index_says_is_refused_without_pip(index_client, local_index, way, has_hashes):
    local_index.spoiled["uv"], local_index.has_hashes = SPOILED[way], has_hashes
    words = OWN_WORDS[way]
    if has_hashes and way != "truncated":
        words = "uv-.*is not what it should be\n  expected sha256 .*\n  found    sha256 "
    check_no_fetch(index_client, words, "--index-url", local_index.url())


def test_I4_wheel_of_uv_that_cannot_be_unpacked_is_refused(index_client, local_index):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("uv-0.1.data/scripts/uv", "#!/bin/sh\n")
    wheel = bytearray(data.getvalue())
    for place in (8, wheel.rindex(b"PK\1\2") + 10):  # how it is compressed: in a way that nobody knows
        wheel[place] = 99
    local_index.has_hashes = False
    local_index.spoiled["uv"] = lambda self, request, *_: request.give(200, bytes(wheel))
    check_no_fetch(index_client, "uv-.* is no wheel of uv", "--index-url", local_index.url())


def test_I4_HTML_page_instead_of_the_page_of_uv_is_refused(index_client, local_index):
    local_index.files["uv"] = b"<!DOCTYPE html><html><body><a href='/login'>Please log in</a></body></html>"
    words = "there is no uv for .*\n  none of 1 files fits"
    check_no_fetch(index_client, words, "--index-url", local_index.url("files"))


def test_I4_redirect_to_http_is_refused_for_uv(index_client, net, local_index):
    net.index.user, net.index.elsewhere = "", local_index.url("")[:-1]
    env = {"PIP_CERT": str(net.certificate)}
    for place in ("away", "simple"):  # the page, the file
        net.index.spoiled["uv"] = Index.away
        words = "%s.* leads to http://%s.*, which is not https" % (net.index.place, local_index.place)
        check_no_fetch(index_client, words, "--index-url", net.index.url(place), env=env)
    assert local_index.asked == []


def test_password_stays_with_the_server_that_it_is_for(index_client, local_index, wheelhouse):
    other = Index(wheelhouse)
    try:
        local_index.user, local_index.elsewhere, local_index.spoiled["uv"] = USER, other.url("")[:-1], Index.away
        check_fetch(index_client, "--index-url", local_index.url(user=USER))
        assert [has for _, has in local_index.asked] == 4 * [True]
        assert [has for _, has in other.asked] == 2 * [False]
    finally:
        other.close()


@pytest.mark.parametrize("is_behind_a_proxy", [False, True])
def test_password_goes_along_with_a_redirect_on_the_same_server(index_client, local_index, is_behind_a_proxy):
    proxy = Proxy(local_index)
    try:
        local_index.user, local_index.elsewhere, local_index.spoiled["uv"] = USER, "", Index.away
        place, env = (FAR, {"http_proxy": proxy.url()}) if is_behind_a_proxy else ("", None)
        check_fetch(index_client, "--index-url", local_index.url(user=USER, place=place), env=env)
    finally:
        proxy.close()


# -- uv, in a boot where no pip is to be had -------------------------------------------------------


@pytest.fixture
def pipless(index_client, spare_python):
    """A client for the driver venv_uv, whose python has no ensurepip, and nothing else on PATH."""
    shutil.rmtree(str(spare_python.parent.parent / "lib" / "python3.12" / "ensurepip"))
    index_client.env.update(PATH=str(index_client.bin), PROTOPRIMER_VENV_DRIVER="venv_uv")
    index_client.wild = spare_python
    return index_client


@pytest.mark.slow
def test_C9_boot_without_any_pip_fetches_uv_from_the_index(pipless, net):
    url, variables = net.settings()
    pipless.config('dependencies = ["six"]\nindex_url = "%s"' % url)
    pipless.env.update(variables)
    done = boot_without_wheels(pipless, pipless.wild)
    assert done.returncode == 0, done.stderr
    assert "fetching uv from the index" in done.stderr
    assert subprocess.run([str(pipless.path / ".venv" / "bin" / "python"), "-c", "import six"]).returncode == 0
    assert uvs_kept(pipless) == ["uv/uv-" + real_uv_version()]
    check_secrecy(pipless, done.stdout, done.stderr)


@pytest.mark.slow
def test_C9_boot_without_any_pip_says_why_uv_cannot_be_fetched(pipless, net):
    pipless.config('index_url = "%s"' % net.settings()[0])
    done = boot_without_wheels(pipless, pipless.wild)
    assert done.returncode == 1
    assert re.search("prime: error: .*%s.*refused" % FAR, done.stderr), done.stderr
    assert pipless.generations == uvs_kept(pipless) == []
    check_secrecy(pipless, done.stdout, done.stderr)


# -- uv, pinned by its hash ------------------------------------------------------------------------


@pytest.fixture
def pinned(uvless, local_index, wheelhouse):
    """A function that pins the uv of the index by hashes; on PATH stands a uv of the same version."""
    uvless.link("uv", uv_program())
    uvless.right = proto_prime.hash_file(str(next(wheelhouse.glob("uv-*.whl"))))

    def pin(*hashes):
        uvless.config('uv_version = "%s"\nuv_sha256 = %s\nindex_url = "%s"' % (
            real_uv_version(), json.dumps(hashes), local_index.url()))

    uvless.pin = pin
    return uvless


@pytest.mark.slow
def test_uv_pinned_by_hash_is_fetched_once_in_spite_of_one_on_PATH(pinned, local_index):
    pinned.pin("0" * 64, pinned.right.upper())  # that of another platform, and ours
    result = pinned.prime("-v")
    name = "uv-%s-%s" % (real_uv_version(), pinned.right[:16])
    assert uvs_kept(pinned) == ["uv/" + name]
    assert "run: '%s' venv " % (pinned.home / "cache" / "uv" / name) in result.stderr
    del local_index.asked[:]
    result = pinned.prime("-v", "reset")
    assert "run: '%s' venv " % (pinned.home / "cache" / "uv" / name) in result.stderr
    assert local_index.asked == []


@pytest.mark.slow
def test_uv_pinned_by_another_hash_is_refused(pinned):
    pinned.pin("0" * 64)
    error = check_refusal(pinned, "uv-.*whl is not what uv_sha256 says")
    assert "sha256 is " + pinned.right in error


@pytest.mark.slow
def test_uv_that_was_fetched_without_a_hash_is_not_taken_for_one_with(pinned):
    pinned.pin()
    (pinned.bin / "uv").unlink()
    pinned.prime()
    assert uvs_kept(pinned) == ["uv/uv-" + real_uv_version()]
    pinned.pin("0" * 64)
    check_refusal(pinned, "is not what uv_sha256 says")
    pinned.pin(pinned.right)
    pinned.prime()
    assert len(uvs_kept(pinned)) == 2


@pytest.mark.parametrize("text", ["(", "0" * 63, ""])
def test_uv_sha256_that_is_no_hash_is_a_wrong_config(index_client, text):
    index_client.config('uv_version = "0.0.1"\nuv_sha256 = ["%s"]' % text)
    result = index_client.prime("--offline", status=2, env={"PROTOPRIMER_VENV_DRIVER": "venv_uv"})
    assert "uv_sha256" in result.stderr and "proto_prime.toml, line 2" in result.stderr


@pytest.mark.parametrize("is_right", [True, False])
def test_uv_pinned_by_hash_without_pip(index_client, local_index, wheelhouse, is_right):
    right = proto_prime.hash_file(str(next(wheelhouse.glob("uv-*.whl"))))
    local_index.has_hashes = False  # not to be refused by another one
    code = FETCH.replace("sys.argv[2:])", "sys.argv[3:], [sys.argv[2]])")
    if is_right:
        check_fetch(index_client, right, "--index-url", local_index.url(), sha256=right, code=code)
    else:
        words = "is not what uv_sha256 says\n  sha256 is " + right
        check_no_fetch(index_client, words, "0" * 64, "--index-url", local_index.url(), code=code)


# -- passwords in what is printed, and in what needs them ------------------------------------------


def test_info_does_not_tell_the_password_of_an_index(index_client, local_index):
    places = 'index_url = "%s"\nextra_index_urls = ["%s"]\nfind_links = ["%s"]'
    index_client.config(places % (3 * (local_index.url(user=USER),)))
    for argv in ([], ["--json"]):
        result = index_client.prime("info", *argv, status=1)
        check_secrecy(index_client, result.stdout, result.stderr)


@pytest.mark.slow
def test_vendor_fetches_from_an_index_with_a_password(index_client, net):
    index_client.link("uv", uv_program())
    url, variables = net.settings()
    index_client.config('dependencies = ["six"]\nindex_url = "%s"' % url)
    result = index_client.prime("vendor", env=variables)
    check_secrecy(index_client, result.stdout, result.stderr)
    assert list((index_client.path / "vendor").glob("six-*.whl"))


# -- prime update ----------------------------------------------------------------------------------


@pytest.fixture
def vendored(index_client):
    return Vendored(index_client)


SHA256 = "--sha256"


@pytest.mark.parametrize("version", ENDS)
def test_I4_update_from_https(vendored, net, version):
    net.index.files["proto_prime.py"] = vendored.new
    env = dict(net.settings()[1], PYTHONDONTWRITEBYTECODE="1")
    vendored.check_update("--from", net.index.url("files/proto_prime.py", user=USER, place=FAR),
                          env=env, python=python(version))


def test_I4_update_from_http_with_a_hash(vendored, local_index):
    local_index.files["proto_prime.py"] = vendored.new
    vendored.check_update("--from", local_index.url("files/proto_prime.py"), SHA256,
                          proto_prime.hash_bytes(vendored.new).upper())


@pytest.mark.parametrize("form", ["{}", "file://{}", "relative", "offline"])
def test_I4_update_from_a_file_with_an_odd_name(vendored, form):
    place = vendored.repo.home / "a new #1 100% ünïcode.py"
    place.write_bytes(vendored.new)
    place.chmod(0o600)
    source = {"file://{}": place.as_uri(), "relative": os.path.join(os.curdir, place.name)}.get(form, str(place))
    env = {"PROTOPRIMER_OFFLINE": "1"} if form == "offline" else {}
    vendored.check_update("--from", source, env=env, cwd=str(place.parent))


def test_I4_update_to_the_same_version_says_so(vendored):
    place = vendored.repo.home / "same.py"
    place.write_bytes(vendored.old)
    result = vendored.repo.prime("update", "--from", place)
    assert result.stderr == "prime: %s is that version already (%s)\n" % (vendored.file, vendored.version)
    assert vendored.look() == vendored.state


def test_I4_update_with_another_hash_is_refused(vendored, local_index):
    local_index.files["proto_prime.py"] = vendored.new
    words = "files/proto_prime.py is not what it should be\n  expected sha256 %s\n  found    sha256 %s" % (
        "0" * 64, proto_prime.hash_bytes(vendored.new))
    vendored.check_refusal(words, "--from", local_index.url("files/proto_prime.py"), SHA256, "0" * 64)
    place = vendored.repo.home / "new.py"
    place.write_bytes(vendored.new)
    vendored.check_refusal("new.py is not what it should be", "--from", place, SHA256, "0" * 64)


@pytest.mark.parametrize("way, words", [
    ("changed", "is not what it should be"), ("truncated", "IncompleteRead"),
    ("HTML page", "is not what it should be")])
def test_I4_update_that_was_spoiled_on_its_way_is_refused(vendored, local_index, way, words):
    local_index.files["proto_prime.py"], local_index.spoiled["proto"] = vendored.new, SPOILED[way]
    vendored.check_refusal(words, "--from", local_index.url("files/proto_prime.py"), SHA256,
                           proto_prime.hash_bytes(vendored.new))


@pytest.mark.parametrize("way, words", [
    ("truncated", "IncompleteRead|EOF|eof"), ("HTML page", "is no proto_prime.py"),
    ("away", "which is not https")])
def test_I4_update_from_https_without_a_hash_that_is_not_the_file_is_refused(vendored, net, local_index, way, words):
    net.index.user, net.index.elsewhere = "", local_index.url("")[:-1]
    net.index.files["proto_prime.py"] = local_index.files["proto_prime.py"] = vendored.new
    net.index.spoiled["proto"] = dict(SPOILED, away=Index.away)[way]
    vendored.check_refusal(words, "--from", net.index.url("files/proto_prime.py"),
                           env={"PIP_CERT": str(net.certificate)})
    assert local_index.asked == []


@pytest.mark.parametrize("scheme", ["http", "HTTP", "ftp"])
def test_I4_update_without_encryption_and_without_a_hash_is_refused(vendored, local_index, scheme):
    local_index.files["proto_prime.py"] = vendored.new
    source = "%s://%s/files/proto_prime.py" % (scheme, FAR if scheme == "ftp" else local_index.place)
    vendored.check_refusal("could be anybody's\n  hint: give https, or --sha256", "--from", source, status=2)
    assert local_index.asked == []


def test_update_that_is_refused_does_not_tell_the_password(vendored, local_index):
    vendored.check_refusal("could be anybody's", "--from", local_index.url("files/proto_prime.py", user=USER), status=2)


OTHER_FILES = {
    "another program": "print('proto_prime 99.1')\n",
    "a module": "def main():\n    pass\n",
    "no python": "<html></html>\n",
    "one that fails": "import sys\nprint('proto_prime 99.1')\n# def command_update\nsys.exit(3)\n",
    "half a file": None,
    "nothing": "",
}


@pytest.mark.parametrize("what", sorted(OTHER_FILES))
def test_I4_update_to_something_else_is_refused(vendored, what):
    place, text = vendored.repo.home / "other.py", OTHER_FILES[what]
    place.write_bytes(vendored.new[:len(vendored.new) // 2] if text is None else text.encode())
    words = "other.py'? is no proto_prime.py(.|\n)*hint: .*proto_prime.py is left as it is"
    vendored.check_refusal(words, "--from", place)


def test_I4_update_from_where_there_is_nothing_is_refused(vendored, local_index, net):
    for source, words in ((local_index.url("files/none.py"), "cannot fetch %s: .*" % local_index.url("files/none.py")),
                          ("http://%s/x.py" % FAR, "cannot fetch http://%s/x.py: .*refused" % FAR)):
        vendored.check_refusal(words, "--from", source, SHA256, "0" * 64)
    vendored.check_refusal("CERTIFICATE_VERIFY_FAILED", "--from", net.index.url("files/x.py"))
    for source in ("no/such/file.py", vendored.repo.path):
        name = os.path.basename(str(source))
        vendored.check_refusal("there is no such file: .*%s'? .--from" % name, "--from", source)
    vendored.check_refusal("offline: https://.* is not fetched", "--from", "https://%s/x.py" % FAR,
                           env={"PROTOPRIMER_OFFLINE": "1"})


def test_I4_update_from_an_index_that_has_it_not_says_what_to_type(vendored, local_index):
    vendored.repo.config('index_url = "%s"' % local_index.url("nothing"))
    said = vendored.repo.prime("update", "--sha256", "0" * 64, status=1).stderr
    assert "Not Found" in said and re.search("hint: .*prime'? update --from FILE takes the version in FILE", said)


def test_update_by_a_python_without_ssl_says_so(vendored, spare_python):
    for library in spare_python.parent.parent.glob("lib/python3.12/lib-dynload/_ssl*"):
        library.unlink()
    vendored.check_refusal("ssl", "--from", "https://%s/x.py" % FAR, python=spare_python)


# -- I5: no index, and a wheel missing -------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["idna", "flit_core"])
def test_I5_find_links_that_lack_a_wheel_name_it(index_client, driver, wheelhouse, missing):
    index_client.prime()
    (index_client.path / "wheels").mkdir()
    for wheel in wheelhouse.glob("*.whl"):
        if wheel.name.split("-")[0] in {"six", "idna", "flit_core"} - {missing}:
            shutil.copy(str(wheel), str(index_client.path / "wheels"))
    (index_client.path / "proto_prime.toml").unlink()
    index_client.project(["six", "idna"], '[tool.proto-prime]\nno_index = true\nfind_links = ["wheels"]')
    check_refusal(index_client, missing.replace("_", "[_-]"))


# -- offline: nobody is called ---------------------------------------------------------------------

NO_CALLS = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void tell(const char *what) {
    int log = open(getenv("CALLS_LOG"), O_WRONLY | O_APPEND | O_CREAT, 0600);
    dprintf(log, "%s\\n", what);
    close(log);
}

int connect(int number, const struct sockaddr *place, socklen_t length) {
    int (*next)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "connect");
    if (place->sa_family != AF_INET && place->sa_family != AF_INET6)
        return next(number, place, length);
    tell("connect(AF_INET)");
    errno = EACCES;
    return -1;
}

typedef struct addrinfo info;

int getaddrinfo(const char *node, const char *service, const info *hints, info **found) {
    int (*next)(const char *, const char *, const info *, info **) = dlsym(RTLD_NEXT, "getaddrinfo");
    if (node && !(hints && hints->ai_flags & AI_NUMERICHOST))
        tell("getaddrinfo(AF_INET)");
    return next(node, service, hints, found);
}
"""


@pytest.fixture
def watched(index_client, tmp_path):
    """A client of whose boots `calls()` tells whom they called; told by strace, or else by a C library.

    A socket alone is none: pip makes one to learn of IPv6.
    """
    log = tmp_path / "calls"
    kinds = "trace=connect,sendto,sendmsg,sendmmsg"
    strace = ["strace", "-f", "--seccomp-bpf", "-qq", "-e", kinds, "-o", str(log)]
    python = index_client.program("watched python", '#!/bin/sh\nexec "%s" "$@"\n' % some_python())
    if shutil.which("strace") and not subprocess.run(strace + ["true"], stderr=subprocess.DEVNULL).returncode:
        index_client.program("watched python", '#!/bin/sh\nexec %s "%s" "$@"\n' % (
            " ".join("'%s'" % word for word in strace), some_python()))
    else:
        index_client.env.update(LD_PRELOAD=preloaded(tmp_path, NO_CALLS), CALLS_LOG=str(log))

    def calls():
        text = log.read_text() if log.exists() else ""
        return [line for line in text.splitlines() if "AF_INET" in line]

    index_client.watched_python, index_client.calls = python, calls
    return index_client


def remote(repo, index):
    """Let every setting that names a place of packages name the index; returns fields, and its page of six."""
    page, pip, uv = index.url("simple/six/"), repo.home / "pip.conf", repo.home / "uv.toml"
    pip.write_text("[global]\nindex-url = %s\nfind-links = %s\n" % (index.url(), page))
    uv.write_text('index-url = "%s"\nfind-links = ["%s"]\n' % (index.url(), page))
    del repo.env["UV_NO_CONFIG"]
    repo.env.update(PIP_CONFIG_FILE=str(pip), UV_CONFIG_FILE=str(uv))
    repo.env.update(PIP_INDEX_URL=index.url(), PIP_EXTRA_INDEX_URL=index.url(), PIP_FIND_LINKS=page,
                    UV_DEFAULT_INDEX=index.url(), UV_INDEX=index.url(), UV_FIND_LINKS=page)
    return 'index_url = "%s"\nextra_index_urls = ["%s"]\n' % (index.url(), index.url()), page


@pytest.mark.slow
def test_boot_offline_calls_nobody(watched, driver, local_index, wheelhouse):
    fields, page = remote(watched, local_index)
    watched.project(["six"])
    watched.config('dependencies = ["six"]\nfind_links = ["%s", "%s"]\n%s' % (page, wheelhouse, fields))
    watched.prime(python=watched.watched_python, env={"PROTOPRIMER_OFFLINE": "1"})
    assert watched.inside("import six; print(1)") == "1"
    (watched.path / "pyproject.toml").unlink()
    watched.config('dependencies = ["no-such-package"]\nfind_links = ["%s"]\n%s' % (page, fields))
    result = watched.prime("--offline", python=watched.watched_python, status=1)
    assert "no-such-package" in result.stderr
    assert watched.calls() == local_index.asked == []


@pytest.mark.slow
def test_requirements_offline_that_name_a_place_call_nobody(watched, driver, local_index):
    places = "--index-url %s\n--find-links %s\n" % (local_index.url(), local_index.url("simple/six/"))
    watched.write("requirements.txt", places + "six\n")
    result = watched.prime("--offline", python=watched.watched_python, status=1)
    assert "six" in result.stderr[result.stderr.index("error: "):]
    assert watched.calls() == local_index.asked == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wheel", "checkout", "build requirement"])
def test_dependency_offline_that_is_a_URL_calls_nobody(watched, driver, local_index, wheelhouse, kind):
    name = next(wheelhouse.glob("six-*.whl")).name
    if kind == "checkout" and not shutil.which("git"):
        pytest.skip("no git")
    wanted = "six @ " + local_index.url("files/" + name)
    if kind == "checkout":
        wanted = "six @ git+" + local_index.url("files/six.git")
    watched.config("dependencies = [%s]" % json.dumps(wanted))
    if kind == "build requirement":
        (watched.path / "proto_prime.toml").unlink()
        pyproject = watched.project([], '[tool.proto-prime]\nfind_links = ["%s"]' % wheelhouse)
        pyproject.write_text(pyproject.read_text().replace('"flit_core"', '"flit_core", "%s"' % wanted))
    result = watched.prime("--offline", python=watched.watched_python, status=1)
    in_a_build = kind == "build requirement" and driver == "venv_pip"  # of which pip tells no more
    assert ("build dependencies" if in_a_build else "six") in result.stderr[result.stderr.index("error: "):]
    assert watched.calls() == local_index.asked == []


@pytest.mark.slow
def test_commands_offline_call_nobody(watched, local_index):
    fields, _ = remote(watched, local_index)
    watched.config('dependencies = ["six"]\nvenv_driver = "venv_uv"\n' + fields)
    for argv in (["boot"], ["lock"], ["vendor"], ["update", "--from", "https://%s/x.py" % FAR]):
        result = watched.prime("--offline", *argv, python=watched.watched_python, status=1)
        assert "offline" in result.stderr[result.stderr.index("error: "):], argv
    watched.link("uv", uv_program())
    for argv in (["lock"], ["vendor"]):
        watched.prime("--offline", *argv, python=watched.watched_python, status=1)
    assert watched.calls() == local_index.asked == []


@pytest.mark.slow
def test_boot_that_is_not_offline_calls_the_index(watched, driver, local_index):
    watched.config('dependencies = ["six"]\n' + remote(watched, local_index)[0])
    watched.prime(python=watched.watched_python, status=None)
    assert watched.calls()
