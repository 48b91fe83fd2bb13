"""A line to search with: enter and the arrows go from one find to the next, escape closes it."""

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
        & > Input { width: 1fr; height: 1; border: none; padding: 0 1; background: $panel; }
        & > Label { width: auto; padding: 0 1; color: $text-muted; }
        &.-open { display: block; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,down", "ask(1)", "Next", id="search.next", priority=True),
        Binding("up", "ask(-1)", "Previous", id="search.previous", priority=True),
        Binding("escape", "close", "Close", id="search.close"),
    ]

    @dataclass
    class Asked(Message):
        """Something is to be looked for, forwards or backwards."""

        text: str
        step: int

    @dataclass
    class Closed(Message):
        """Nothing is searched for any more."""

    def compose(self) -> ComposeResult:
        """Where one types, and what is said of it."""
        yield Input(placeholder="search", compact=True)
        yield Label("", markup=False)

    def open(self) -> None:
        """Show it, with what was searched for the last time."""
        self.add_class("-open")
        found = self.query_one(Input)
        found.focus()
        found.action_select_all()

    def tell(self, place: int, count: int) -> None:
        """Say which of how many finds one is at, counted from 1."""
        self.query_one(Label).update(f"{place} of {count:,}" if count else "not found")

    def on_input_changed(self, event: Input.Changed) -> None:
        """What was said is of another search."""
        event.stop()
        self.query_one(Label).update("")

    def action_ask(self, step: int) -> None:
        """The next find, or the one before."""
        text = self.query_one(Input).value
        if text:
            self.post_message(self.Asked(text, step))

    def action_close(self) -> None:
        """Back to what was searched in."""
        self.remove_class("-open")
        self.post_message(self.Closed())
