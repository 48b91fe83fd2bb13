"""A line to search with, as in a log: it counts while one types, enter hands the keys back, escape ends it."""

from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Label


class SearchLine(Horizontal):
    """What is searched for, and which find of how many one is at."""

    DEFAULT_CSS = """
    SearchLine {
        dock: bottom; height: 1; width: 1fr; display: none; background: $panel;
        & > Input { width: 1fr; height: 1; border: none; padding: 0; background: $panel; }
        & > Label { width: auto; padding: 0 1; color: $text-muted; }
        &.-open { display: block; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "find", "Find", id="search.find", priority=True, tooltip="Go to the first find from here on."),
        Binding("escape", "close", "End search", id="search.close"),
    ]

    @dataclass
    class Typed(Message):
        """Something else is to be looked for."""

        text: str

    @dataclass
    class Entered(Message):
        """The first find is to be gone to."""

    @dataclass
    class Closed(Message):
        """Nothing is searched for any more."""

    def compose(self) -> ComposeResult:
        """Where one types, and what is said of it."""
        yield Label("/", markup=False)
        yield Input(placeholder="search", compact=True, select_on_focus=True)
        yield Label("", id="told", markup=False)

    @property
    def text(self) -> str:
        """What is looked for."""
        return self.query_one(Input).value

    def open(self) -> None:
        """Show it, with what was searched for the last time."""
        self.add_class("-open")
        self.query_one(Input).focus()
        if self.text:
            self.post_message(self.Typed(self.text))

    def close(self) -> None:
        """Show it no more."""
        self.remove_class("-open")

    def tell(self, place: int, count: int) -> None:
        """Say which of how many finds one is at, counted from 1; 0 before one goes to any."""
        found = f"{count:,} line{'s' * (count != 1)}" if not place else f"{place:,} of {count:,}"
        self.query_one("#told", Label).update(found if count else "not found")

    def on_input_changed(self, event: Input.Changed) -> None:
        """It is looked for while one types."""
        event.stop()
        self.query_one("#told", Label).update("")
        if self.has_class("-open"):
            self.post_message(self.Typed(event.value))

    def action_find(self) -> None:
        """Go there; without a text there is nothing to search."""
        self.post_message(self.Entered() if self.text else self.Closed())

    def action_close(self) -> None:
        """Back to what was searched in."""
        self.post_message(self.Closed())
