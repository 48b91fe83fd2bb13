"""Every screen of the dashboard, in each state that it can be in: compared with how it looked when somebody looked at it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from snapshots import scenes_dialogs, scenes_plans, scenes_rooms, scenes_states, surroundings
from snapshots.tours import COMPACT, LARGE, USUAL, Shot, Tour, shots
from snapshots.worlds import everyday
from tests.dashboard.world import World

CONFIG = """\
[tui]
theme = "cleveragents"

[async]
max_workers = 6

[server]
url = "https://team.example.org"
token = "a secret that nobody sees"

[projects."local/web"]
apply = { mode = "commit" }
"""


def full(home: Path) -> World:
    """A usual morning, with all that rooms and dialogs ask for."""
    config = home / "config"
    config.mkdir(exist_ok=True)
    (config / "config.toml").write_text(CONFIG)
    world = everyday(home)
    fix_types, *_ = world.needs_you
    world.previews = {fix_types.plan_id: surroundings.preview(fix_types)}
    world.actions = surroundings.actions()
    world.locks = surroundings.locks(world.running[0])
    world.checks = surroundings.checks()
    found = surroundings.conflicts()
    world.conflicts = {found.plan_id: found}
    return world


def nothing(_home: Path) -> World:
    """A home in which nobody did anything yet."""
    return World()


SCREENS = (*scenes_plans.SCENES, *scenes_dialogs.SCENES, *scenes_rooms.SCENES)
SHOTS = shots(
    *(Tour("", size, full, SCREENS) for size in (COMPACT, USUAL, LARGE)),
    *(Tour("empty", size, nothing, scenes_states.NOTHING) for size in (COMPACT, USUAL)),
    *(Tour("refused", size, full, scenes_states.REFUSED) for size in (COMPACT, USUAL)),
    *(Tour("gone", size, full, scenes_states.GONE) for size in (COMPACT, USUAL)),
    *(
        Tour("read-only", size, full, scenes_states.READ_ONLY, settings={"read_only": True})
        for size in (COMPACT, USUAL)
    ),
    Tour("themed", USUAL, full, scenes_states.THEMED),
    Tour("colourless", COMPACT, full, scenes_states.COLOURLESS, colours=False),
)


@pytest.mark.timeout(600)  # the first picture of a tour takes as long as all of it
@pytest.mark.parametrize("shot", SHOTS, ids=lambda shot: shot.name)
def test_picture(compare: Callable[[Shot], bool], shot: Shot) -> None:
    """A screen looks as it did."""
    assert compare(shot), f"{shot.name} should show: {shot.scene.says}"
