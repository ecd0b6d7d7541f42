"""`make picture`: runs the demo in a terminal of its own, and writes what it showed as SVG.

docs/demo.svg is the whole story, docs/check-and-sync.svg the part that README shows.
"""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from local.stack import ROOT

WIDTH = 100  # columns
# The layout of rich, less the fonts that it would load from elsewhere.
LAYOUT = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
CLEAR = re.compile(r"\x1b\[(\d*)([A-Z])|\x1b\[\?25[lh]|\r")
# What differs from run to run, or says something about this machine.
STABLE = (
    (re.compile(r"http://127\.0\.0\.1:\d+"), "http://127.0.0.1:8081"),
    (re.compile(r"^BigQuery emulator: DuckDB.*\n", re.MULTILINE), ""),
)
PARTS = {
    "demo.svg": ("$ ./aito-sync init", None),
    "check-and-sync.svg": ("$ ./aito-sync check", "# The next day"),
}


def main() -> int:
    """Write the pictures. -> the exit status of the demo."""
    status, output = record([sys.executable, "-m", "local.demo"])
    if status:
        print(output)
        return status
    lines = "\n".join(Screen(output).lines)
    for pattern, text in STABLE:
        lines = pattern.sub(text, lines)
    for name, (first, last) in PARTS.items():
        draw(part(lines.split("\n"), first, last), ROOT / "docs" / name)
    return 0


def record(command: list[str]) -> tuple[int, str]:
    """Run a command in a terminal. -> its exit status and all that it wrote."""
    ours, theirs = pty.openpty()
    environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(WIDTH), "LINES": "50"}
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, cwd=ROOT, env=environ)
    os.close(theirs)
    written = b""
    while True:
        try:
            more = os.read(ours, 65_536)
        except OSError:  # Linux: the other end is closed
            break
        if not more:
            break
        written += more
    os.close(ours)
    return process.wait(), written.decode()


class Screen:
    """Lines of a terminal that only moves up, erases lines and goes on at their beginning."""

    def __init__(self, written: str) -> None:
        self.lines = [""]
        self._row = 0
        for number, line in enumerate(written.replace("\r\n", "\n").split("\n")):
            if number:
                self._move(1)
            self._write(line)

    def _write(self, text: str) -> None:
        place = 0
        for match in CLEAR.finditer(text):
            self.lines[self._row] += text[place : match.start()]
            place = match.end()
            self._control(match)
        self.lines[self._row] += text[place:]

    def _control(self, match: re.Match[str]) -> None:
        if match[2] == "A":
            self._move(-int(match[1] or 1))
        elif match[2] == "K":
            self.lines[self._row] = ""

    def _move(self, rows: int) -> None:
        self._row = max(0, self._row + rows)
        while len(self.lines) <= self._row:
            self.lines.append("")


def part(lines: list[str], first: str, last: str | None) -> list[str]:
    """The lines from the one that holds `first` to the one before `last`. None: to the end."""
    plain = [Text.from_ansi(line).plain for line in lines]
    start = next(n for n, line in enumerate(plain) if line.startswith(first))
    end = len(plain)
    if last is not None:
        end = next(n for n, line in enumerate(plain) if line.startswith(last))
    while not plain[end - 1].strip():
        end -= 1
    return lines[start:end]


def draw(lines: list[str], path: Path) -> None:
    """Write lines with their colours as SVG."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=WIDTH, file=nowhere, force_terminal=True)
        for line in lines:
            console.print(Text.from_ansi(line), soft_wrap=False)
        console.save_svg(str(path), title="bigquery-to-aito", code_format=LAYOUT)
    print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    sys.exit(main())
