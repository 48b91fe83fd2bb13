"""The picture in the README: `python docs/picture.py` runs real commands and draws what they print as docs/demo.svg."""

import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

PICTURE = Path(__file__).with_name("demo.svg")
COMMANDS = (
    "ca plan execute rename-2 --follow",
    "ca plan diff rename-2 --stat",
    "ca plan apply rename-2 --yes --wait",
    "ca status",
    "ca plan undo rename-2 --yes",
)


def _run(line: str, directory: Path, environment: dict[str, str]) -> str:
    words = shlex.split(line)
    command = [sys.executable, "-P", "-m", "cleveragents_tui", *words[1:]]
    done = subprocess.run(
        command,
        cwd=directory,
        env=environment,
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.stdout


def _session(place: Path) -> str:
    """What the commands print in the kept demo at `place`, each below the line that was typed."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("CLEVERAGENTS_")}
    _run(f"ca demo --dir {place} --keep", Path.cwd(), plain)
    environment = {**plain, "CLEVERAGENTS_HOME": str(place / "home"), "CLEVERAGENTS_CORE_FORMAT": "rich"}
    shop = place / "shop"
    try:
        _run("ca plan use rename shop --arg old=discounted --arg new=reduced --wait", shop, environment)
        return "\n".join(f"\x1b[1m$ {line}\x1b[0m\n{_run(line, shop, environment)}" for line in COMMANDS)
    finally:
        _run("ca daemon stop --kill", shop, environment)


def main() -> None:
    """Draw the picture."""
    with tempfile.TemporaryDirectory(prefix="ca-picture-") as parent:
        text = Text.from_ansi(_session(Path(parent) / "demo"))
    width = max(len(line) for line in text.plain.splitlines())
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True)
    console.print(text, end="")
    drawing = console.export_svg(title="ca", unique_id="ca")
    # The picture fetches no font from elsewhere: every system has a monospaced one.
    drawing = re.sub(r"@font-face \{.*?\}\s*", "", drawing, flags=re.DOTALL)
    drawing = drawing.replace("<svg ", '<svg xml:space="preserve" ', 1)  # some viewers drop spaces otherwise
    PICTURE.write_text(drawing, encoding="utf-8")


if __name__ == "__main__":
    main()
