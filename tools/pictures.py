"""Draw what commands show on a terminal, for the documentation: docs/pictures/NAME.svg.

    python -m tools.pictures [NAME ...]

Two nodes are started, each command runs on a terminal of its own, and what it writes there is
drawn. What differs each time (times, ids, versions, the machine) is replaced, so that a picture changes only when the
program shows something else. A new picture is a line in ``PICTURES``.
"""

from __future__ import annotations

import io
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from receptor.testing import Mesh

PROJECT = Path(__file__).parents[1]
FOLDER = PROJECT / "docs" / "pictures"
_COUNT = ["bash", "-c", "for i in {1..5}; do echo $i; sleep 0.1; done"]
NODES = {
    "foo": {"echoint": _COUNT},
    "bar": {
        "echoint": _COUNT,
        "echopayload": ["bash", "-c", "while read -r line; do echo ${line^^}; done"],
        "wait": ["sleep", "600"],
    },
}
"""The nodes, with the work types of examples/two-nodes."""
COLUMNS, LINES = 110, 30
PATIENCE = 60.0


@dataclass(frozen=True)
class Picture:
    """A picture: its name, and the command that it shows.

    ``before``: commands that are not shown. ``full_screen``: whether it draws over the whole terminal until it is told
    to end, as programs made with textual do.
    """

    name: str
    command: str
    before: tuple[str, ...] = ()
    full_screen: bool = False


PICTURES = (
    Picture("status", "receptorctl status"),
    Picture(
        "work-submit",
        r"echo -e 'hi\ni am foo' | receptorctl work submit echopayload --node bar --payload - -f",
    ),
    Picture("work-list", "receptorctl work list"),
    Picture("nodes", "receptorctl nodes"),
    Picture("doctor", "receptorctl doctor"),
    Picture(
        "top",
        "receptorctl top",
        before=(
            "receptorctl work submit wait --node bar --name nightly --no-payload",
            "receptorctl work submit wait --node bar --name inventory --no-payload",
            "receptorctl work submit echoint --name counting --no-payload --wait",
        ),
        full_screen=True,
    ),
)

SAME_EACH_TIME: tuple[tuple[str, str], ...] = (
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "2026-01-31 12:00:00"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z", "2026-01-31T12:00:00Z"),
    (r"\b\d\d:\d\d:\d\d\b", "12:00:00"),
    (r"\b\d+ s ago", "2 s ago"),
    (r"\b\d+&#160;s\b", "3&#160;s"),
    (r"running for \d+ s", "running for 4 s"),
    (r"\d+ MiB free", "73889 MiB free"),
    (r"\S+/data/foo", "/var/lib/receptor/foo"),
    (r"\b\d+\.\d+(µs|ms)", r"0.5\1"),
    (r"(Version:(?:\x1b\[[0-9;]*m)* +)\S+", r"\g<1>0.1.0"),
    (r"(CPU Count:(?:\x1b\[[0-9;]*m)* +)\d+", r"\g<1>2"),
    (r"(Memory MiB:(?:\x1b\[[0-9;]*m)* +)\d+", r"\g<1>8192"),
    (r"(PID(?: |&#160;))\d+", r"\g<1>4711"),
    (r"(Seconds\": )[\d.]+", r"\g<1>0.01"),
    (r"(PeakMemory\": )\d+", r"\g<1>12582912"),
)
"""What differs each time, and what is drawn instead; of the same width where columns stand beside it."""
IDS = ("t1BlAB18", "87Vwqb6A", "T0oN0CAp", "ATDzdViR", "NImim5WA", "BsAjS4wi")
"""What units are called, in the order in which they appear."""

NO_FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
TERMINAL_ID = re.compile(r"terminal-\d+")


def main(names: list[str]) -> int:
    """Draw the pictures of these names, or all."""
    unknown = set(names) - {picture.name for picture in PICTURES}
    if unknown:
        print(f"There is no picture {', '.join(sorted(unknown))}.", file=sys.stderr)
        return 2
    FOLDER.mkdir(exist_ok=True)
    for name, svg in drawn(picture for picture in PICTURES if not names or picture.name in names):
        (FOLDER / f"{name}.svg").write_text(svg)
        print(f"docs/pictures/{name}.svg")
    return 0


