"""The files that actions and actors are registered from."""

from pathlib import Path
from typing import IO

from store import errors

FILE_LIMIT = 1024 * 1024
"""Bytes of the longest definition file."""

EXAMPLE = """\
name: local/tidy
description: Let ruff repair what it can
arguments:
  - {name: target, type: string, default: "."}
steps:
  - id: fix
    run: ruff check --fix {target}"""
"""An action, for those who have none yet."""


def read(path: str) -> bytes:
    """The content of a definition file.

    Raises:
        CleverAgentsError: it cannot be read, or is longer than allowed.
    """
    try:
        with Path(path).open("rb") as stream:
            return bounded(stream, path)
    except OSError as error:
        raise errors.from_os_error(error, f"cannot read {path}") from error


def bounded(stream: IO[bytes], source: str) -> bytes:
    """What a stream has, as long as that is not too much; `source` names it.

    Raises:
        InvalidActionError: it is longer than allowed.
    """
    content = stream.read(FILE_LIMIT + 1)
    if len(content) > FILE_LIMIT:
        raise errors.InvalidActionError(f"{source} is longer than 1 MiB", detail={"file": source, "limit": FILE_LIMIT})
    return content
