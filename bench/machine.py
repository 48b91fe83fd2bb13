"""The machine that figures are taken on, in one line."""

import functools
import os
import platform
import subprocess
from pathlib import Path

from store.database import sqlite_version


@functools.cache
def described() -> str:
    """Processor, cores, system, and the versions of what the figures depend on."""
    git = subprocess.run(["git", "version"], capture_output=True, text=True, check=False).stdout.split()[-1:]
    return (
        f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, SQLite {sqlite_version()}, git {' '.join(git) or 'absent'}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
