"""What the forms have in common: fields that scroll, buttons, and a refusal that stays beside what it is about.

A form sends its own request, so that nothing that was typed is lost when the daemon refuses it or is gone.
"""

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, ClassVar, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Button, Static

from cleveragents_tui import wording
from cleveragents_tui.dashboard.dialogs import Dialog
from cleveragents_tui.dashboard.here import dashboard_of
from cleveragents_tui.dashboard.widgets.fields import Field
from store import errors

if TYPE_CHECKING:
    from cleveragents_tui.dashboard.app import Dashboard

R = TypeVar("R")


class Form(Dialog[R]):
    """Fields and what is done with them; its result is None when somebody left it.

    Who inherits names the fields, sends them, and says which of them an error is about.
    """

    HEADING: ClassVar[str] = ""
    SEND: ClassVar[str]
    KEYS: ClassVar[str] = "ctrl+s sends · esc leaves"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Leave", tooltip="Nothing is done."),
        Binding("ctrl+s", "send", "Send", tooltip="Do what the form is for, when every field is as it has to be."),
    ]
    DEFAULT_CSS = """
    Form {
        .form { border-subtitle-color: $tone-waiting; }
        .fields { height: auto; max-height: 50vh; scrollbar-size-vertical: 1; }
        .hint { height: 2; margin-top: 1; color: $text-muted; }
        .intro { margin-bottom: 1; }
        .reason { color: $tone-failed; display: none; max-height: 6; }
        &.-refused .reason { display: block; }
        &.-refused .fields { max-height: 42vh; }
        &.-refused .hint { display: none; }
        .waiting { color: $tone-running; display: none; }
        &.-waiting .waiting { display: block; }
    }
    """

    def __init__(self, intro: str = "") -> None:
        """`intro` is said above the fields."""
        super().__init__()
        self._intro = intro
        self._asking = False

    @property
    def dashboard(self) -> "Dashboard":
        """The application, as what it is."""
        return dashboard_of(self)

    # --- what who inherits says ------------------------------------------------------------------------------------------

    def fields(self) -> Iterable[Widget]:
        """What is asked."""
        raise NotImplementedError

    async def send(self) -> R:
        """Do what the form is for.

        Raises:
            CleverAgentsError: it was refused; the form stays.
        """
        raise NotImplementedError

    def blamed(self, error: errors.CleverAgentsError) -> str | None:  # noqa: ARG002  most refusals name no field
        """The key of the field that an error is about."""
        return None

    def heading(self) -> str:
        """What the form is for, in its border."""
        return self.HEADING

    async def complete(self) -> None:
        """Wait until every field is there."""

    def more_buttons(self) -> Iterable[Widget]:
        """What else can be done than to send it."""
        return ()

    # --- the screen ------------------------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        """The fields in a box."""
        with Vertical(classes="dialog form") as box:
            box.border_title = Content(self.heading()).markup
            box.border_subtitle = self.KEYS
            if self._intro:
                yield Static(Content(self._intro), classes="intro")
            with VerticalScroll(classes="fields", can_focus=False):
                yield from self.fields()
            yield Static("", classes="hint")  # always as high, so that nothing moves while one goes from field to field
            yield Static("", classes="reason")
            yield Static(Content("the daemon is asked…"), classes="waiting")
            with Horizontal(classes="buttons"):
                yield Button(self.SEND, id="send", variant="primary", compact=True)
                yield from self.more_buttons()
                yield Button("Cancel", id="leave", compact=True)

    @property
    def asked(self) -> list[Field]:
        """The fields that are asked now: those that can be seen."""
        return [
            field
            for field in self.query(Field)
            if all(node.display for node in field.ancestors_with_self if isinstance(node, Widget))
        ]

    def field(self, key: str) -> Field | None:
        """The field of that name."""
        return next((field for field in self.asked if field.key == key), None)

    def text(self, key: str) -> str:
        """What a field of the form holds."""
        field = self.field(key)
        assert field is not None
        return field.text.strip()

    def on_descendant_focus(self) -> None:
        """What the field is for is said while one is in it."""
        nodes = [] if self.focused is None else self.focused.ancestors_with_self
        notes = [node.note for node in nodes if isinstance(node, Field)]
        self.query_one(".hint", Static).update(Content("".join(notes)))

    def on_field_entered(self, event: Field.Entered) -> None:
        """Go on to the next field."""
        event.stop()
        self.focus_next()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """What its key does."""
        event.stop()
        self.call_next(self.run_action, str(event.button.id))

    def action_leave(self) -> None:
        """Nothing is done."""
        self.dismiss(None)

    def action_send(self) -> None:
        """Send it, unless a field is not as it has to be."""
        self.ask(self._sent)

    def ask(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do something with the fields when all of them are as they have to be; one thing at a time."""
        if not self._asking:
            self._asking = True
            self.run_worker(partial(self._checked, work), name="form")

    async def _sent(self) -> None:
        self.dismiss(await self.send())

    async def _checked(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await self.complete()
            wrong = [field for field in self.asked if not field.recheck()]
            if wrong:
                wrong[0].focus_control()
            else:
                await self._waited(work)
        finally:
            self._asking = False

    async def _waited(self, work: Callable[[], Awaitable[None]]) -> None:
        self._tell("")
        self.add_class("-waiting")
        try:
            await work()
        except errors.CleverAgentsError as error:
            self._refused(error)
        finally:
            self.remove_class("-waiting")

    def _refused(self, error: errors.CleverAgentsError) -> None:
        """Beside the field that is to blame; below all of them when none is."""
        key = self.blamed(error)
        field = None if key is None else self.field(key)
        if field is not None:
            field.refuse(wording.plain(error.message))
            field.focus_control()
        else:
            self._tell("\n".join([wording.plain(error.message), *(f"→ {one}" for one in error.suggestions)]))

    def _tell(self, reason: str) -> None:
        self.query_one(".reason", Static).update(Content(f"✘ {reason}"))
        self.set_class(bool(reason), "-refused")
