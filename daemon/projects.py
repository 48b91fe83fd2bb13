"""What a team server is told of a project: its name and what it is, never where it lies."""

from msgspec import Struct

from daemon import documents
from daemon.action_section import Section


class SharedProject(Struct, frozen=True):
    """A project as it travels."""

    name: str
    kind: str
    description: str


def parse(text: str | bytes, *, source: str) -> SharedProject:
    """The project in a shared definition.

    Args:
        text: Its content.
        source: What messages call it.

    Raises:
        InvalidActionError: the first problem, with line and key where known.
    """
    section = Section.of(documents.read(text, source=source), source, "", ("name", "kind", "description"))
    kind = section.choice("kind", ("git", "folder"), "git")
    return SharedProject(section.name("name"), kind, section.text("description", ""))
