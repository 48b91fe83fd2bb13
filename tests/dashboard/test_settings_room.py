"""The settings room: every key, edited in place and checked before it is written."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.widgets import Input

from cleveragents_tui.dashboard.screens.form import Form
from cleveragents_tui.dashboard.screens.settings import SettingsRoom
from cleveragents_tui.dashboard.widgets.profile_field import PROFILES
from cleveragents_tui.dashboard.widgets.setting_rows import SettingRows
from store import config
from tests.dashboard.dashboards import Seat, sit
from tests.homes import Home

TALL = (160, 60)


@pytest.fixture(scope="module")
def desk() -> Iterator[Home]:
    """A home whose configuration these tests change, each its own keys."""
    with Home() as made:
        yield made


def file_of(home: Home) -> Path:
    """The configuration file."""
    return home.home / "config" / "config.toml"


def written(home: Home) -> str:
    """What the configuration file has; nothing when there is none."""
    file = file_of(home)
    return file.read_text() if file.exists() else ""


async def enter(seat: Seat) -> None:
    """Go to the room, and wait until it has read the file."""
    await seat.press("5")
    await seat.until(lambda: isinstance(seat.app.screen, SettingsRoom) and rows(seat).count > 0)


def rows(seat: Seat) -> SettingRows:
    """The list of the room, whatever is over it."""
    return next(screen for screen in seat.app.screen_stack if isinstance(screen, SettingsRoom)).query_one(SettingRows)


async def point_at(seat: Seat, key: str) -> None:
    """Move the cursor to a key."""
    found = rows(seat)
    found.cursor = next(row for row in range(found.count) if found.cells(row, 200)[0][0].strip() == key)
    assert found.setting is not None
    await seat.sees(found.setting.key.env)


async def edit(seat: Seat, key: str) -> None:
    """Press enter on a key."""
    await enter(seat)
    await point_at(seat, key)
    await seat.press("enter")


def lines(seat: Seat) -> list[str]:
    """The lines on the screen."""
    return seat.text().splitlines()


async def shows(seat: Seat, key: str, value: str, level: str) -> None:
    """Wait until the line of a key has this value and level."""
    await seat.until(lambda: any(line.split()[1:4] == [key, value, level] for line in lines(seat)))


def test_every_key_has_its_value_and_level(desk: Home) -> None:
    """The list is that of `ca config list`, with what a project has of its own; typing after `/` narrows it."""
    desk.set("sandbox.cleanup", "manual", project="web")
    file_of(desk).write_text(f"{written(desk)}\n[nothing]\nreads = 1\n")

    async def play(seat: Seat) -> None:
        await enter(seat)
        for key in desk.data("config", "list")["keys"]:
            value = config.show(key["key"], key["value"]) or "unset"
            assert any(
                line.split()[1:2] == [key["key"]] and f" {value} " in line and key["level"] in line
                for line in lines(seat)
            ), key["key"]
        await seat.sees("nothing.reads is a key that nothing reads")
        await point_at(seat, "sandbox.cleanup")
        await seat.sees("When a sandbox is removed.")
        await seat.until(lambda: "for web manual" in " ".join(seat.text().split()))

        await seat.press("slash", *"deep")
        await seat.until(lambda: rows(seat).count == 2)
        await seat.sees("plan.max-child-depth", "1 of 30")
        await seat.press("enter", "escape")
        await seat.until(lambda: rows(seat).count > len(config.KEYS))

    sit(desk, play, size=TALL)


def test_choice_switch_and_unset_are_written_at_once(desk: Home) -> None:
    """A choice is taken from a list, and so is a switch; unset brings the default back; each choice says what it means."""

    async def play(seat: Seat) -> None:
        await edit(seat, "core.format")
        await seat.sees("enter takes it")
        await seat.press("down", "j", "enter")
        await shows(seat, "core.format", "plain", "global")
        assert seat.app.echoed == "ca config set core.format plain"
        assert desk.data("config", "get", "core.format")["value"] == "plain"

        await seat.press("D")
        await shows(seat, "core.format", "auto", "default")
        assert seat.app.echoed == "ca config unset core.format"

        await edit(seat, "async.enabled")
        await seat.sees("enter takes it")
        await seat.press("down", "enter")
        await shows(seat, "async.enabled", "false", "global")
        assert desk.data("config", "get", "async.enabled")["value"] is False
        assert seat.app.echoed == "ca config set async.enabled false"
        await seat.press("e")
        await seat.sees("enter takes it")
        await seat.press("escape")
        await shows(seat, "async.enabled", "false", "global")

        await edit(seat, "core.automation-profile")
        await seat.sees(*(f"{name}  {told}" for name, told in PROFILES.items()))
        await seat.press("escape")

    sit(desk, play)


def test_typed_value_is_checked_in_the_words_of_the_command(desk: Home) -> None:
    """A value that does not fit is refused and never written; one that fits is; a secret is never shown."""

    async def play(seat: Seat) -> None:
        before = written(desk)
        await edit(seat, "async.max_workers")
        await seat.until(lambda: isinstance(seat.app.screen, Form) and isinstance(seat.app.focused, Input))
        await seat.press("9", "0", "enter")
        said = desk.error("config", "set", "async.max_workers", "90", code=2)["message"]
        await seat.until(lambda: said in seat.dialog())
        assert seat.app.screen.query_one(Input).value == "90"
        assert written(desk) == before

        await seat.press("backspace", "enter")
        await shows(seat, "async.max_workers", "9", "global")
        assert seat.app.echoed == "ca config set async.max_workers 9"

        await edit(seat, "server.token")
        await seat.until(lambda: isinstance(seat.app.screen, Form) and isinstance(seat.app.focused, Input))
        await seat.press(*"sekret")
        assert "sekret" not in seat.text()
        await seat.press("enter")
        await shows(seat, "server.token", config.MASK, "global")
        assert "sekret" not in seat.text() + seat.app.echoed
        await seat.press("D")
        await shows(seat, "server.token", "unset", "default")

    sit(desk, play)
    assert "sekret" not in written(desk)


def test_environment_that_overrides_says_so(desk: Home) -> None:
    """What the environment sets holds; what is written is told to have no effect."""
    desk.environ["CLEVERAGENTS_LOCK_TTL"] = "60"

    async def play(seat: Seat) -> None:
        await enter(seat)
        await shows(seat, "lock.ttl", "60", "environment")
        await point_at(seat, "lock.ttl")
        await seat.sees("◆ CLEVERAGENTS_LOCK_TTL in the")
        await seat.press("enter")
        await seat.until(lambda: isinstance(seat.app.screen, Form))
        await seat.press("7", "7", "enter")
        await seat.sees("▌ CLEVERAGENTS_LOCK_TTL in the environment")
        await shows(seat, "lock.ttl", "60", "environment")

    try:
        sit(desk, play)
    finally:
        del desk.environ["CLEVERAGENTS_LOCK_TTL"]
    assert desk.data("config", "get", "lock.ttl")["value"] == 77


def test_theme_is_seen_before_it_is_taken(desk: Home) -> None:
    """The dashboard looks like the theme under the cursor; escape takes that back, enter writes it."""

    async def play(seat: Seat) -> None:
        await edit(seat, "tui.theme")
        await seat.sees("enter takes it")
        await seat.press("down")
        await seat.until(lambda: seat.app.theme == "cleveragents-light")
        await seat.press("escape")
        await seat.until(lambda: seat.app.theme == "cleveragents")
        assert "theme" not in written(desk)

        await seat.press("enter")
        await seat.sees("enter takes it")
        await seat.press("down", "enter")
        await shows(seat, "tui.theme", "cleveragents-light", "global")
        assert seat.app.theme == "cleveragents-light"

    sit(desk, play)
    assert desk.data("config", "get", "tui.theme")["value"] == "cleveragents-light"


def test_broken_file_is_told_and_left_alone(home: Home) -> None:
    """A file that does not parse shows where it is wrong instead of a list, until it is put right."""
    home.set("plan.concurrency", "9")

    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.press("1")
        file_of(home).write_text("[plan]\nconcurrency = \n")
        await seat.press("5")
        await seat.sees("line 2, column", "valid TOML")
        assert rows(seat).count == 0
        await seat.press("enter", "D", "1")
        assert written(home) == "[plan]\nconcurrency = \n"

        file_of(home).write_text("[plan]\nconcurrency = 8\n")
        await seat.press("5")
        await shows(seat, "plan.concurrency", "8", "global")

        await seat.press("1")
        file_of(home).write_text("[plan]\nconcurrency = 99\n")
        await seat.press("5")
        await seat.until(lambda: any(line.split()[1:3] == ["plan.concurrency", "invalid"] for line in lines(seat)))
        await point_at(seat, "plan.concurrency")
        await seat.sees("1 to 64, not 99")

    sit(home, play)


def test_reader_changes_nothing(desk: Home) -> None:
    """With --read-only neither enter nor D does anything."""
    before = written(desk)

    async def play(seat: Seat) -> None:
        await edit(seat, "async.enabled")
        await seat.press("D", "e")
        assert isinstance(seat.app.screen, SettingsRoom)
        assert seat.app.echoed == "ca config list"

    sit(desk, play, read_only=True)
    assert written(desk) == before
