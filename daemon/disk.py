"""How much room things take on the disk."""

import contextlib
import os
from pathlib import Path


def allocated(path: Path) -> int:
    """The bytes that a file or a directory with all below it takes; a file with several names counts once."""
    sizes: dict[tuple[int, int], int] = {}
    waiting = [os.fspath(path)]
    while waiting:
        # what is removed or closed meanwhile takes no room that anybody could get back here
        with contextlib.suppress(OSError):
            here = waiting.pop()
            found = os.lstat(here)
            sizes[found.st_dev, found.st_ino] = found.st_blocks * 512
            if os.path.isdir(here) and not os.path.islink(here):  # noqa: PTH112, PTH114  many paths, kept as text for speed
                waiting += [entry.path for entry in os.scandir(here)]
    return sum(sizes.values())
