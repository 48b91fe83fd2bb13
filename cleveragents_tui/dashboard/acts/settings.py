"""The verbs of settings."""

from typing import TYPE_CHECKING

from cleveragents_tui.dashboard import configuring
from cleveragents_tui.dashboard.configuring import THEME, Setting
from cleveragents_tui.dashboard.room import Room
from cleveragents_tui.dashboard.screens.setting_form import Choice, SettingForm, ThemeChoice
from store import config, errors

if TYPE_CHECKING:
    from cleveragents_tui.dashboard.app import Dashboard


async def edit(app: "Dashboard", setting: Setting | None) -> None:
    """Another value: a word is chosen, and so is whether a switch is on; anything else is typed."""
    if setting is None:
        return
    if setting.key.type == "bool" or setting.key.choices or setting.key.name == THEME:
        await _choose(app, setting)
    else:
        await app.push_screen_wait(SettingForm(setting))
    _show(app)


async def _choose(app: "Dashboard", setting: Setting) -> None:
    if setting.key.name == THEME:
        await _choose_theme(app, setting)
        return
    chosen = await app.push_screen_wait(Choice(setting, setting.key.choices or ("true", "false")))
    if chosen is not None:
        await configuring.write(app, setting.key, config.parse_value(setting.key, chosen))


async def _choose_theme(app: "Dashboard", setting: Setting) -> None:
    """The one that was taken is on the screen already; it does not stay when it cannot be written."""
    before = app.theme
    chosen = await app.push_screen_wait(ThemeChoice(setting, sorted(app.available_themes)))
    if chosen is None:
        return
    try:
        await configuring.write(app, setting.key, chosen)
    except errors.CleverAgentsError:
        app.theme = before
        raise


async def unset(app: "Dashboard", setting: Setting | None) -> None:
    """Back to what the next level says."""
    if setting is not None:
        await configuring.write(app, setting.key, None)
        _show(app)


def _show(app: "Dashboard") -> None:
    if isinstance(app.screen, Room):
        app.screen.keep_up([])


TABLE = {"setting.edit": edit, "setting.unset": unset}
