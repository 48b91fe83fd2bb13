"""A field for one of many named things: typing narrows the list, the arrows move in it, enter takes what is marked."""

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from cleveragents_tui.dashboard.here import moving
from cleveragents_tui.dashboard.widgets.fields import Field


class _Choices(OptionList, can_focus=False):
    """The cursor stays in the line above."""


class Picker(Field):
    """One of many things, by name; the list is open while one is in the field."""

    BINDINGS: ClassVar[list[BindingType]] = [
        moving("down", "move(1)", "Next", "Mark the one below."),
        moving("up", "move(-1)", "Previous", "Mark the one above."),
    ]
    DEFAULT_CSS = """
    Picker > OptionList {
        margin-left: 16; height: auto; max-height: 6; border: none; padding: 0; background: $panel; display: none;
    }
    Picker.-entered > OptionList { display: block; }
    """

    class Picked(Message):
        """Another thing is chosen; an empty name when none is."""

        def __init__(self, picker: "Picker", name: str) -> None:
            super().__init__()
            self.picker = picker
            self.name = name

    def __init__(self, key: str, choices: Sequence[tuple[str, str]], value: str = "", *, note: str = "") -> None:
        """`choices` are names, each with what else is to be shown and searched of it."""
        super().__init__(key, note=note, required=True, check=self._known)
        self._choices = choices
        self._value = value
        self._picked = ""

    def compose(self) -> ComposeResult:
        """The field, and the list below it."""
        yield from super().compose()
        yield _Choices(compact=True)

    def control(self) -> Iterable[Widget]:
        """The line to type in."""
        yield Input(self._value, placeholder="type to find, ↓ to choose", compact=True)

    def on_mount(self) -> None:
        """Everything is there until one types."""
        self._fill(self._value)

    @property
    def text(self) -> str:
        """What was typed or taken from the list."""
        return self.query_one(Input).value.strip()

    def on_descendant_blur(self) -> None:
        """What is left there has to be one of them."""
        super().on_descendant_blur()
        if self.text:
            self.recheck()

    def _known(self, text: str) -> str:
        return "" if text in dict(self._choices) else f"there is no {self.key} {text!r}"

    def _fill(self, typed: str) -> None:
        """What has the typed text in it; all when it is the name of one."""
        words = [] if typed in dict(self._choices) else typed.lower().split()
        found = [
            (name, about) for name, about in self._choices if all(word in f"{name} {about}".lower() for word in words)
        ]
        shown = self.query_one(_Choices)
        shown.clear_options()
        shown.add_options(
            [Option(Content.assemble((name, "bold"), (f"  {about}", "dim")), id=name) for name, about in found]
        )
        names = [name for name, _ in found]
        shown.highlighted = names.index(typed) if typed in names else 0 if names else None
        self._tell(typed if typed in names else "")

    def _tell(self, name: str) -> None:
        if name != self._picked:
            self._picked = name
            self.post_message(self.Picked(self, name))

    def on_input_changed(self, event: Input.Changed) -> None:
        """Narrow the list."""
        event.stop()
        self._fill(event.value.strip())
        self.refuse("")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take what is marked, and go on."""
        event.stop()
        shown = self.query_one(_Choices)
        if shown.highlighted_option is not None and shown.highlighted_option.id is not None:
            self.query_one(Input).value = shown.highlighted_option.id
            self.post_message(self.Entered())
        else:
            self.recheck()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """The mouse takes one."""
        event.stop()
        self.query_one(Input).value = event.option.id or ""

    def action_move(self, by: int) -> None:
        """Mark the next one, or the one before."""
        shown = self.query_one(_Choices)
        if by > 0:
            shown.action_cursor_down()
        else:
            shown.action_cursor_up()
