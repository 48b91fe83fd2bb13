"""Settings: every key, its value, and where it comes from."""

import asyncio
from collections.abc import Iterable
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Static

from cleveragents_tui import verbs, wording
from cleveragents_tui.dashboard import configuring
from cleveragents_tui.dashboard.configuring import Setting, Settings
from cleveragents_tui.dashboard.room import Room, bindings
from cleveragents_tui.dashboard.widgets.rows import Rows
from cleveragents_tui.dashboard.widgets.setting_rows import SettingRows
from cleveragents_tui.dashboard.widgets.toned import toned
from cleveragents_tui.wording import Tone
from daemon import views
from store import config, errors
from store.config import Level

_LABELS = 13
"""Columns of the names of what is known of a key."""


class SettingsRoom(Room):
    """Every key of the configuration, grouped by its first word, with what is known of the one under the cursor."""

    TITLE = "Settings"
    HELP = (
        "Every key of the configuration with its value and the level that it comes from: the environment, a project,\n"
        "the file (global) or the default; the first that has a value wins. Bold ones are not at their default.\n"
        "A value is checked before it is written; what the environment sets holds over what is written here.\n"
        "For one project alone: ca config set KEY VALUE --project P"
    )
    AREAS = ("setting",)
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings(*AREAS),
        Binding("slash", "filter", "Filter", tooltip="Only the keys that have these words."),
        Binding("escape", "unfilter", "All", show=False, tooltip="Every key again."),
    ]
    DEFAULT_CSS = """
    SettingsRoom {
        .settings { height: 1fr; layout: horizontal; }
        .keys { width: 1fr; height: 1fr; }
        .about { width: 44; height: 1fr; }
        #about { padding: 0 1; }
        &.-narrow .settings { layout: vertical; }
        &.-narrow .about { width: 1fr; height: 9; }
        .unknown { height: auto; max-height: 4; padding: 0 1; color: $tone-needs-you; display: none; }
        .broken { padding: 1 2; color: $tone-failed; display: none; }
        .keys > Input { display: none; background: $panel; padding: 0 1; }
        .keys.-filtering > Input { display: block; }
        .keys.-broken { Rows { display: none; } .broken { display: block; } }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._settings = Settings([], [])

    def body(self) -> Iterable[Widget]:
        """The list, and beside it the key under the cursor."""
        with Container(classes="settings"):
            with Vertical(classes="keys pane") as keys:
                keys.border_title = "Settings"
                yield SettingRows()
                yield Static("", classes="broken")
                yield Static("", classes="unknown")
                yield Input(placeholder="words of a key, its value or its description", compact=True)
            with VerticalScroll(classes="about pane", can_focus=False):
                yield Static("", id="about")

    def on_mount(self) -> None:
        """The list has the keys at once."""
        self.query_one(SettingRows).focus()

    async def refill(self, happened: list[views.EventView]) -> None:
        """Read the file, when the room was entered or has written it; nothing that happens to plans changes it."""
        if happened:
            return
        try:
            found = await asyncio.to_thread(configuring.read, self.dashboard.paths.config_file, self.dashboard.environ)
        except errors.CleverAgentsError as error:
            self._show_broken(error)
            return
        self._settings = found
        self.query_one(".keys").remove_class("-broken")
        self._show()

    def _show_broken(self, error: errors.CleverAgentsError) -> None:
        self._settings = Settings([], [])
        self._show()
        told = "\n".join([f"✘ {wording.plain(error.message)}", *(f"→ {one}" for one in error.suggestions)])
        self.query_one(".broken", Static).update(Content(told))
        self.query_one(".keys").add_class("-broken")

    def _show(self) -> None:
        words = self.query_one(Input).value.lower().split()
        fitting = [one for one in self._settings.settings if all(word in _text(one) for word in words)]
        self.query_one(SettingRows).show(fitting)
        changed = sum(one.level != "default" for one in self._settings.settings)
        self.query_one(".keys").border_subtitle = (
            f"{len(fitting)} of {len(self._settings.settings)}" if words else f"{changed} not at their default"
        )
        unknown = self.query_one(".unknown", Static)
        unknown.display = bool(self._settings.unknown)
        unknown.update(Content("\n".join(f"◆ {name} is a key that nothing reads" for name in self._settings.unknown)))

    def subject(self, area: str) -> Any:
        """The key under the cursor."""
        return self.query_one(SettingRows).setting if area == "setting" else None

    def on_rows_moved(self, event: Rows.Moved) -> None:
        """Another key is told of."""
        event.stop()
        setting = self.query_one(SettingRows).setting
        self.query_one("#about", Static).update(about(setting) if setting is not None else "")
        self.refresh_bindings()

    def on_rows_opened(self, event: Rows.Opened) -> None:
        """Enter edits."""
        event.stop()
        if self.dashboard.offers(verbs.VERBS["setting.edit"]):
            self.dashboard.action_verb("setting.edit")

    def action_filter(self) -> None:
        """Type what to look for."""
        self.query_one(".keys").add_class("-filtering")
        self.query_one(Input).focus()

    def action_unfilter(self) -> None:
        """Everything again."""
        self.query_one(Input).value = ""
        self.query_one(".keys").remove_class("-filtering")
        self.query_one(SettingRows).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """The list follows what is typed."""
        event.stop()
        self._show()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Back to what was found."""
        event.stop()
        self.query_one(SettingRows).focus()


def _text(setting: Setting) -> str:
    return f"{setting.key.name} {setting.shown} {setting.level} {setting.key.description}".lower()


def about(setting: Setting) -> Content:
    """What is known of a key: what it is for, what it may be, and what each level says."""
    key = setting.key
    lines = [
        Content.assemble((key.name, "bold")),
        Content.assemble(toned(key.env, Tone.WAITING)),
        Content(key.description),
    ]
    if setting.error:
        lines += [Content.assemble((f"✘ {wording.plain(setting.error)}", "$tone-failed"))]
    if setting.overridden:
        lines += [Content.assemble((f"◆ {key.env} in the environment overrides the file", "$tone-needs-you"))]
    lines += [_pair("must be", key.allowed), *_levels(setting)]
    return Content("\n").join(lines)


def _levels(setting: Setting) -> Iterable[Content]:
    """What every level says; the one that wins is marked."""
    key = setting.key
    chain = {} if setting.found is None else dict(setting.found.chain)
    for level in (Level.ENVIRONMENT, Level.GLOBAL, Level.DEFAULT):
        value = chain.get(level, key.default if level is Level.DEFAULT else None)
        mark = "→ " if setting.found is not None and setting.found.level is level else "  "
        yield _pair(level, f"{mark}{wording.one_line(config.show(key, value)) or 'unset'}")
    for project, shown in setting.projects:
        yield _pair(f"for {wording.short_name(project)} ", f"  {shown}")


def _pair(label: str, text: str) -> Content:
    return Content.assemble(toned(f"{label:<{_LABELS}}", Tone.WAITING), text)
