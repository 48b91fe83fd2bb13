"""Run one command in a sandbox of a project."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from textual.widget import Widget

from cleveragents_tui import wording
from cleveragents_tui.dashboard.screens.form import Form
from cleveragents_tui.dashboard.screens.use_form import Surroundings
from cleveragents_tui.dashboard.widgets.fields import ChoiceField, TextField, check_by
from cleveragents_tui.dashboard.widgets.profile_field import ProfileField
from daemon import protocol, views
from store import errors, names


class Ran(NamedTuple):
    """What was asked for, and the plan that it made."""

    request: protocol.PlanRun
    plan: views.PlanView


class RunForm(Form[Ran | None]):
    """Everything that `ca run` takes."""

    HEADING = "Run a command"
    SEND = "Run"
    KEYS = "ctrl+s runs it · esc leaves"

    def __init__(
        self, projects: Sequence[views.ProjectView], chosen: str, directory: str, surroundings: Surroundings
    ) -> None:
        """`directory` is where one is: when it lies in the project, the command runs in the same place of the sandbox."""
        super().__init__()
        self._projects = [wording.short_name(project.name) for project in projects]
        self._chosen = wording.short_name(chosen)
        self._directory = directory
        self._surroundings = surroundings

    def fields(self) -> Iterable[Widget]:
        """The command first."""
        yield TextField("command", required=True, note="text for the shell; what it changes waits for Apply",
                        placeholder="ruff check --fix . && make test")  # fmt: skip
        here = "it runs in the directory that you are in when that lies in the project, else at its top"
        yield ChoiceField("project", self._projects, self._chosen, required=True, note=here)
        yield TextField(
            "name", note="what to call the plan; run-1, run-2 … when empty", check=check_by(names.parse_label)
        )
        yield ProfileField("as configured, else trusted")

    async def send(self) -> Ran:
        """Make the plan."""
        request = protocol.PlanRun(
            command=self.text("command"), directory=self._directory, project=self.text("project"),
            name=self.text("name") or None, profile=self.text("profile") or None,
            environment=self._surroundings.environment, umask=self._surroundings.umask,
        )  # fmt: skip
        return Ran(request, await self.dashboard.link.call(request))

    def blamed(self, error: errors.CleverAgentsError) -> str | None:
        """The field of a refused name, project or profile."""
        return next((key for key in ("name", "project", "profile") if key in error.detail), None)
