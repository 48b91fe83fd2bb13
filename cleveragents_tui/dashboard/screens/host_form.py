"""Host a team server in this home, and make a token for it: what `ca server start` and `ca server token create` take."""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, NamedTuple, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Button, Static

from cleveragents_tui import hosting, wording
from cleveragents_tui.dashboard.dialogs import Dialog
from cleveragents_tui.dashboard.here import dashboard_of
from cleveragents_tui.dashboard.screens.form import Form
from cleveragents_tui.dashboard.widgets.fields import ChoiceField, TextField, check_by
from daemon import sync_views
from daemon.team import orders
from store import errors

if TYPE_CHECKING:
    from cleveragents_tui.dashboard.app import Dashboard

V = TypeVar("V")
LAST_PORT = 65535


async def ordered(app: "Dashboard", order: orders.Order, answer: type[V]) -> V:
    """Have the host's process do something; a thread waits for it.

    Raises:
        CleverAgentsError: it was not done.
    """
    return await asyncio.to_thread(hosting.ask, app.environ, app.paths.server_log, order, answer)


class Hosted(NamedTuple):
    """What was asked for, and the server that runs now."""

    order: orders.Start
    started: orders.Started


class HostForm(Form[Hosted | None]):
    """Where the server listens."""

    HEADING: ClassVar[str] = "Host a team server in this home"
    SEND: ClassVar[str] = "Host"

    def fields(self) -> Iterable[Widget]:
        """What one is asked for; everything else is as `ca server start` has it."""
        yield TextField("host", hosting.HOST, required=True, note="0.0.0.0 lets other machines in")
        yield TextField("port", str(hosting.PORT), required=True, note="0 takes a free one", check=check_by(_port))

    async def send(self) -> Hosted:
        """Start it, and wait until it answers."""
        level = await asyncio.to_thread(self.dashboard.setting, "core.log-level")
        order = orders.Start(
            host=self.text("host"), port=_port(self.text("port")), workers=1, log_level=level, database=None,
            rate_limit=hosting.RATE,
        )  # fmt: skip
        return Hosted(order, await ordered(self.dashboard, order, orders.Started))


class NewToken(NamedTuple):
    """What was asked for, and the token that it made."""

    order: orders.TokenCreate
    token: sync_views.NewTokenView


class TokenForm(Form[NewToken | None]):
    """Whom the token is for, and what it opens."""

    HEADING: ClassVar[str] = "A token for the team server of this home"
    SEND: ClassVar[str] = "Make"

    def __init__(self, namespace: str) -> None:
        """`namespace` is the one that is meant most likely."""
        super().__init__()
        self._namespace = namespace

    def fields(self) -> Iterable[Widget]:
        """The namespace first."""
        yield TextField("namespace", self._namespace, required=True, note="the one that it opens")
        yield ChoiceField("role", ("write", "read"), "write", note="what it may do there")
        yield TextField("name", note="whose changes it marks; the token's id when empty")

    async def send(self) -> NewToken:
        """Make it."""
        order = orders.TokenCreate(
            database=None, namespace=self.text("namespace"), role=self.text("role"), name=self.text("name") or None
        )
        return NewToken(order, await ordered(self.dashboard, order, sync_views.NewTokenView))

    def blamed(self, error: errors.CleverAgentsError) -> str | None:
        """The field of a refused namespace or name."""
        return next((key for key in ("namespace", "name") if key in error.detail), None)


class TokenShown(Dialog[None]):
    """A token, this once, and what the one does who gets it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "copy", "Copy", tooltip="Copy the token to the clipboard."),
        Binding("escape,q,enter", "dismiss", "Close", tooltip="The token is not shown again."),
    ]

    def __init__(self, token: sync_views.NewTokenView, url: str) -> None:
        """`url` is where the server is reached."""
        super().__init__()
        self._token = token
        self._url = url

    def compose(self) -> ComposeResult:
        """The token and the command."""
        token = self._token
        with Vertical(classes="dialog form") as box:
            box.border_title = Content(f"Token {wording.one_line(token.name)}").markup
            yield Static(Content(f"It may {token.role} {token.namespace}, and is shown this once:\n"))
            yield Static(Content.assemble((token.token, "bold")), id="token")
            connect = f"ca server connect {self._url} --namespace {token.namespace} --token-stdin"
            yield Static(Content.assemble("\nWho gets it connects with\n", (connect, "bold")))
            with Horizontal(classes="buttons"):
                yield Button("y  Copy", id="copy", variant="primary", compact=True)
                yield Button("Close", id="dismiss", compact=True)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """What its key does."""
        event.stop()
        self.call_next(self.run_action, str(event.button.id))

    def action_copy(self) -> None:
        """Into the clipboard of the terminal."""
        app = dashboard_of(self)
        app.copy_to_clipboard(self._token.token)
        app.notify(f"the token {wording.one_line(self._token.name)} is in the clipboard", markup=False)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text[:6]) <= LAST_PORT):
        raise ValueError(f"must be a whole number from 0 to {LAST_PORT}")
    return int(text)
