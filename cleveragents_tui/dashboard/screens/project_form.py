"""Register a directory that plans may work on."""

from collections.abc import Iterable
from typing import NamedTuple

from textual.widget import Widget

from cleveragents_tui.cli.places import absolute
from cleveragents_tui.dashboard.screens.form import Form
from cleveragents_tui.dashboard.widgets.fields import TextField, check_by
from cleveragents_tui.dashboard.widgets.path_input import PathSuggester
from daemon import protocol, views
from store import errors, names


class Added(NamedTuple):
    """What was asked for, and the project that it made."""

    request: protocol.ProjectAdd
    project: views.ProjectView


class ProjectForm(Form[Added | None]):
    """Everything that `ca project add` takes."""

    HEADING = "Register a project"
    SEND = "Register"
    KEYS = "ctrl+s registers it · esc leaves"

    def fields(self) -> Iterable[Widget]:
        """The directory, and its name."""
        yield TextField("path", absolute("."), required=True, note="a git repository or a plain folder; tab completes",
                        suggester=PathSuggester(directories=True))  # fmt: skip
        yield TextField("name", note="[namespace/]name; the directory's own when empty",
                        check=check_by(lambda text: names.parse_name(text, what="project name")))  # fmt: skip

    async def send(self) -> Added:
        """Register it."""
        request = protocol.ProjectAdd(path=absolute(self.text("path")), name=self.text("name") or None)
        return Added(request, await self.dashboard.link.call(request))

    def blamed(self, error: errors.CleverAgentsError) -> str | None:
        """The name when it is refused, else the directory."""
        return "name" if {"name", "what"} & error.detail.keys() else "path" if error.exit_code in {2, 3, 4} else None
