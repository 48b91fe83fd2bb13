"""Making work: use an action, run a command, register a project or an action."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cleveragents_tui import surroundings, verbs, wording
from cleveragents_tui.cli.places import absolute
from cleveragents_tui.dashboard.screens.action_form import ActionForm
from cleveragents_tui.dashboard.screens.no_actions import NoActions
from cleveragents_tui.dashboard.screens.project_form import ProjectForm
from cleveragents_tui.dashboard.screens.run_form import RunForm
from cleveragents_tui.dashboard.screens.use_form import Surroundings, UseForm
from daemon import protocol, views

if TYPE_CHECKING:
    from cleveragents_tui.dashboard.app import Dashboard

_NO_PROJECT = "There is no project yet. Plans work on directories that are registered: which one is yours?"


async def use(app: "Dashboard", _subject: Any) -> None:
    """A plan of an action."""
    actions = (await app.link.call(protocol.ActionList())).actions
    if not actions:
        await _without_actions(app)
        return
    projects = await _projects(app)
    if not projects:
        return
    used = await app.push_screen_wait(UseForm(actions, projects, _here(projects), _surroundings(app)))
    if used is not None:
        app.echo(use_command(used.request))
        app.select_plan(used.plan.plan_id)


async def _without_actions(app: "Dashboard") -> None:
    verb = await app.push_screen_wait(NoActions())
    if verb is not None:
        await TABLE[verb](app, None)


async def run(app: "Dashboard", _subject: Any) -> None:
    """A plan of one command."""
    projects = await _projects(app)
    if not projects:
        return
    chosen = next(iter(_here(projects)), "")
    ran = await app.push_screen_wait(RunForm(projects, chosen, absolute("."), _surroundings(app)))
    if ran is not None:
        app.echo(run_command(ran.request))
        app.select_plan(ran.plan.plan_id)


async def project(app: "Dashboard", _subject: Any) -> None:
    """A directory as a project."""
    await _add_project(app)


async def _add_project(app: "Dashboard", intro: str = "") -> views.ProjectView | None:
    added = await app.push_screen_wait(ProjectForm(intro))
    if added is None:
        return None
    named = [] if added.request.name is None else ["--name", added.request.name]
    app.echo(_command("make.project", [added.request.path, *named]))
    name = wording.short_name(added.project.name)
    app.notify(f"project {name}: {added.project.path}", markup=False)
    return added.project


async def action(app: "Dashboard", _subject: Any) -> None:
    """An action from its file."""
    created = await app.push_screen_wait(ActionForm())
    if created is not None:
        update = ["--update"] if created.request.update else []
        app.echo(_command("make.action", [created.request.source, *update]))
        name = wording.short_name(created.action.name)
        app.notify(f"action {name}, revision {created.action.revision}", markup=False)


async def _projects(app: "Dashboard") -> list[views.ProjectView]:
    """The projects that have a directory here; when there is none, the one that is registered now."""
    found = [one for one in (await app.link.call(protocol.ProjectList())).projects if one.path is not None]
    if found:
        return found
    added = await _add_project(app, _NO_PROJECT)
    return [] if added is None else [added]


def _here(projects: Sequence[views.ProjectView]) -> list[str]:
    """The project that is meant most likely: the only one, or the deepest around the current directory."""
    if len(projects) == 1:
        return [projects[0].name]
    here = Path(absolute("."))
    around = [one for one in projects if one.path is not None and here.is_relative_to(one.path)]
    return [one.name for one in sorted(around, key=lambda one: len(one.path or ""))[-1:]]


def _surroundings(app: "Dashboard") -> Surroundings:
    environment = surroundings.environment(app.environ, lambda sentence: app.notify(sentence, markup=False))
    return Surroundings(environment, surroundings.umask())


def use_command(request: protocol.PlanUse) -> str:
    """The `ca` command that does the same."""
    words = [wording.short_name(request.action), *map(wording.short_name, request.projects)]
    for name, value in request.arguments.items():
        words += ["--arg", f"{name}={value}"]
    words += _options(request)
    if request.priority:
        words += ["--priority", str(request.priority)]
    return _command("make.use", words)


def run_command(request: protocol.PlanRun) -> str:
    """The `ca` command that does the same; one word is text for the shell there."""
    named = [] if request.project is None else ["--project", wording.short_name(request.project)]
    return _command("make.run", [*named, *_options(request), "--", request.command])


def _options(request: protocol.PlanUse | protocol.PlanRun) -> list[str]:
    options = [] if request.name is None else ["--name", request.name]
    return options if request.profile is None else [*options, "--profile", request.profile]


def _command(verb: str, words: Iterable[str]) -> str:
    return " ".join([verbs.VERBS[verb].command(), *map(verbs.quoted, words)])


TABLE = {"make.use": use, "make.run": run, "make.project": project, "make.action": action}
