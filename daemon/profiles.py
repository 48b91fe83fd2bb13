"""Automation profiles: which moves of a plan happen by themselves."""

from collections.abc import Mapping

import msgspec

from store import errors, names


class Profile(msgspec.Struct, frozen=True):
    """What goes on without being asked."""

    strategizes: bool
    executes: bool
    applies: bool


PROFILES: Mapping[str, Profile] = {
    "manual": Profile(strategizes=False, executes=False, applies=False),
    "supervised": Profile(strategizes=True, executes=False, applies=False),
    "trusted": Profile(strategizes=True, executes=True, applies=False),
    "full-auto": Profile(strategizes=True, executes=True, applies=True),
}
"""The most careful one first."""


def check(name: str) -> str:
    """`name`, if there is such a profile.

    Raises:
        InvalidArgumentError: there is none; the nearest is named.
    """
    if name in PROFILES:
        return name
    near = names.nearest(name, PROFILES)
    raise errors.InvalidArgumentError(
        f"there is no automation profile {name!r}; there are {', '.join(PROFILES)}"
        + (f". Did you mean {near}?" if near else ""),
        detail={"profile": name, "profiles": list(PROFILES)},
    )
