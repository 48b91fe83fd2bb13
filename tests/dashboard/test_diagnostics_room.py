"""The room that checks everything: what is wrong first, told whole, and put right when somebody says so."""

from tests.dashboard.dashboards import Seat, sit
from tests.homes import Home


def _names(seat: Seat) -> list[str]:
    """The checks in their order."""
    lines = [line.replace("▌", " ") for line in seat.text().splitlines()]
    return [line.split()[2] for line in lines if line.startswith("│ ") and len(line.split()) > 2]


def test_what_is_wrong_comes_first_and_is_told_whole(shared: Home) -> None:
    """A file that others may read is above everything that is well, with what to do; a repair says what was done."""
    loose, config = shared.home / "data" / "loose", shared.home / "config" / "config.toml"

    async def play(seat: Seat) -> None:
        config.touch(0o600)
        config.write_text("[nothing]\nreads = 1\n")
        loose.write_text("")
        loose.chmod(0o644)
        await seat.press("6")
        await seat.sees("modes", "wrong permissions", "2 warnings")
        assert set(_names(seat)[:2]) == {"config", "modes"}
        await seat.press(*"j" * _names(seat).index("modes"))
        await seat.sees("◆ modes ─", "→ ca diagnostics --repair")
        await seat.press("F")
        await seat.sees("◆ modes: wrong permissions")
        asked, staying = seat.dialog().split("This stays with you:")
        assert "Put right what can be?" in asked
        assert "modes" in asked
        assert "◆ config: keys that nothing reads" in staying
        await seat.press("n")
        await seat.sees("2 warnings")
        assert loose.stat().st_mode & 0o777 == 0o644

        await seat.press("F", "y")
        await seat.sees("set to 0700 and 0600", "1 warning,")
        assert loose.stat().st_mode & 0o777 == 0o600
        assert seat.app.echoed == "ca diagnostics --repair"

    try:
        sit(shared, play)
    finally:
        loose.unlink()
        config.unlink()


def test_checks_again_when_somebody_says_so(shared: Home) -> None:
    """What became wrong meanwhile is found by r, and not before; at 80 columns the list has the width of the screen."""
    loose = shared.home / "data" / "later"

    async def play(seat: Seat) -> None:
        await seat.press("6")
        await seat.sees("integrity", "0 warnings")
        above, below = (seat.app.screen.query_one(name).region for name in ("#checks", "#check"))
        assert (above.width, below.width) == (80, 80)
        assert below.y >= above.bottom
        loose.write_text("")
        loose.chmod(0o644)
        await seat.press("question_mark")
        await seat.sees("Everything that can be checked")
        await seat.press("escape", "j")
        await seat.sees("✔ integrity ─", "0 warnings")
        await seat.press("r")
        await seat.sees("1 warning", loose.name)
        assert seat.app.echoed == "ca diagnostics"

    sit(shared, play, size=(80, 24))
    loose.unlink()


def test_who_only_reads_changes_nothing(shared: Home) -> None:
    """In no room is anything offered that changes something, and its keys do nothing."""

    async def play(seat: Seat) -> None:
        for room, key, word in (("2", "P", "Prune"), ("3", "C", "Clean"), ("4", "c", "Connect"), ("6", "F", "Repair")):
            await seat.press(room)
            await seat.until(lambda room=room: seat.app.current_mode == MODES[room])
            await seat.sees("Help")
            assert word not in seat.text()
            await seat.press(key)
            assert len(seat.app.screen_stack) == 1
        await seat.sees("integrity", "0 errors")

    sit(shared, play, read_only=True)


MODES = {"2": "jobs", "3": "locks", "4": "server", "6": "diagnostics"}
