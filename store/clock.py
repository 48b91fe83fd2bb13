"""The one place that asks what time it is.

All stored times are integers: microseconds since 1970 in UTC. A lock or a process of an earlier boot is told by `boot_id`.

Leases, heartbeats and deadlines are on a time line of their own, `steady`. It starts with a boot at what the wall clock
says, and from then on only passes: nobody can set it, and it stands still while the machine sleeps. So a wall clock that
jumps by a year, or a laptop that was closed for a night, expires nothing. `wall` says when a steady time is for people.
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
    """Wall and steady time. A test hands its own subclass to the services that judge by time.

    Attributes:
        origin: The steady time of the boot itself. The store keeps it, so that all daemons of a boot have the same one.
    """

    def __init__(self) -> None:
        self.origin = self.now() - self.awake()

    def now(self) -> int:
        """Microseconds since 1970, UTC."""
        return time.time_ns() // 1000

    def awake(self) -> int:
        """Microseconds since the machine was booted, its sleep left out."""
        if sys.platform == "darwin":
            return time.clock_gettime_ns(time.CLOCK_UPTIME_RAW) // 1000
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000

    def steady(self) -> int:
        """Microseconds on the time line of leases, heartbeats and deadlines."""
        return self.origin + self.awake()

    def wall(self, steady: int) -> int:
        """When a steady time is, or was, by the wall clock as it now stands."""
        return steady + self.now() - self.steady()

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
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
