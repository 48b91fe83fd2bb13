"""`ca actor`: programs that carry out steps, such as coding agents."""

import shlex
from collections.abc import Iterable
from functools import partial

import click

from cleveragents_tui import wording
from cleveragents_tui.cli import sync_text
from cleveragents_tui.cli.action import read_file
from cleveragents_tui.cli.commands import Noun
from cleveragents_tui.cli.session import Session
from cleveragents_tui.cli.tables import Cell, Column, pairs, table
from cleveragents_tui.output import Look, Result
from cleveragents_tui.wording import Mood, Tone
from daemon import protocol, views

command = Noun("actor", help="Programs that carry out steps, such as coding agents, each a YAML file.")


@command.verb(examples=["ca actor create claude.yaml", "ca actor create claude.yaml --update"])
@click.argument("file")
@click.option("--update", is_flag=True, help="Replace the actor if it is registered already.")
def create(session: Session, file: str, *, update: bool) -> Result[views.ActorView]:
    """Register the actor that FILE describes; `-` is standard input."""
    content, source = read_file(file)
    return Result(session.call(protocol.ActorCreate(content=content, source=source, update=update)), _created)


@command.verb("list", examples=["ca actor list"])
def list_(session: Session) -> Result[views.ActorsView]:
    """Every actor."""
    found = session.call(protocol.ActorList())
    return Result(found, partial(_list, source=sync_text.origins(session, found.actors)))


@command.verb(examples=["ca actor show claude"])
@click.argument("name")
def show(session: Session, name: str) -> Result[views.ActorView]:
    """One actor, with its command."""
    found = session.call(protocol.ActorShow(actor=name))
    return Result(found, partial(_show, source=sync_text.origins(session, [found])))


@command.verb(examples=["ca actor remove claude --yes"])
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(session: Session, name: str, *, yes: bool) -> Result[views.RemovedView]:
    """Forget an actor; a step that is given to it later fails."""
    if session.must_be_told(yes=yes):
        actor = session.call(protocol.ActorShow(actor=name))
        session.confirm(
            f"  {actor.name}  {actor.description}", "Forget this actor? A step that is given to it later fails."
        )
    return Result(session.call(protocol.ActorRemove(actor=name)), _removed)


_COLUMNS = (
    Column("ACTOR", minimum=12),
    Column("COMMAND", minimum=16),
    Column("SOURCE", drop=1),
    Column("DESCRIPTION", minimum=12, drop=2),
)


def _list(actors: views.ActorsView, look: Look, *, source: sync_text.Origins) -> Iterable[str]:
    if not actors.actors:
        yield look.bold("No actors yet. An actor is a YAML file:")
        yield from (f"  {line}" for line in _EXAMPLE.splitlines())
        yield f"Register it with: {look.bold('ca actor create claude.yaml')}"
        return
    yield from table(look, _COLUMNS, [_row(actor, source) for actor in actors.actors])


_EXAMPLE = """\
name: local/claude
type: command
command: [claude, -p, "{prompt}"]"""


def _row(actor: views.ActorView, source: sync_text.Origins) -> list[Cell | str]:
    return [
        Cell(wording.short_name(actor.name), bold=True),
        _command_line(actor),
        "" if actor.source == "local" else source(actor),
        Cell(actor.description, Tone.WAITING),
    ]


def _command_line(actor: views.ActorView) -> str:
    """As one would type it, in one line."""
    words = [word if word == "{prompt}" else shlex.quote(word) for word in actor.command]
    return wording.plain(" ".join(words)).replace("\n", " ⏎ ")


def _created(actor: views.ActorView, look: Look) -> Iterable[str]:
    yield f"{look.mood(Mood.DONE)} actor {look.bold(wording.short_name(actor.name))}, revision {actor.revision}"
    yield f"  {look.dim('next')}  execution_actor: {actor.name}  in an action file"


def _removed(removed: views.RemovedView, look: Look) -> Iterable[str]:
    yield f"{look.mood(Mood.DONE)} forgot the actor {wording.short_name(removed.name)}"


def _show(actor: views.ActorView, look: Look, *, source: sync_text.Origins) -> Iterable[str]:
    yield look.bold(wording.short_name(actor.name)) + (f"  {actor.description}" if actor.description else "")
    yield f"  {look.dim('command')}   {_command_line(actor)}"
    yield from pairs(
        look,
        [
            ("revision", f"{actor.revision}, {source(actor)}"),
            ("timeout", "" if actor.timeout is None else wording.duration(actor.timeout)),
            ("env", " ".join(actor.env)),
        ],
    )
