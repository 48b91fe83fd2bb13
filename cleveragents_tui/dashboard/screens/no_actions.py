"""What one is told who wants to use an action and has none."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Static

from cleveragents_tui import definition_files
from cleveragents_tui.dashboard.dialogs import Dialog


class NoActions(Dialog[str | None]):
    """The two ways on; the result is the verb that was chosen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "choose('make.run')", "Run a command", tooltip="One command, in a sandbox of a project."),
        Binding("a", "choose('make.action')", "Register an action", tooltip="From its file."),
        Binding("escape,q", "leave", "Leave", tooltip="Neither."),
    ]

    def compose(self) -> ComposeResult:
        """What an action is, and what can be done now."""
        with Vertical(classes="dialog") as box:
            box.border_title = "No actions yet"
            box.border_subtitle = "esc leaves"
            yield Static(Content("An action is a YAML file that describes work, to be used again and again:"))
            yield Static(Content("\n" + definition_files.EXAMPLE), classes="example")
            yield Static(
                Content("\nWho uses it is asked for {target}. A step may be given to a coding agent: prompt: for run:.")
            )
            yield Static(Content.assemble("\nRegister one here or with ", ("ca action create tidy.yaml", "bold"), ","))
            yield Static(
                Content.assemble("or run one command without any, here or with ", ("ca run -- CMD", "bold"), ".")
            )
            with Horizontal(classes="buttons"):
                yield Button("r  Run a command", id="run", variant="primary", compact=True)
                yield Button("a  Register an action", id="action", compact=True)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """That way."""
        event.stop()
        self.dismiss(f"make.{event.button.id}")

    def action_choose(self, verb: str) -> None:
        """That way."""
        self.dismiss(verb)

    def action_leave(self) -> None:
        """Neither."""
        self.dismiss(None)
