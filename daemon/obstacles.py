"""Files of the user that git does not see, such as ignored ones, where an Apply has to put something."""

import os
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

from daemon import raw_files
from daemon.changes import Conflict, Touched
from daemon.checkouts import is_directory
from daemon.repositories import Project


def find(project: Project, touched: Sequence[Touched]) -> list[Conflict]:
    """Where writing would take something away that no snapshot knows; its bytes are in the private repository then.

    Raises:
        OSError: a file cannot be read.
        CleverAgentsError: git failed, see `git.call`.
    """
    leaving = {file.path for file in touched if file.old is not None}
    return [conflict for file in touched if file.new is not None for conflict in _before(project, file, leaving)]


def _before(project: Project, file: Touched, leaving: AbstractSet[bytes]) -> Iterator[Conflict]:
    for above in _above(file.path):
        directory = raw_files.at(project.path, above)
        if os.path.lexists(directory) and above not in leaving and not is_directory(directory):
            yield _conflict(file, "file/directory", None)
            return
    if raw_files.link_on_the_way(project.path, file.path):
        return
    whole = raw_files.at(project.path, file.path)
    if is_directory(whole):
        if any(path not in leaving for path in _files_below(project.path, whole)):
            yield _conflict(file, "file/directory", None)
    elif file.old is None and os.path.lexists(whole):
        (found,) = raw_files.store(project, [whole], sha256=len(file.new or "") == 64)
        yield _conflict(file, "add/add", found.blob or None)


def _above(path: bytes) -> list[bytes]:
    parts = path.split(b"/")[:-1]
    return [b"/".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _files_below(root: Path, directory: Path) -> Iterator[bytes]:
    for entry in directory.iterdir():
        if is_directory(entry):
            yield from _files_below(root, entry)
        else:
            yield os.fsencode(entry.relative_to(root))


def _conflict(file: Touched, kind: str, ours: str | None) -> Conflict:
    return Conflict(path=file.path, kind=kind, base=None, ours=ours, theirs=file.new)
