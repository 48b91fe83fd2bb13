"""Versions that come from the server: looked at before anything here is changed by them."""

from datetime import UTC, datetime

from msgspec import Struct

from daemon import actions, actors, projects
from daemon.team import wire
from store import errors
from store.clock import SECOND
from store.records import Entity


class Incoming(Struct, frozen=True, kw_only=True):
    """A version of the server's, ready to be taken over.

    Attributes:
        content: None when it is deleted, or the server has nothing of that name.
        description: The definition's own.
        invalid: Why it cannot be used here.
    """

    kind: str
    name: str
    revision: int
    content: str | None
    changed_at: int | None = None
    changed_by: str = ""
    description: str = ""
    invalid: str | None = None


def read(entity: wire.Entity, description: str | None = None) -> Incoming:
    """A version as the server gave it; it is parsed, unless its description is known, as that of one in force here is."""
    found = Incoming(
        kind=entity.kind,
        name=f"{entity.namespace}/{entity.name}",
        revision=entity.revision,
        content=None if entity.deleted else entity.content,
        changed_at=_moment(entity.updated_at),
        changed_by=entity.updated_by,
        description=description or "",
    )
    return found if description is not None else checked(found)


def theirs(entity: Entity) -> Incoming:
    """The server's version of a conflict."""
    found = Incoming(
        kind=entity.kind,
        name=entity.whole_name,
        revision=entity.theirs_revision or 0,
        content=entity.theirs_content,
        changed_at=entity.theirs_at,
        changed_by=entity.theirs_by or "",
    )
    return checked(found)


def nothing(kind: str, name: str) -> Incoming:
    """The server has nothing of that name."""
    return Incoming(kind=kind, name=name, revision=0, content=None)


def checked(new: Incoming) -> Incoming:
    """The same with its description, or with the reason why it cannot be used here."""
    if new.content is None:
        return new
    try:
        name, description = _read(new.kind, new.content, f"{new.name} of the team server")
    except errors.InvalidActionError as error:
        return _with(new, invalid=error.message)
    if name != new.name:
        return _with(new, invalid=f"its name is {name}, and the server has it as {new.name}")
    return _with(new, description=description)


def _with(new: Incoming, *, description: str = "", invalid: str | None = None) -> Incoming:
    return Incoming(
        kind=new.kind,
        name=new.name,
        revision=new.revision,
        content=new.content,
        changed_at=new.changed_at,
        changed_by=new.changed_by,
        description=description,
        invalid=invalid,
    )


def _read(kind: str, content: str, source: str) -> tuple[str, str]:
    """The name and the description in a definition."""
    if kind == "action":
        action = actions.parse(content, source=source)
        return action.name, action.description
    if kind == "actor":
        actor = actors.parse(content, source=source)
        return actor.name, actor.description
    project = projects.parse(content, source=source)
    return project.name, project.description


def _moment(text: str) -> int | None:
    """Microseconds; a time that is none is not known."""
    try:
        return int(datetime.fromisoformat(text).astimezone(UTC).timestamp() * SECOND)
    except (ValueError, OverflowError):
        return None
