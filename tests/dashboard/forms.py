"""Forms, as the tests of the dashboard fill them in."""

from textual.events import Paste
from textual.widgets import Input

from cleveragents_tui.dashboard.screens.form import Form
from cleveragents_tui.dashboard.widgets.fields import Field
from tests.dashboard.dashboards import Seat


def form(seat: Seat) -> Form[object]:
    """The form in view."""
    assert isinstance(seat.app.screen, Form)
    return seat.app.screen


def line(seat: Seat, key: str) -> Input:
    """The line of a field."""
    return field(seat, key).query_one(Input)


def field(seat: Seat, key: str) -> Field:
    """A field of the form in view."""
    found = form(seat).field(key)
    assert found is not None, key
    return found


def refused(seat: Seat) -> dict[str, str]:
    """What the form says beside its fields."""
    found = [one for one in form(seat).query(Field) if one.has_class("-refused")]
    return {one.key: str(one.query_one(".refusal").render()) for one in found}


async def type_into(seat: Seat, key: str, text: str) -> None:
    """Paste a text in place of what a field holds."""
    found = line(seat, key)
    found.focus()
    await seat.until(lambda: found.has_focus)
    found.action_select_all()
    if text:
        found.post_message(Paste(text))
    else:
        await seat.press("delete")
    await seat.until(lambda: found.value == text)
