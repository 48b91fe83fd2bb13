"""The automation profile of a plan, each with what it means."""

from collections.abc import Mapping

from cleveragents_tui.dashboard.widgets.fields import ChoiceField
from store import config

KEY = "core.automation-profile"
PROFILES: Mapping[str, str] = {
    "manual": "every phase waits for you",
    "supervised": "Execute and Apply wait for you",
    "trusted": "runs in its sandbox, Apply waits for you",
    "full-auto": "runs and applies by itself",
}
"""What goes on without being asked."""


class ProfileField(ChoiceField):
    """One of them, or what holds without one."""

    def __init__(self, unset: str) -> None:
        super().__init__(
            "profile", config.find(KEY).choices, unset=unset, about=PROFILES, note="which moves happen by themselves"
        )
