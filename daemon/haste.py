"""A client that asks in a row: its next question is awaited awake, because to be woken up takes longer than to answer it."""

import os
import time
from collections.abc import Callable

WINDOW = 100e-6
"""Seconds within which the next question is there, where one asks in a row."""
TURN = 1e-3
"""Seconds that this may keep the loop from all its other work."""
PROOFS = 2
MOST_PROOFS = 1024


class Haste:
    """How hasty the client of one connection is.

    Only a client that was quick to ask again several times in a row is awaited. One that then does not come has to be quick
    twice as often before it is awaited again, until it came for a whole turn: where the two share a processor, or others
    need it, nobody gains by waiting awake.

    Args:
        fd: The socket, which does not block.
        chunk: Where bytes are read to.
        take: Is told how many there are, and says whether nothing else is to be done than to await more.
    """

    def __init__(self, fd: int, chunk: memoryview, take: Callable[[int], bool]) -> None:
        self._fd = fd
        self._chunks = [chunk]
        self._take = take
        self._answered = 0.0
        self._quick = 0
        self._proofs = PROOFS

    def read(self, size: int) -> None:
        """Have taken what the loop read, and what the client sends while it is awaited."""
        self._quick = self._quick + 1 if time.monotonic() - self._answered < WINDOW else 0
        if self._take(size) and self._quick >= self._proofs:
            self._await()
        self._answered = time.monotonic()

    def _await(self) -> None:
        """Whatever the socket has to say at its end, it also says to the loop."""
        now = time.monotonic()
        ends, until = now + TURN, now + WINDOW
        while now < ends:
            try:
                size = os.readv(self._fd, self._chunks)
            except BlockingIOError:
                now = time.monotonic()
                if now < until:
                    continue
                self._quick = 0
                self._proofs = min(2 * self._proofs, MOST_PROOFS)
                return
            except OSError:
                return
            if not size or not self._take(size):
                return
            now = time.monotonic()
            until = now + WINDOW
        self._proofs = PROOFS
