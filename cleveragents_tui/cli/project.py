"""`ca project`: the directories that plans work on."""

from collections.abc import Iterable
from functools import partial

import click

from cleveragents_tui import wording
from cleveragents_tui.cli import sync_text
from cleveragents_tui.cli.commands import Noun
from cleveragents_tui.cli.places import absolute, project_word
from cleveragents_tui.cli.session import Session
from cleveragents_tui.cli.tables import Cell, Column, pairs, table
from cleveragents_tui.output import Look, Result
from cleveragents_tui.wording import Mood, Tone
from daemon import protocol, views

command = Noun("project", help="Directories that plans work on: git repositories and plain folders.")


@command.verb(examples=["ca project add", "ca project add ~/src/web --name web"])
@click.argument("path", default=".")
@click.option("--name", help="[namespace/]name; without it the directory's own name.")
def add(session: Session, path: str, name: str | None) -> Result[views.ProjectView]:
    """Register a directory, the current one by default."""
    return Result(session.call(protocol.ProjectAdd(path=absolute(path), name=name)), _added)


@command.verb("list", examples=["ca project list"])
def list_(session: Session) -> Result[views.ProjectsView]:
    """Every registered project."""
    found = session.call(protocol.ProjectList())
    return Result(found, partial(_list, source=sync_text.origins(session, found.projects)))


@command.verb(examples=["ca project show web"])
@click.argument("name")
def show(session: Session, name: str) -> Result[views.ProjectView]:
    """One project."""
    found = session.call(protocol.ProjectShow(project=project_word(name)))
    return Result(found, partial(_show, source=sync_text.origins(session, [found])))


@command.verb(examples=["ca project remove web --yes"])
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(session: Session, name: str, *, yes: bool) -> Result[views.RemovedView]:
    """Forget a project; its directory is not touched."""
    if session.must_be_told(yes=yes):
        project = session.call(protocol.ProjectShow(project=project_word(name)))
        session.confirm(f"  {project.name}  {_place(project)}", "Forget this project? The directory is not touched.")
    return Result(session.call(protocol.ProjectRemove(project=project_word(name))), _removed)


_COLUMNS = (
    Column("PROJECT", minimum=12),
    Column("KIND", drop=1),
    Column("PATH", minimum=16),
    Column("SOURCE", drop=2),
    Column("DESCRIPTION", minimum=12, drop=3),
)


def _list(projects: views.ProjectsView, look: Look, *, source: sync_text.Origins) -> Iterable[str]:
    if not projects.projects:
        yield look.bold("No projects yet. Register the directory you are in:")
        yield "  ca project add"
        return
    yield from table(look, _COLUMNS, [_row(project, source) for project in projects.projects])
    elsewhere = next((project for project in projects.projects if project.path is None), None)
    if elsewhere is not None:
        yield look.dim(f"A shared project gets its directory here with: {_adding(elsewhere)}")


def _row(project: views.ProjectView, source: sync_text.Origins) -> list[Cell | str]:
    return [
        Cell(wording.short_name(project.name), bold=True),
        project.kind,
        project.path or Cell(_place(project), Tone.WAITING),
        "" if project.source == "local" else source(project),
        Cell(project.description, Tone.WAITING),
    ]


def _place(project: views.ProjectView) -> str:
    return project.path or "no directory here"


def _adding(project: views.ProjectView) -> str:
    return f"ca project add PATH --name {wording.short_name(project.name)}"


def _added(project: views.ProjectView, look: Look) -> Iterable[str]:
    kind = "git repository" if project.kind == "git" else project.kind
    name = wording.short_name(project.name)
    yield f"{look.mood(Mood.DONE)} project {look.bold(name)}: {kind} {project.path}"


def _removed(removed: views.RemovedView, look: Look) -> Iterable[str]:
    yield f"{look.mood(Mood.DONE)} forgot the project {wording.short_name(removed.name)}; its directory was not touched"


def _show(project: views.ProjectView, look: Look, *, source: sync_text.Origins) -> Iterable[str]:
    yield look.bold(wording.short_name(project.name)) + (f"  {project.description}" if project.description else "")
    yield from pairs(
        look,
        [
            ("path", _place(project)),
            ("kind", project.kind),
            ("source", source(project)),
            ("revision", str(project.revision)),
        ],
    )
    if project.path is None:
        yield f"  {look.dim('next')}  {_adding(project)}"
