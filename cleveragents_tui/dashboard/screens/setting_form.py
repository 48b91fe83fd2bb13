"""Give a setting another value: chosen from a list, or typed and checked while one types."""

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from cleveragents_tui.dashboard import configuring
from cleveragents_tui.dashboard.configuring import Setting
from cleveragents_tui.dashboard.dialogs import Dialog
from cleveragents_tui.dashboard.here import dashboard_of, moving
from cleveragents_tui.dashboard.screens.form import Form
from cleveragents_tui.dashboard.screens.settings import about
from cleveragents_tui.dashboard.widgets.fields import Field, TextField, check_by, described
from cleveragents_tui.dashboard.widgets.profile_field import KEY, PROFILES
from store import config, errors


class SettingForm(Form[bool]):
    """A value that is typed; it is written by the form, so that what was typed stays when it cannot be."""

    HEADING = "Setting"
    SEND = "Set"
    KEYS = "enter sets it · esc leaves"

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self._setting = setting

    def fields(self) -> Iterable[Widget]:
        """What is known of the key, and its value."""
        key = self._setting.key
        yield Static(about(self._setting), classes="intro")
        shown = "" if key.secret else self._setting.shown
        yield TextField("value", shown, required=True, check=check_by(lambda text: config.parse_value(key, text)))

    def on_mount(self) -> None:
        """A secret is not shown while it is typed; another value replaces the old one."""
        found = self.query_one(Input)
        found.password = self._setting.key.secret
        found.focus()
        found.action_select_all()

    def on_field_entered(self, event: Field.Entered) -> None:
        """There is only one field: enter sets it."""
        event.stop()
        self.action_send()

    async def send(self) -> bool:
        """Write it."""
        key = self._setting.key
        await configuring.write(self.dashboard, key, config.parse_value(key, self.text("value")))
        return True

    def blamed(self, error: errors.CleverAgentsError) -> str | None:
        """The value, when it is to blame."""
        return "value" if "key" in error.detail else None


class Choice(Dialog[str | None]):
    """A value out of a few; the result is the one that was taken."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "leave", "Leave", tooltip="It stays as it is."),
        moving("j", "move('down')", "Down", "The one below."),
        moving("k", "move('up')", "Up", "The one above."),
    ]
    DEFAULT_CSS = """
    Choice {
        .form { border-subtitle-color: $tone-waiting; }
        OptionList { height: auto; max-height: 34vh; border: none; margin-top: 1; background: $surface; }
    }
    """

    def __init__(self, setting: Setting, choices: Sequence[str]) -> None:
        super().__init__()
        self._setting = setting
        self._choices = choices

    def compose(self) -> ComposeResult:
        """What is known of the key, and the values."""
        with Vertical(classes="dialog form") as box:
            box.border_title = "Setting"
            box.border_subtitle = "enter takes it · esc leaves"
            yield Static(about(self._setting))
            yield OptionList(*(Option(described(one, self._told(one)), id=one) for one in self._choices), compact=True)

    def _told(self, choice: str) -> str:
        """What is to be known of a choice."""
        return PROFILES[choice] if self._setting.key.name == KEY else ""

    def on_mount(self) -> None:
        """The cursor is on what holds now."""
        found = self.query_one(OptionList)
        found.focus()
        now = self._setting.shown
        found.highlighted = self._choices.index(now) if now in self._choices else 0

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """That one."""
        event.stop()
        self.dismiss(event.option.id)

    def action_move(self, way: str) -> None:
        """As everywhere."""
        found = self.query_one(OptionList)
        if way == "down":
            found.action_cursor_down()
        else:
            found.action_cursor_up()

    def action_leave(self) -> None:
        """None of them."""
        self.dismiss(None)


class ThemeChoice(Choice):
    """The themes; the dashboard looks like the one under the cursor until one is taken."""

    def on_mount(self) -> None:
        """What it looked like before is remembered."""
        self._before = dashboard_of(self).theme
        super().on_mount()

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Look like it."""
        event.stop()
        if event.option.id is not None:
            dashboard_of(self).theme = event.option.id

    def action_leave(self) -> None:
        """As before."""
        dashboard_of(self).theme = self._before
        super().action_leave()
