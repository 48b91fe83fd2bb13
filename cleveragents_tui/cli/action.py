"""`ca action`: reusable descriptions of work."""

from collections.abc import Iterable
from functools import partial

import click

from cleveragents_tui import definition_files, wording
from cleveragents_tui.cli import sync_text
from cleveragents_tui.cli.commands import Noun
from cleveragents_tui.cli.definitions import arguments_lines, shown, steps_lines
from cleveragents_tui.cli.session import Session
from cleveragents_tui.cli.tables import Cell, Column, pairs, table
from cleveragents_tui.output import Look, Result
from cleveragents_tui.wording import Mood, Tone
from daemon import protocol, views

command = Noun("action", help="Reusable descriptions of work, each a YAML file.")


@command.verb(examples=["ca action create modernise.yaml", "ca action create modernise.yaml --update"])
@click.argument("file")
@click.option("--update", is_flag=True, help="Replace the action if it is registered already.")
def create(session: Session, file: str, *, update: bool) -> Result[views.ActionView]:
    """Register the action that FILE describes; `-` is standard input."""
    content, source = read_file(file)
    return Result(session.call(protocol.ActionCreate(content=content, source=source, update=update)), _created)


@command.verb("list", examples=["ca action list", "ca action list --archived"])
@click.option("--archived", is_flag=True, help="Archived actions too.")
def list_(session: Session, *, archived: bool) -> Result[views.ActionsView]:
    """Every action."""
    found = session.call(protocol.ActionList(archived=archived))
    return Result(found, partial(_list, source=sync_text.origins(session, found.actions)))


@command.verb(examples=["ca action show modernise"])
@click.argument("name")
def show(session: Session, name: str) -> Result[views.ActionView]:
    """One action, with its arguments and steps."""
    found = session.call(protocol.ActionShow(action=name))
    return Result(found, partial(_show, source=sync_text.origins(session, [found])))


@command.verb(examples=["ca action validate modernise.yaml"])
@click.argument("file")
def validate(session: Session, file: str) -> Result[views.ActionView]:
    """Check the action that FILE describes; `-` is standard input. Nothing is registered."""
    content, source = read_file(file)
    return Result(session.call(protocol.ActionValidate(content=content, source=source)), _valid)


@command.verb(examples=["ca action remove modernise --yes"])
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(session: Session, name: str, *, yes: bool) -> Result[views.RemovedView]:
    """Forget an action; its plans keep their own copy."""
    if session.must_be_told(yes=yes):
        action = session.call(protocol.ActionShow(action=name))
        session.confirm(f"  {action.name}  {action.description}", "Forget this action? Its plans keep their own copy.")
    return Result(session.call(protocol.ActionRemove(action=name)), _removed)


def read_file(file: str) -> tuple[bytes, str]:
    """The bytes of a definition file, or of standard input, and how messages call it.

    Raises:
        CleverAgentsError: it cannot be read, or is longer than allowed.
    """
    if file != "-":
        return definition_files.read(file), file
    import sys  # noqa: PLC0415  the one command that reads standard input

    from daemon.documents import STANDARD_INPUT  # noqa: PLC0415  as said

    return definition_files.bounded(sys.stdin.buffer, STANDARD_INPUT), STANDARD_INPUT


_COLUMNS = (
    Column("ACTION", minimum=12),
    Column("STEPS", right=True, drop=1),
    Column("ARGUMENTS", minimum=8, drop=2),
    Column("SOURCE", drop=3),
    Column("DESCRIPTION", minimum=12, drop=4),
)


def _list(actions: views.ActionsView, look: Look, *, source: sync_text.Origins) -> Iterable[str]:
    if not actions.actions:
        yield look.bold("No actions yet. An action is a YAML file:")
        yield from (f"  {line}" for line in definition_files.EXAMPLE.splitlines())
        yield f"Register it with: {look.bold('ca action create tidy.yaml')}"
        return
    yield from table(look, _COLUMNS, [_row(action, source) for action in actions.actions])


def _row(action: views.ActionView, source: sync_text.Origins) -> list[Cell | str]:
    mark = " (archived)" if action.archived else ""
    return [
        Cell(wording.short_name(action.name) + mark, bold=True),
        str(len(action.steps)) if action.steps else "",
        " ".join(f"{argument['name']}{'' if argument.get('required') else '?'}" for argument in action.arguments),
        "" if action.source == "local" else source(action),
        Cell(action.description, Tone.WAITING),
    ]


def _created(action: views.ActionView, look: Look) -> Iterable[str]:
    name = wording.short_name(action.name)
    yield f"{look.mood(Mood.DONE)} action {look.bold(name)}, revision {action.revision}"
    yield f"  {look.dim('next')}  ca plan use {name} PROJECT"


def _valid(action: views.ActionView, look: Look) -> Iterable[str]:
    yield f"{look.mood(Mood.DONE)} {look.bold(wording.short_name(action.name))} is a valid action"


def _removed(removed: views.RemovedView, look: Look) -> Iterable[str]:
    yield f"{look.mood(Mood.DONE)} forgot the action {wording.short_name(removed.name)}"


def _show(action: views.ActionView, look: Look, *, source: sync_text.Origins) -> Iterable[str]:
    yield look.bold(wording.short_name(action.name)) + (f"  {action.description}" if action.description else "")
    yield from pairs(look, _facts(action, source(action)))
    yield from arguments_lines(action.arguments, look)
    for invariant in action.invariants:
        yield f"{look.dim('invariant')}  {wording.plain(invariant)}"
    yield from steps_lines("steps", action.steps, look)
    yield from steps_lines("checks", action.checks, look)


def _facts(action: views.ActionView, source: str) -> list[tuple[str, str | Cell]]:
    return [
        ("revision", f"{action.revision}, {source}{', archived' if action.archived else ''}"),
        ("done when", wording.plain(action.definition_of_done)),
        ("strategy", action.strategy_actor),
        ("execution", action.execution_actor),
        ("profile", action.automation_profile or ""),
        ("read only", "yes" if action.read_only else ""),
        ("reusable", "" if action.reusable else "no, archived after its first plan"),
        ("copied in", shown(action.sandbox.get("include"))),
        ("setup", shown(action.sandbox.get("setup"))),
        ("env", " ".join(action.env)),
        ("shell", action.shell or ""),
    ]
