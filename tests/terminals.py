"""A program on a terminal of its own, to its end."""

import contextlib
import fcntl
import os
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.homes import SECONDS, Done


def on_terminal(  # noqa: PLR0917  a program and its terminal
    command: Sequence[str], environ: Mapping[str, str], cwd: Path, typed: str = "", columns: int = 100, rows: int = 30
) -> Done:
    """Run a program with a terminal as all of its streams; `typed` waits in its input from the start."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ, cwd=cwd, start_new_session=True
    ) as process:
        os.close(theirs)
        os.write(ours, typed.encode())
        seen = bytearray()
        with contextlib.suppress(OSError):  # the terminal is gone with the last process that has it
            while chunk := os.read(ours, 65_536):
                seen += chunk
        process.wait(SECONDS)
    os.close(ours)
    text = seen.decode(errors="replace").replace("\r\n", "\n")
    assert "Traceback" not in text, text
    return Done(process.returncode, text, "")
