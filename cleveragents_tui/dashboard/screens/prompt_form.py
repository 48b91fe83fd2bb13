"""A word of advice for the next attempt of a plan."""

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static, TextArea

from cleveragents_tui import wording
from daemon import views


class PromptForm(ModalScreen[str | None]):
    """What went wrong, and below it what to do about it; the text is the result, None when somebody left."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Leave"),
        Binding("ctrl+s", "send", "Send"),
    ]
    DEFAULT_CSS = """
    PromptForm {
        .form { width: 88; padding: 0 1; border-subtitle-color: $tone-waiting; }
        .lines { height: auto; max-height: 30vh; scrollbar-size-vertical: 1; color: $text-muted; }
        TextArea { height: 7; border: round $border-blurred; padding: 0; }
        TextArea:focus { border: round $border; }
    }
    """

    def __init__(self, plan: views.PlanView, lines: Sequence[str]) -> None:
        """`lines` are the last ones of the step that failed."""
        super().__init__()
        self._plan = plan
        self._lines = lines

    def compose(self) -> ComposeResult:
        """The end of the log, the text, the buttons."""
        with Vertical(classes="dialog form") as box:
            box.border_title = Content(f"Advice for {self._plan.name}").markup
            box.border_subtitle = "ctrl+s sends · esc leaves"
            if self._plan.error is not None:
                note = wording.one_line(wording.error_note(self._plan.error))
                yield Static(Content.assemble(("✘ ", "$tone-failed"), note))
            with VerticalScroll(classes="lines", can_focus=False):
                yield Static(Content("\n".join(wording.plain(line) for line in self._lines)))
            yield TextArea(placeholder="What to do differently the next time.", tab_behavior="focus")
            with Horizontal(classes="buttons"):
                yield Button("Send", id="send", variant="primary", compact=True)
                yield Button("Cancel", id="leave", compact=True)

    def on_mount(self) -> None:
        """One can type at once, under the last lines."""
        self.query_one(TextArea).focus()
        self.query_one(VerticalScroll).scroll_end(animate=False)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """What its key does."""
        event.stop()
        self.call_next(self.run_action, str(event.button.id))

    def action_leave(self) -> None:
        """Nothing is done."""
        self.dismiss(None)

    def action_send(self) -> None:
        """The text, if there is one."""
        text = self.query_one(TextArea).text.strip()
        if text:
            self.dismiss(text)
        else:
            self.query_one(TextArea).focus()
