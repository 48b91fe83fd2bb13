"""Register an action from its file."""

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

from textual.widget import Widget

from cleveragents_tui import definition_files
from cleveragents_tui.cli.places import absolute
from cleveragents_tui.dashboard.screens.form import Form
from cleveragents_tui.dashboard.widgets.fields import ChoiceField, TextField
from cleveragents_tui.dashboard.widgets.path_input import PathSuggester
from daemon import protocol, views
from store import errors

REFUSE, REPLACE = "leave it as it is", "replace it"


class Created(NamedTuple):
    """What was asked for, and the action that it made."""

    request: protocol.ActionCreate
    action: views.ActionView


class ActionForm(Form[Created | None]):
    """Everything that `ca action create` takes."""

    HEADING = "Register an action"
    SEND = "Register"
    KEYS = "ctrl+s registers it · esc leaves"

    def fields(self) -> Iterable[Widget]:
        """The file, and whether it may replace what is there."""
        yield TextField("file", required=True, note="a YAML file; tab completes", suggester=PathSuggester())
        yield ChoiceField("update", (REFUSE, REPLACE), REFUSE, label="if there is one",
                          note="what becomes of an action of that name that is registered already")  # fmt: skip

    async def send(self) -> Created:
        """Read the file and register what it describes."""
        file = absolute(self.text("file"))
        content = await asyncio.to_thread(definition_files.read, file)
        request = protocol.ActionCreate(content=content, source=file, update=self.text("update") == REPLACE)
        return Created(request, await self.dashboard.link.call(request))

    def blamed(self, error: errors.CleverAgentsError) -> str | None:
        """The switch when there is such an action, else the file."""
        if isinstance(error, errors.AlreadyRunningError):
            return "update"
        return None if isinstance(error, errors.DaemonUnavailableError) else "file"
