"""What all dialogs have in common, and those that more than one verb needs: a question, and a text to read."""

from collections.abc import Iterable, Sequence
from typing import ClassVar, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button, Static

from cleveragents_tui.dashboard.here import dashboard_of
from cleveragents_tui.dashboard.widgets.key_line import KeyLine

R = TypeVar("R")


class Dialog(ModalScreen[R]):
    """Something on top of a room; the last line has its keys then, for those of the room do not work."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+r", "app.verb('app.start')", "Start the daemon", tooltip="Start the daemon when it is gone."),
    ]
    DEFAULT_CSS = """
    Dialog > KeyLine { dock: bottom; }
    """

    def on_mount(self) -> None:
        """Whatever else the dialog shows; what was typed ahead is for it."""
        self.mount(KeyLine())
        self.call_after_refresh(dashboard_of(self).has_opened)


class Question(Dialog[bool]):
    """Yes or no; escape is no, and no is what enter means until somebody moves to yes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n,escape,q", "answer(False)", "No"),
        Binding("left,right,h,l", "app.focus_next", show=False),
    ]

    def __init__(self, question: str, *lines: str | Content, yes: str = "Yes", no: str = "No") -> None:
        super().__init__()
        self._question = question
        self._lines = lines
        self._yes = yes
        self._no = no

    def compose(self) -> ComposeResult:
        """The question, what is known, the two answers."""
        with Vertical(classes="dialog") as box:
            box.border_title = "Are you sure?"
            yield Static(Content(self._question), classes="question")
            for line in self._lines:
                yield Static(Content(line) if isinstance(line, str) else line)
            with Horizontal(classes="buttons"):
                yield Button(self._no, id="no")
                yield Button(self._yes, id="yes", variant="error")

    def on_mount(self) -> None:
        """No is the answer to a key that was meant for something else."""
        self.query_one("#no").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """That button's answer."""
        self.dismiss(event.button.id == "yes")

    def action_answer(self, answer: bool) -> None:  # noqa: FBT001  an action's parameters are positional
        """The answer of a key."""
        self.dismiss(answer)


class Text(Dialog[None]):
    """Something to read, and to scroll when it is long."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "dismiss", "Close"),
        Binding("j,down", "scroll(1)", "Down"),
        Binding("k,up", "scroll(-1)", "Up"),
    ]
    DEFAULT_CSS = """
    Text VerticalScroll { height: auto; max-height: 100%; }
    """

    def __init__(self, title: str, lines: Sequence[str | Content]) -> None:
        super().__init__()
        self._title = title
        self._lines = lines

    def compose(self) -> ComposeResult:
        """The text in a box."""
        with Vertical(classes="dialog -text") as box:
            box.border_title = Content(self._title).markup
            box.border_subtitle = "esc closes"
            with VerticalScroll():
                yield from self.text()

    def text(self) -> Iterable[Widget]:
        """What there is to read."""
        yield Static(Content("\n").join(Content(one) if isinstance(one, str) else one for one in self._lines))

    def action_scroll(self, by: int) -> None:
        """A line up or down."""
        self.query_one(VerticalScroll).scroll_relative(y=by, animate=False)
