"""Packing: the many small files that plans leave in a private repository become a few large ones.

Decided here and only here: when that is done, and that nothing is dropped by it, whether a ref needs it or not. Sandboxes,
their indexes and conflicts that wait for somebody name objects that no ref has.

Git removes a file only when all of it is in a pack that is whole, and looks again for what is not where it was. So nobody
waits for this, whoever reads or writes meanwhile misses nothing, and what a killed run leaves behind is read by nobody.
"""

import contextlib
import logging
import os
import time
from pathlib import Path

from daemon import git, repositories
from store import errors

log = logging.getLogger(__name__)

CROWDED = 2000
"""Objects and refs in files of their own from which on packing them is worth the work: what some 150 plans leave."""
LEFT_OVER_AFTER = 86_400
"""Seconds after which nobody is still writing a half-made pack."""

_MODEST = ("-c", "pack.threads=1", "-c", "pack.windowMemory=64m", "-c", "core.bigFileThreshold=64m")
"""One core, and no more memory for the differences of large files than this."""


def pack_crowded(directory: Path) -> None:
    """Pack each private repository below `directory` in which many small files have gathered."""
    for repository in sorted(directory.glob("*.git")):
        try:
            if loose(repository) + loose_refs(repository) >= CROWDED:
                pack(repository)
        except (
            errors.CleverAgentsError,
            OSError,
        ) as error:  # the others are packed all the same, this one the next time
            log.warning("%s could not be packed: %s", repository, error)


def loose(repository: Path) -> int:
    """How many objects are in files of their own."""
    count = 0
    for first in range(256):
        with contextlib.suppress(FileNotFoundError):
            count += len(os.listdir(repository / "objects" / f"{first:02x}"))  # noqa: PTH208  the names are enough
    return count


def loose_refs(repository: Path) -> int:
    """How many refs are in files of their own."""
    return sum(len(names) for _, _, names in os.walk(repository / "refs"))


def pack(repository: Path) -> None:
    """Pack what is in files of its own, together with as many of the smaller packs as keep them few.

    A pack that has another name too is the project's: a copy of it would take its room twice.

    Raises:
        CleverAgentsError: git failed, see `git.call`.
    """
    packs = repository / "objects" / "pack"
    _sweep(packs)
    shared = [f"--keep-pack={one.name}" for one in packs.glob("*.pack") if one.stat().st_nlink > 1]
    git.run([*_MODEST, "repack", "-q", "-d", "-l", "-n", "--geometric=2", *shared], git_dir=repository)
    repositories.pack_refs(repositories.Project(repository.stem, repository, "folder", repository))


def _sweep(packs: Path) -> None:
    """Remove what runs that were killed have left."""
    for found in [*packs.glob("tmp_*"), *packs.glob(".tmp-*")]:
        with contextlib.suppress(FileNotFoundError):
            if time.time() - found.stat().st_mtime > LEFT_OVER_AFTER:
                found.unlink()
