"""The terminal at the top of README.md: what a real run shows, as an SVG. `python tests/record.py` writes README.svg.

A clone of a small repo is made and used in a pseudo-terminal, as somebody would who has never seen it, with a HOME and
caches of its own. Its packages come from a directory of wheels here. Each line appears after the time that it took.
"""

import html
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

from conftest import ENTRY_SCRIPT, TOP, fetch_wheels, some_python
from helpers import Terminal, run_git

PICTURE = TOP / "README.svg"
WHEELS = [["six", "pytest"], ["--no-deps", "uv"]]
SOURCE = "https://git.example.org/app"
TYPED = ["git clone %s" % SOURCE, "cd app", "./prime test", "./prime test"]
FILES = {
    "proto_prime.toml": 'requirements_files = ["requirements.txt"]\n\n[tasks]\ntest = "python -m pytest -q"\n',
    "requirements.txt": "six\npytest\n",
    "app.py": "import six\n\n\ndef greet(name):\n    return six.ensure_text(b'hello ') + name\n",
    "test_app.py": "import app\n\n\ndef test_greeting():\n    assert app.greet('you') == 'hello you'\n",
    ".gitignore": ".prime/\n.venv\n.python-envs\n__pycache__/\n.pytest_cache/\n",
    "prime": ENTRY_SCRIPT,
}
COLUMNS, LINE, CHAR, MARGIN, READING = 84, 20, 8.4, 16, 0.7  # READING: seconds before a command is typed
STYLE = """\
  .back { fill: %s } text { fill: %s; font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
    white-space: pre } .bold { font-weight: bold } .dim { fill: %s } .green { fill: %s } .red { fill: %s }
    .yellow { fill: %s } .blue { fill: %s }"""
NAMES = ("back", "text", "dim", "green", "red", "yellow", "blue")
LIGHT = ("#ffffff", "#1f2328", "#59636e", "#116329", "#a40e26", "#7d4e00", "#0550ae")
DARK = ("#0d1117", "#e6edf3", "#9198a1", "#3fb950", "#ff7b72", "#d29922", "#79c0ff")
COLOURS = {"green": "green", "red": "red", "brown": "yellow", "yellow": "yellow", "blue": "blue", "cyan": "blue"}


class Recorded(Terminal):
    """A terminal that knows when each row got the text that it has in the end."""

    def __init__(self, repo, columns):
        super().__init__(repo, columns)
        self.start, self.times = time.time(), []

    def _show(self, seconds):
        is_there = super()._show(seconds)
        if is_there:
            self.times.append(time.time() - self.start)
        return is_there

    def since(self, number):
        """Seconds from the start until row `number` was complete."""
        last = self.rows[number]
        early = [when for when, rows in zip(self.times, self.frames) if rows[number:number + 1] == [last]]
        return min(early) if early else self.times[-1]


class Machine:
    """A HOME of a newcomer, and a repo to be cloned: what a `Terminal` takes for a repo."""

    def __init__(self, base, wheels):
        self.path, upstream = base / "home", base / "app"
        for directory in (self.path / "bin", upstream):
            directory.mkdir(parents=True)
        (self.path / "bin" / "python3").symlink_to(some_python())
        for name, text in FILES.items():
            (upstream / name).write_text(text)
        (upstream / "prime").chmod(0o755)
        shutil.copy(str(TOP / "proto_prime.py"), str(upstream))
        for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "An app"]):
            run_git(upstream, *words, check=True)
        (self.path / "uv.toml").write_text('no-index = true\nfind-links = ["%s"]\n' % wheels.as_uri())
        self.env = {
            "HOME": str(self.path), "PATH": "%s:/usr/bin:/bin" % (self.path / "bin"), "LANG": "C.UTF-8", "PS1": "$ ",
            "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": wheels.as_uri(), "UV_CONFIG_FILE": str(self.path / "uv.toml"),
            "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "url.%s.insteadOf" % upstream, "GIT_CONFIG_VALUE_0": SOURCE}


def record(base, wheels):
    """Play the session in the directory `base`. Returns the rows: [(seconds, [(text, classes)])]."""
    terminal = Recorded(Machine(base, wheels), COLUMNS)
    try:
        terminal.run("bash", "--norc", "--noprofile", "-i").until(r"^\$")
        for number, line in enumerate(TYPED):
            terminal.pause(READING)
            terminal.type(line + "\n")
            while terminal.rows[-1] != "$" or sum(row.startswith("$") for row in terminal.rows) < number + 2:
                assert terminal.process.poll() is None
                terminal.pause(0.05)
        rows = [(terminal.since(number), spans(terminal.screen, number)) for number in range(len(terminal.rows) - 1)]
    finally:
        terminal.close()
    first = rows[0][0]
    return [(seconds - first, row) for seconds, row in rows]


def spans(screen, number):
    """A row of the screen as [(text, classes)], a pair for each change of colour."""
    row, found = screen.buffer[number], []
    for column in range(screen.columns):
        char = row[column]
        kind = " ".join(filter(None, [COLOURS.get(char.fg, ""), "bold" if char.bold else ""]))
        if found and found[-1][1] == kind:
            found[-1] = (found[-1][0] + char.data, kind)
        else:
            found.append((char.data, kind))
    found[-1] = (found[-1][0].rstrip(), found[-1][1])
    return found


def drawn(rows):
    """The SVG of the rows. Whoever shows no animation, or wants none, sees all of it."""
    width, height = int(COLUMNS * CHAR + 2 * MARGIN), len(rows) * LINE + 2 * MARGIN
    lines = ['<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img">' % (
        width, height, width, height), "<title>A terminal: %s</title>" % html.escape(", ".join(TYPED)), "<style>",
        STYLE % LIGHT, "  @media (prefers-color-scheme: dark) {", STYLE % DARK, "  }",
        "  .row { animation: wait 0s both } @keyframes wait { from, to { opacity: 0 } }",
        "  @media (prefers-reduced-motion: reduce) { .row { animation: none !important } }", "</style>",
        '<rect class="back" width="%d" height="%d" rx="8" stroke="#8b949e" stroke-opacity="0.5"/>' % (width, height)]
    for number, (seconds, row) in enumerate(rows):
        text = "".join('<tspan class="%s">%s</tspan>' % (kind, html.escape(part)) if kind else html.escape(part)
                       for part, kind in row)
        lines.append('<text class="row" x="%d" y="%d" style="animation: wait %.2fs" xml:space="preserve">%s</text>' % (
            MARGIN, MARGIN + (number + 0.75) * LINE, seconds, text))
    return "\n".join(lines) + "\n</svg>\n"


def text_of(svg):
    """The lines of text in an SVG, less what is another in each run: versions and times."""
    rows = re.findall(r"<text [^>]*>(.*?)</text>", svg)
    plain = [html.unescape(re.sub(r"<[^>]*>", "", row)).rstrip() for row in rows]
    return [re.sub(r"\d+(\.\d+)+m?s?|\d+ packages", "N", row) for row in plain]


def main():
    if sys.argv[1:] == ["--text"]:
        print("\n".join(text_of(PICTURE.read_text(encoding="utf-8"))))
        return
    with tempfile.TemporaryDirectory() as name:
        wheels = Path(name) / "wheels"
        fetch_wheels(wheels, WHEELS)
        picture = drawn(record(Path(name) / "machine", wheels))
    PICTURE.write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
