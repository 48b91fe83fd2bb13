"""What is kept of a defect of the dashboard: where it happened, for nobody can make it happen again."""

import os
import traceback
from pathlib import Path

LONGEST = 1 << 20
"""Bytes of the file, after which it begins anew."""


def keep(log: Path, error: BaseException) -> str:
    """Write down where it happened, without the values of anything; says how to see it."""
    text = "".join(traceback.format_exception(error))
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        with os.fdopen(os.open(log, flags, 0o600), "a", encoding="utf-8", errors="backslashreplace") as file:
            if file.tell() > LONGEST:
                file.truncate(0)
            file.write(f"{text}\n")
    except OSError as reason:
        return f"where it happened could not be written to {log}: {reason.strerror}"
    return f"{log} says where it happened"
