"""The git program, and how this product calls it.

Decided here and only here: the environment and configuration under which our git runs (no hooks, no prompts, no
background work, nothing inherited from the caller), and what its failures are called.
"""

import contextlib
import io
import os
import re
import shlex
import subprocess
import tempfile
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO

from store import errors

MINIMUM = (2, 39, 0)
"""The oldest git that has `merge-tree --write-tree` as it is used here."""

STALE_AFTER = 60
"""Seconds after which a lock file in a private repository belongs to nobody: work on it is serialised, and short."""

_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.splitIndex=false",
    "core.safecrlf=false",
    "core.quotePath=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "advice.detachedHead=false",
    "protocol.file.allow=always",
    "submodule.recurse=false",
    "checkout.workers=0",
    "core.fsync=objects,pack-metadata,reference",
    "core.fsyncMethod=batch",
)
_CONFIGURED = tuple(word for setting in _SETTINGS for word in ("-c", setting))
_ENVIRONMENT = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_LFS_SKIP_SMUDGE": "1",
    "LC_ALL": "C",
}


def version() -> tuple[int, int, int]:
    """The installed git's version.

    Raises:
        NotFoundError: there is no git on PATH.
        InternalError: it does not say its version.
    """
    said = run(["version"]).decode(errors="replace")
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", said)
    if found is None:
        raise errors.InternalError(f"`git version` says {said.strip()!r}, which holds no version")
    return int(found[1]), int(found[2]), int(found[3] or 0)


def check() -> None:
    """See that git is there and new enough.

    Raises:
        NotFoundError: git is missing or older than `MINIMUM`.
    """
    installed = version()
    if installed < MINIMUM:
        raise errors.NotFoundError(
            f"git {'.'.join(map(str, installed))} is too old: {'.'.join(map(str, MINIMUM[:2]))} or newer is needed",
            suggestions=["install a newer git and see that it comes first on PATH"],
        )


def call(
    args: Sequence[str | bytes | Path],
    *,
    git_dir: Path | None = None,
    work_tree: Path | None = None,
    index: Path | None = None,
    cwd: Path | None = None,
    input: bytes | IO[bytes] | None = None,  # noqa: A002  the word of subprocess
    env: Mapping[str, str] | None = None,
    umask: int = -1,
    ok: Iterable[int] | None = (0,),
) -> subprocess.CompletedProcess[bytes]:
    """Run git and wait for it.

    Args:
        args: The command and its arguments, without `git`.
        git_dir: The repository; without it git looks in `cwd`, and nowhere above it.
        work_tree: The directory of files; it is also where the command runs, unless `cwd` says otherwise.
        index: The index file instead of the repository's own.
        cwd: Where the command runs.
        input: What it reads, as bytes or from an open file; nothing when absent.
        env: Variables on top of ours.
        umask: The mode mask for the files that it writes; ours when absent.
        ok: Exit codes that are an answer, not a failure; None accepts every one.

    Raises:
        NotFoundError: there is no git, or `cwd` is gone, or the program of a filter.
        DiskFullError, PermissionDeniedError, LockConflictError: git says that this is why it failed.
        LostError: the repository `git_dir` lacks something that was in it.
        InvalidArgumentError: a filter of the project's files failed.
        InternalError: git failed for another reason; the message has the command and git's words.
    """
    where = cwd or work_tree
    command = ["git", *_CONFIGURED, *args]
    environment = _environment(git_dir, work_tree, index, where) | dict(env or {})
    text = input if isinstance(input, bytes) else None
    file = None if isinstance(input, bytes) else input or subprocess.DEVNULL
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, cwd=where, env=environment, stdin=file, input=text, umask=umask
        )
    except OSError as error:
        raise _not_started(error, where) from error
    if done.returncode != 0 and git_dir is not None and _remove_stale_lock(git_dir, done.stderr):
        return call(
            args, git_dir=git_dir, work_tree=work_tree, index=index, cwd=cwd, input=input, env=env, umask=umask, ok=ok
        )
    if ok is not None and done.returncode not in ok:
        found = failure(args, done.stderr, done.returncode)
        raise _lost(git_dir, found) if git_dir is not None and _LACKING.search(done.stderr) else found
    return done


def run(
    args: Sequence[str | bytes | Path],
    *,
    git_dir: Path | None = None,
    work_tree: Path | None = None,
    index: Path | None = None,
    cwd: Path | None = None,
    input: bytes | IO[bytes] | None = None,  # noqa: A002  the word of subprocess
    env: Mapping[str, str] | None = None,
    umask: int = -1,
    ok: Iterable[int] | None = (0,),
) -> bytes:
    """What git prints; parameters and errors as of `call`."""
    return call(
        args, git_dir=git_dir, work_tree=work_tree, index=index, cwd=cwd, input=input, env=env, umask=umask, ok=ok
    ).stdout


def split(listing: bytes) -> list[bytes]:
    """The fields of git's `-z` output."""
    return listing.split(b"\0")[:-1] if listing.endswith(b"\0") else listing.split(b"\0") if listing else []


def joined(fields: Iterable[bytes]) -> bytes:
    """Fields as git's `-z` input wants them."""
    return b"".join(field + b"\0" for field in fields)


