"""Use an action on projects: the action, the projects, the action's arguments, and a look at what it would do."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

from rich.text import Text as AnsiText
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.css.query import NoMatches
from textual.widget import AwaitMount, Widget
from textual.widgets import Button

from cleveragents_tui import wording
from cleveragents_tui.cli import dry_run_text
from cleveragents_tui.dashboard.dialogs import Text
from cleveragents_tui.dashboard.screens.form import Form
from cleveragents_tui.dashboard.widgets.argument_fields import ArgumentValue, key_of
from cleveragents_tui.dashboard.widgets.fields import SeveralField, TextField, check_by
from cleveragents_tui.dashboard.widgets.picker import Picker
from cleveragents_tui.dashboard.widgets.profile_field import ProfileField
from cleveragents_tui.output import Look
from daemon import protocol, views
from store import errors, names


class Used(NamedTuple):
    """What was asked for, and the plan that it made."""

    request: protocol.PlanUse
    plan: views.PlanView


class Surroundings(NamedTuple):
    """What a plan gets of the process that makes it."""

    environment: dict[str, bytes]
    umask: int


class Arguments(Vertical):
    """The arguments of one action. They stay when another one is looked at, with what was typed."""

    DEFAULT_CSS = """
    Arguments { height: auto; }
    """

    def __init__(self, values: Sequence[ArgumentValue]) -> None:
        super().__init__(*(value.field for value in values))
        self.values = values


class UseForm(Form[Used | None]):
    """Everything that `ca plan use` takes."""

    HEADING = "New plan"
    SEND = "Start"
    KEYS = "ctrl+s starts · ctrl+p previews · esc leaves"
    DEFAULT_CSS = """
    UseForm #arguments { height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+p", "preview", "Preview", tooltip="What it would do; nothing is stored.")
    ]

    def __init__(
        self,
        actions: Sequence[views.ActionView],
        projects: Sequence[views.ProjectView],
        chosen: Iterable[str],
        surroundings: Surroundings,
    ) -> None:
        """`chosen` are the names of the projects that are marked at first."""
        super().__init__()
        self._actions = {wording.short_name(action.name): action for action in actions}
        self._projects = {wording.short_name(project.name): project for project in projects}
        self._chosen = [wording.short_name(name) for name in chosen]
        self._surroundings = surroundings
        self._picked = ""
        self._arguments: dict[str, Arguments] = {}
        self._mounting: AwaitMount | None = None

    def fields(self) -> Iterable[Widget]:
        """The plan's own, then those of the action that is chosen."""
        only = next(iter(self._actions)) if len(self._actions) == 1 else ""
        yield Picker("action", [(name, wording.one_line(one.description)) for name, one in self._actions.items()], only)
        yield SeveralField(
            "projects", [(name, project.path or "") for name, project in self._projects.items()], self._chosen,
            note="space chooses; steps run in the first one",
        )  # fmt: skip
        yield Vertical(id="arguments")
        yield TextField(
            "name", note="what to call the plan; made from the action's when empty", check=check_by(names.parse_label)
        )
        yield ProfileField("as configured")
        yield TextField("priority", "0", note="higher runs earlier", check=check_by(_priority))

    def more_buttons(self) -> Iterable[Widget]:
        """A look before anything is made."""
        yield Button("Preview", id="preview", compact=True)

    def on_picker_picked(self, event: Picker.Picked) -> None:
        """Its arguments are asked for."""
        event.stop()
        self._picked = event.name
        if event.name in self._actions and event.name not in self._arguments:
            declared = self._actions[event.name].arguments
            made = self._arguments[event.name] = Arguments([ArgumentValue(one, self._roots) for one in declared])
            self._mounting = self.query_one("#arguments").mount(made)
        for name, arguments in self._arguments.items():
            arguments.display = name == event.name

    async def complete(self) -> None:
        """The arguments of the action were only just asked for, it may be."""
        if self._mounting is not None:
            await self._mounting

    def _roots(self) -> list[Path]:
        try:
            chosen = self.query_one(SeveralField).chosen
        except NoMatches:
            return []
        return [Path(path) for name in chosen if (path := self._projects[name].path) is not None]

    def _given(self) -> dict[str, str]:
        arguments = self._arguments.get(self._picked)
        values = () if arguments is None else arguments.values
        found = {one.argument.name: one.given for one in values}
        return {name: value for name, value in found.items() if value is not None}

    async def send(self) -> Used:
        """Make the plan."""
        request = protocol.PlanUse(
            action=self.text("action"), projects=self.query_one(SeveralField).chosen, arguments=self._given(),
            name=self.text("name") or None, profile=self.text("profile") or None,
            priority=_priority(self.text("priority") or "0"),
            environment=self._surroundings.environment, umask=self._surroundings.umask,
        )  # fmt: skip
        return Used(request, await self.dashboard.link.call(request))

    def action_preview(self) -> None:
        """Show what it would do; nothing is stored."""
        self.ask(self._previewed)

    async def _previewed(self) -> None:
        request = protocol.PlanDryRun(
            action=self.text("action"), projects=self.query_one(SeveralField).chosen, arguments=self._given(),
            profile=self.text("profile") or None, environment=self._surroundings.environment,
        )  # fmt: skip
        found = await self.dashboard.link.call(request, timeout=None)  # a command that prints items takes its time
        look = Look(width=min(92, self.dashboard.size.width - 10), colour=True, now=self.dashboard.now())
        lines = dry_run_text.dry_run(found, look, everything=True)
        self.dashboard.push_screen(
            Text("Preview", [Content.from_rich_text(AnsiText.from_ansi(line)) for line in lines])
        )

    def blamed(self, error: errors.CleverAgentsError) -> str | None:
        """The field of a refused argument, name, project or profile."""
        detail = error.detail
        if "argument" in detail:
            return key_of(str(detail["argument"]))
        known = {
            "action": "action",
            "project": "projects",
            "projects": "projects",
            "profile": "profile",
            "name": "name",
        }
        return next((field for key, field in known.items() if key in detail), None)


def _priority(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"must be a whole number, not {text[:60]!r}") from None
