"""Waiting for a condition, with a bound, instead of sleeping for a while and hoping."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PAUSE = 0.005
"""Seconds between two looks."""
PATIENCE = 30.0
"""How many seconds a condition may take: many, because a machine with too much to do is slow."""


def wait_until(condition: Callable[[], T], *, seconds: float = PATIENCE) -> T:
    """The first true value of `condition`; fails when there is none within `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {condition}"
        time.sleep(PAUSE)
    return value


async def wait_until_async(condition: Callable[[], T], *, seconds: float = PATIENCE) -> T:
    """The same, while the event loop goes on."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {condition}"
        await asyncio.sleep(PAUSE)
    return value
