"""The environment in which an action was used: one 0600 file a plan, read when a step starts.

It may hold the user's secrets, so it is never a row, a log line or part of an output.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from store import errors


def decoded(environment: Mapping[str, bytes]) -> dict[str, str]:
    """An environment as it travels, as Python's `os.environ` has it: odd bytes are surrogates."""
    return {name: os.fsdecode(value) for name, value in environment.items()}


def save(directory: Path, plan_id: str, environment: Mapping[str, str]) -> None:
    """Keep a plan's environment, durable before this returns.

    Raises:
        CleverAgentsError: it cannot be written (`disk_full`, `permission_denied`).
    """
    path = directory / plan_id
    fresh = directory / f"{plan_id}.new"
    content = msgspec.msgpack.encode([[os.fsencode(name), os.fsencode(value)] for name, value in environment.items()])
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(path)
    except OSError as error:
        raise errors.from_os_error(error, f"cannot keep the plan's environment in {path}") from error


def load(directory: Path, plan_id: str) -> dict[str, str]:
    """A plan's environment.

    Raises:
        NotFoundError: the file is gone or cannot be understood; the plan has to be made anew.
    """
    path = directory / plan_id
    try:
        pairs = msgspec.msgpack.decode(path.read_bytes(), type=list[tuple[bytes, bytes]])
    except (OSError, msgspec.DecodeError) as error:
        raise errors.NotFoundError(
            f"the environment of the plan cannot be read from {path}: {error}",
            suggestions=["use the action again; the environment is taken where `ca plan use` runs"],
        ) from error
    return {os.fsdecode(name): os.fsdecode(value) for name, value in pairs}


def remove(directory: Path, plan_id: str) -> None:
    """Forget a plan's environment; a missing one is fine."""
    (directory / plan_id).unlink(missing_ok=True)