def failure(args: Sequence[str | bytes | Path], stderr: bytes, code: int) -> errors.CleverAgentsError:
    """The error that a failed git command stands for."""
    words = stderr.decode(errors="backslashreplace").strip()[-2000:]
    command = " ".join(
        ["git", *(arg.decode(errors="backslashreplace") if isinstance(arg, bytes) else str(arg) for arg in args)]
    )
    message = f"`{command[:300]}` failed with exit code {code}: {words or 'it says nothing'}"
    if "No space left on device" in words or "Disk quota exceeded" in words:
        return errors.DiskFullError(message, suggestions=["free some space and run the same command again"])
    if any(sign in words for sign in ("Permission denied", "Operation not permitted", "Read-only file system")):
        return errors.PermissionDeniedError(message, suggestions=["check the owner and mode of the path"])
    if found := _LOCKED.search(stderr):
        lock = found[1].decode(errors="backslashreplace")
        return errors.LockConflictError(
            f"another git is at work in the same repository: {lock} is there",
            detail={"lock": lock, "git": message},
            suggestions=[
                "try again when that git has ended",
                f"if no git runs there, one that was killed left the file behind: rm {shlex.quote(lock)}",
            ],
        )
    if found := _MISSING.search(stderr):
        program = found[1].decode(errors="backslashreplace")
        return errors.NotFoundError(
            f"a filter of the project's files needs {program}, which is not on the daemon's PATH",
            detail={"program": program, "git": message},
            suggestions=[f"install {program}, or put it on PATH, then: ca daemon restart"],
        )
    if found := _FILTER.search(stderr):
        return errors.InvalidArgumentError(
            f"a filter of the project's files failed: {found[1].decode(errors='backslashreplace')}",
            detail={"git": message},
            suggestions=["git config --get-regexp ^filter", "cat .gitattributes"],
        )
    return errors.InternalError(message)


_MISSING = re.compile(rb"^.*: ([^\s:]+): (?:command )?not found$", re.MULTILINE)
"""How the shell says that the program of a filter is not there."""
_FILTER = re.compile(rb"^error: (external filter .*)$", re.MULTILINE)
"""How git says that one failed."""
_LOCKED = re.compile(rb"Unable to create '([^\n]+\.lock)': File exists")
"""How git says that another git is at it."""

_LACKING = re.compile(
    rb"not a git repository|bad (tree )?object|not a tree object|unable to (read|find|parse) |missing (blob|tree|object)"
    rb"|object file .* is empty|loose object .* is corrupt|(unknown|bad) revision|not a valid object|could not parse object"
)
"""How git says that a repository does not hold what it did."""


def _lost(repository: Path, found: errors.CleverAgentsError) -> errors.LostError:
    said = found.message.partition(": ")[2].strip().split("\n")[-1]
    return errors.LostError(
        f"{repository} has lost something that is needed here: {said}",
        detail={"repository": str(repository), "git": found.message},
        suggestions=["ca diagnostics", "ca diagnostics --repair"],
    )


class Objects:
    """Reads many objects of one repository through one process, in the order in which they are asked for."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._ask: IO[bytes] = process.stdin
        self._answer: IO[bytes] = process.stdout

    def read(self, name: str) -> bytes:
        """The bytes of a small object; errors as of `copy`."""
        return self.find(name)[2]

    def find(self, name: str) -> tuple[str, str, bytes]:
        """The id, kind and bytes of a small object, named in any way git knows; errors as of `copy`."""
        to = io.BytesIO()
        found = self.copy(name, to)
        return *found, to.getvalue()

    def copy(self, name: str, to: IO[bytes]) -> tuple[str, str]:
        """Write the object's bytes to `to`; its id and kind.

        Raises:
            LostError: the repository has no such object.
            InternalError: git stopped.
        """
        self._ask.write(name.encode() + b"\n")
        self._ask.flush()
        header = self._answer.readline().decode().split()
        if len(header) != 3:
            raise errors.LostError(f"the private repository has lost the object {name}", suggestions=["ca diagnostics"])
        left = int(header[2])
        while left:
            piece = self._answer.read(min(left, 1 << 20))
            if not piece:
                raise errors.InternalError(f"git stopped while it read the object {name}")
            to.write(piece)
            left -= len(piece)
        self._answer.read(1)
        return header[0], header[1]


@contextlib.contextmanager
def objects(git_dir: Path) -> Generator[Objects]:
    """Open `git_dir` for reading objects; errors as of `call`."""
    environment = _environment(git_dir, None, None, None)
    command = ["git", *_CONFIGURED, "cat-file", "--batch"]
    with (
        tempfile.TemporaryFile() as stderr,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, env=environment
        ) as process,
    ):
        yield Objects(process)


def _environment(
    git_dir: Path | None, work_tree: Path | None, index: Path | None, where: Path | None
) -> dict[str, str]:
    """Ours: nothing of git's that the caller has set, and no repository above `where`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    said = {
        "GIT_DIR": git_dir,
        "GIT_WORK_TREE": work_tree,
        "GIT_INDEX_FILE": index,
        "GIT_CEILING_DIRECTORIES": where.parent if where else None,
    }
    return kept | _ENVIRONMENT | {name: str(value) for name, value in said.items() if value is not None}


def _remove_stale_lock(repository: Path, stderr: bytes) -> bool:
    """Remove the lock file that git stumbled over, when it is in a repository of ours and no running git can own it.

    A power cut leaves such files, and git never removes them.
    """
    found = _LOCKED.search(stderr)
    if found is None:
        return False
    lock = Path(os.fsdecode(found[1]))
    try:
        is_stale = lock.is_relative_to(repository) and time.time() - lock.stat().st_mtime > STALE_AFTER
        if is_stale:
            lock.unlink()
    except FileNotFoundError:
        return True
    return is_stale


def _not_started(error: OSError, where: Path | None) -> errors.CleverAgentsError:
    if where is not None and not where.is_dir():
        return errors.NotFoundError(f"the directory {where} does not exist")
    if isinstance(error, FileNotFoundError):
        return errors.NotFoundError(
            "git is not installed, or not on PATH; it keeps the sandboxes and computes the changes",
            suggestions=["install git 2.39 or newer: `apt install git`, `brew install git`"],
        )
    return errors.from_os_error(error, "cannot start git")
