"""The one place that asks what time it is.

All stored times are integers: microseconds since 1970 in UTC. A lock or a process of an earlier boot is told by `boot_id`.
"""

import functools
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

SECOND = 1_000_000
"""Microseconds."""


class Clock:
    """Wall, monotonic and boot time. A test hands its own subclass to the services that judge by time."""

    def now(self) -> int:
        """Microseconds since 1970, UTC."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Seconds that do not pass while the system sleeps."""
        return time.clock_gettime(time.CLOCK_MONOTONIC)

    def boottime(self) -> float:
        """Seconds since boot, system sleep included."""
        if sys.platform == "darwin":
            return time.clock_gettime(time.CLOCK_MONOTONIC_RAW)
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    @property
    def boot_id(self) -> str:
        return boot_id()


@functools.cache
def boot_id() -> str:
    """What tells this boot of the machine from every other one."""
    linux = Path("/proc/sys/kernel/random/boot_id")
    if linux.exists():
        return linux.read_text(encoding="ascii").strip()
    # macOS: the second in which the kernel started, `{ sec = 1700000000, usec = 0 } …`
    return subprocess.run(["sysctl", "-n", "kern.boottime"], check=True, capture_output=True, text=True).stdout.strip()


def rfc3339(microseconds: int | None) -> str | None:
    """A stored time as people and JSON see it: UTC, milliseconds, `Z`."""
    if microseconds is None:
        return None
    moment = datetime.fromtimestamp(microseconds / SECOND, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
