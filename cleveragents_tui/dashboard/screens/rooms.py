"""The rooms by name: each is made when it is first entered."""

from collections.abc import Callable
from typing import Any

from textual.screen import Screen

from cleveragents_tui.dashboard.screens.diagnostics import DiagnosticsRoom
from cleveragents_tui.dashboard.screens.jobs import JobsRoom
from cleveragents_tui.dashboard.screens.locks import LocksRoom
from cleveragents_tui.dashboard.screens.plans import PlansRoom
from cleveragents_tui.dashboard.screens.server import ServerRoom
from cleveragents_tui.dashboard.screens.settings import SettingsRoom

ROOMS: dict[str, Callable[[], Screen[Any]]] = {
    "plans": PlansRoom,
    "jobs": JobsRoom,
    "locks": LocksRoom,
    "server": ServerRoom,
    "settings": SettingsRoom,
    "diagnostics": DiagnosticsRoom,
}
