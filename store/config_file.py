"""The file `config.toml` as bytes on a disk: read whole, replaced whole.

A write takes a lock, reads the file again, changes only its own keys, and replaces the file by a rename; whatever
goes wrong, the old file is there. How the text is changed is `toml_text`.
"""

import fcntl
import os
import re
import stat
import tomllib
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, cast

from store import crashpoints, errors, names, paths
from store.config_keys import Value, check_value, find

MAX_BYTES = 1 << 20

Signature: TypeAlias = tuple[int, int, int] | None
"""What tells one content of a file from another without reading it; None is no file."""


class Edited(NamedTuple):
    """What a file held before an edit and after it; None is no file."""

    before: bytes | None
    after: bytes | None


_POSITION = re.compile(r"\(at line (\d+), column (\d+)\)")


def signature(path: Path) -> Signature:
    """What `path` is now.

    Raises:
        InvalidConfigError: it is a link to nothing.
        CleverAgentsError: the system refuses to tell.
    """
    itself: os.stat_result | None = None
    try:
        itself = path.lstat()
        return _signature(path.stat() if stat.S_ISLNK(itself.st_mode) else itself)
    except FileNotFoundError:
        if itself is not None:
            _refuse_dangling(path)
        return None
    except OSError as error:
        raise errors.from_os_error(error, f"cannot read {path}") from error


def read_document(path: Path) -> tuple[Signature, dict[str, Any]]:
    """The parsed file with the signature of what was read; a file that is not there is empty.

    Raises:
        InvalidConfigError: it does not parse; the message has line and column.
        CleverAgentsError: it cannot be read.
    """
    body, found = _read(path)
    return found, {} if body is None else parse(_text(body, path), path)


