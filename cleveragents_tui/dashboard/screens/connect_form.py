"""Connect to a team server: what `ca server connect` asks for."""

from collections.abc import Iterable
from typing import ClassVar, NamedTuple

from textual.widget import Widget
from textual.widgets import Input

from cleveragents_tui.dashboard.screens.form import Form
from cleveragents_tui.dashboard.widgets.fields import ChoiceField, TextField
from daemon import protocol, sync_views
from store import errors

CHECKED, UNCHECKED = "has to be trusted", "is not checked"
NOW, OFFLINE = "ask it now", "only write the configuration"


class SecretField(TextField):
    """A line that nobody reads over a shoulder."""

    def control(self) -> Iterable[Widget]:
        """A line to type in; its text is not shown."""
        yield Input(password=True, compact=True)


class Connected(NamedTuple):
    """What was asked for, and how the connection stands now."""

    request: protocol.ServerConnect
    view: sync_views.ServerView


class ConnectForm(Form[Connected | None]):
    """The address, what is shared, and what the server knows us by."""

    HEADING: ClassVar[str] = "Connect to a team server"
    SEND: ClassVar[str] = "Connect"

    def __init__(self, url: str = "") -> None:
        """`url` is the server that is meant most likely; empty when none is."""
        super().__init__()
        self._url = url

    def fields(self) -> Iterable[Widget]:
        """What is left empty keeps the value that it has."""
        yield TextField("url", self._url, required=True, placeholder="https://team.example.org")
        yield TextField("namespace", note="what you name NAMESPACE/… is shared; empty: the one that is set")
        yield SecretField("token", note="what the server knows you by; empty: the one that is set", check=_check_token)
        yield ChoiceField("certificate", [CHECKED, UNCHECKED], note="of the server, with https", unset="as it is set")
        yield ChoiceField("when", [NOW, OFFLINE], NOW, note="on any failure nothing is changed")

    async def send(self) -> Connected:
        """Check the server, remember it, sync."""
        request = self._request()
        return Connected(request, await self.dashboard.link.call(request, timeout=None))

    def _request(self) -> protocol.ServerConnect:
        certificate = self.text("certificate")
        return protocol.ServerConnect(
            url=self.text("url"),
            namespace=self.text("namespace") or None,
            token=self.text("token") or None,
            tls_verify=certificate == CHECKED if certificate else None,
            offline=self.text("when") == OFFLINE,
        )

    def blamed(self, error: errors.CleverAgentsError) -> str | None:
        """Whichever field would have to say something else."""
        known = {"unauthorized": "token", "forbidden": "token", "unreachable": "url", "tls": "certificate"}
        return known.get(error.code, "url" if "url" in error.detail else None)


def _check_token(text: str) -> str:
    """What it is instead is not repeated: it may be half of a token."""
    return "" if text.isascii() and text.isprintable() else "this cannot be a token"
