"""Paths as people type them: relative ones are resolved here, where the current directory is theirs."""

import os

from store import errors


def absolute(path: str) -> str:
    """`path` from the root; a link that was named is not followed.

    Raises:
        NotFoundError: the current directory is gone.
    """
    try:
        return os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111  Path.resolve follows links
    except FileNotFoundError as error:
        raise errors.NotFoundError(
            "the current directory is gone", suggestions=["cd to a directory that is there"]
        ) from error


def project_word(text: str) -> str:
    """How a project is named to the daemon: its name as it is, its directory as an absolute path."""
    return absolute(text) if text.startswith((".", "/", "~")) else text