def parse(text: str, path: Path) -> dict[str, Any]:
    """`text` as TOML.

    Raises:
        InvalidConfigError: it is not; the message names `path`, line and column.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = _POSITION.search(str(error))
        end = (text.count("\n") + 1, len(text) - text.rfind("\n"))
        line, column = (int(match[1]), int(match[2])) if match else end
        reason = _POSITION.sub("", str(error)).replace("(at end of document)", "at the end of the file").strip()
        if text.startswith("\ufeff"):
            reason = "it starts with a byte order mark, which cannot be seen; save it without one"
        raise _unparsable(path, line, column, reason) from error
    except RecursionError as error:
        raise _unparsable(path, 1, 1, "too many levels inside each other") from error


def edit(path: Path, changes: Mapping[str, object | None], *, project: str | None = None) -> Edited:
    """Set keys, or unset those whose value is None: all of them, or on any failure none.

    Args:
        path: The file; it and its directory are made when they are not there.
        changes: Keys with their values; a duration is a text such as `7d` or a number of seconds.
        project: Set them for this project only.

    Returns:
        What `restore` needs to take the edit back.

    Raises:
        NotFoundError: there is no such key.
        InvalidConfigError: a value is not one the key may have, the key cannot be set for one project, the file does
            not parse, is a link to nothing, or cannot be changed without touching something else.
        CleverAgentsError: the system refuses to write (`permission_denied`, `disk_full`).
    """
    intended = _intended(changes, project)
    try:
        target = _target(path)
        paths.make_private(target.parent)
        with _locked(target):
            return _change(target, path, intended)
    except OSError as error:
        raise errors.from_os_error(error, f"cannot write {path}") from error


def restore(path: Path, edited: Edited) -> bool:
    """Take an edit back, byte for byte; not when somebody else wrote the file since. Whether it is as it was before.

    Raises:
        CleverAgentsError: as for `edit`.
    """
    try:
        target = _target(path)
        with _locked(target):
            found, _ = _read(target)
            if found == edited.before or found != edited.after:
                return found == edited.before
            if edited.before is None:
                target.unlink()
                _sync_directory(target.parent)
            else:
                _replace(target, edited.before)
            return True
    except OSError as error:
        raise errors.from_os_error(error, f"cannot write {path}") from error


def leaves(table: object, prefix: str = "", skip: str | None = None) -> Iterator[str]:
    """The dotted names of the values in a table; a list is a value. A part with a dot in it is quoted, as it has to be."""
    if not isinstance(table, dict):
        yield prefix
        return
    for name, value in cast("dict[str, object]", table).items():
        if name != skip:
            part = f'"{name}"' if "." in name else name
            yield from leaves(value, f"{prefix}.{part}" if prefix else part)


def _change(target: Path, path: Path, intended: Mapping[tuple[str, ...], Value | None]) -> Edited:
    from store import toml_text  # noqa: PLC0415  most commands only read

    body, _ = _read(target)
    text = "" if body is None else _text(body, path)
    parse(text, path)
    try:
        changed = toml_text.change(text, intended)
    except toml_text.CannotChangeError as error:
        raise errors.InvalidConfigError(
            f"{path}: {error}; nothing was written",
            detail={"file": str(path)},
            suggestions=[f"edit {path} by hand"],
        ) from error
    if changed == text:
        return Edited(body, body)
    _replace(target, changed.encode())
    return Edited(body, changed.encode())


def _intended(changes: Mapping[str, object | None], project: str | None) -> dict[tuple[str, ...], Value | None]:
    prefix = () if project is None else ("projects", names.parse_name(project, what="project"))
    intended: dict[tuple[str, ...], Value | None] = {}
    for name, value in changes.items():
        key = find(name)
        if project is not None and not key.project_scopable:
            raise errors.InvalidConfigError(
                f"{name} holds for all projects; it cannot be set for {project} alone",
                detail={"key": name, "project": project},
                suggestions=[f"ca config set {name} VALUE"],
            )
        if value is None:
            intended[*prefix, *key.path] = None
            continue
        checked = check_value(key, value)
        spelled = names.format_duration(float(checked)) if key.type == "duration" else checked
        intended[*prefix, *key.path] = spelled
    return intended


def _read(path: Path) -> tuple[bytes | None, Signature]:
    try:
        with path.open("rb") as file:
            found = _signature(os.fstat(file.fileno()))
            return file.read(MAX_BYTES + 1), found
    except FileNotFoundError:
        _refuse_dangling(path)
        return None, None
    except OSError as error:
        raise errors.from_os_error(error, f"cannot read {path}") from error


def _text(body: bytes, path: Path) -> str:
    if len(body) > MAX_BYTES:
        raise errors.InvalidConfigError(f"{path} is larger than 1 MiB", detail={"file": str(path)})
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        column = error.start - body.rfind(b"\n", 0, error.start)
        raise _unparsable(path, line, column, "not UTF-8") from error


def _signature(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_mtime_ns, status.st_size, status.st_ino


def _refuse_dangling(path: Path) -> None:
    if path.is_symlink():
        raise errors.InvalidConfigError(
            f"{path} is a link to {path.readlink()}, which does not exist",
            detail={"file": str(path), "link": str(path.readlink())},
            suggestions=[f"create the target, or remove the link: rm {path}"],
        )


def _unparsable(path: Path, line: int, column: int, reason: str) -> errors.InvalidConfigError:
    return errors.InvalidConfigError(
        f"{path}, line {line}, column {column}: not valid TOML: {reason}",
        detail={"file": str(path), "line": line, "column": column},
        suggestions=[f"correct {path}"],
    )


def _target(path: Path) -> Path:
    """The file behind `path`: a link stays, what it points to is replaced."""
    if not path.is_symlink():
        return path
    if not path.exists():
        _refuse_dangling(path)
    return path.resolve(strict=True)


@contextmanager
def _locked(target: Path) -> Generator[None]:
    """Nobody else writes the file meanwhile; the lock file stays, so that two writers never lock different ones."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(target.with_name(f"{target.name}.lock"), flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(target: Path, body: bytes) -> None:
    """Put `body` in the place of `target`, durable, in one step; the caller holds the lock."""
    temporary = target.with_name(f".{target.name}.new")
    # Under the lock a file of this name can only be what a killed writer left.
    temporary.unlink(missing_ok=True)
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123  a descriptor with its mode, not a path
            crashpoints.reach("config.write")
            file.write(body)
            file.flush()
            crashpoints.reach("config.fsync")
            os.fsync(file.fileno())
        crashpoints.reach("config.rename")
        temporary.rename(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    crashpoints.reach("config.fsync-directory")
    _sync_directory(target.parent)
    crashpoints.reach("config.done")


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