def drawn(pictures: Iterable[Picture]) -> Iterator[tuple[str, str]]:
    """Each picture's name, and the picture as SVG."""
    with mesh() as (folder, environment):
        for picture in pictures:
            for command in picture.before:
                output_of(["bash", "-c", command], folder, environment)
            draw = screen_of if picture.full_screen else lines_of
            svg = draw(picture, folder, environment)
            yield picture.name, svg


def lines_of(picture: Picture, folder: Path, environment: Mapping[str, str]) -> str:
    """The picture of a command that writes lines."""
    output = on_a_terminal(picture.command, folder, environment).decode().replace("\r\n", "\n")
    lines = [line.rpartition("\r")[2] for line in output.splitlines()]
    text = same_each_time("\n".join(lines), unit_ids(folder, environment))
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, legacy_windows=False)
    console.print(Text.assemble(("$ ", "bold green"), (picture.command, "bold")))
    console.print(Text.from_ansi(text))
    return local(console.export_svg(title="foo", unique_id=picture.name))


def screen_of(picture: Picture, folder: Path, environment: Mapping[str, str]) -> str:
    """The picture of a program on the whole screen; textual draws it itself, after some seconds, and ends."""
    settings = {"TEXTUAL_SCREENSHOT": "4", "TEXTUAL_SCREENSHOT_LOCATION": ".", "TEXTUAL_SCREENSHOT_FILENAME": "s.svg"}
    on_a_terminal(picture.command, folder, {**environment, **settings})
    svg = (folder / "s.svg").read_text()
    return local(same_each_time(TERMINAL_ID.sub(picture.name, svg), unit_ids(folder, environment)))


def local(svg: str) -> str:
    """Without fonts from elsewhere: any monospaced font will do, since each text has its length."""
    return NO_FONTS.sub("", svg).replace("Fira Code, monospace", "monospace")


def same_each_time(text: str, units: Iterable[str]) -> str:
    """The text without what differs each time."""
    for pattern, instead in SAME_EACH_TIME:
        text = re.sub(pattern, instead, text)
    shown = sorted((unit for unit in units if unit in text), key=text.index)
    for unit, instead in zip(shown, IDS, strict=False):
        text = text.replace(unit, instead)
    return text


def unit_ids(folder: Path, environment: Mapping[str, str]) -> list[str]:
    """The ids of all units of the nodes."""
    lists = (f"receptorctl --socket {node}.sock work list --quiet" for node in NODES)
    return [unit for words in lists for unit in output_of(words.split(), folder, environment).split()]


def output_of(words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> str:
    """What a command writes that must succeed."""
    return subprocess.run(words, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def on_a_terminal(command: str, folder: Path, environment: Mapping[str, str]) -> bytes:
    """What a command writes to a terminal that is its own."""
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (LINES, COLUMNS))
    words = ["bash", "-c", command]
    process = subprocess.Popen(
        words, cwd=folder, env=environment, stdin=its, stdout=its, stderr=its, start_new_session=True
    )
    os.close(its)
    written, deadline = b"", time.monotonic() + PATIENCE
    try:
        while time.monotonic() < deadline:
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    written += os.read(ours, 65536)
                except OSError:  # so Linux tells that the other end is closed
                    break
        return written
    finally:
        os.close(ours)
        process.kill()
        process.wait()


@contextmanager
def mesh() -> Iterator[tuple[Path, dict[str, str]]]:
    """Two nodes that know each other: their folder, and the environment in which commands reach foo."""
    with Mesh(NODES) as nodes, tempfile.TemporaryDirectory() as programs:
        folder = nodes["foo"].socket.parent
        environment = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "CI")}
        environment |= {"TERM": "xterm-256color", "COLORTERM": "truecolor", "RECEPTORCTL_SOCKET": "foo.sock"}
        environment |= {"COLUMNS": str(COLUMNS), "LINES": str(LINES)}  # textual believes these before the terminal
        environment["PATH"] = f"{with_receptorctl(Path(programs))}{os.pathsep}{environment['PATH']}"
        environment["PYTHONPATH"] = str(PROJECT / "src")
        yield folder, environment


def with_receptorctl(folder: Path) -> Path:
    """The folder, with the command of this tree in it."""
    program = folder / "receptorctl"
    program.write_text(f"#!{sys.executable}\nfrom receptor.ctl.main import run\nrun()\n")
    program.chmod(0o700)
    return folder


if __name__ == "__main__":
    if not shutil.which("bash"):
        sys.exit("bash is needed")
    sys.exit(main(sys.argv[1:]))
