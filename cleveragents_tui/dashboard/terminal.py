"""What Textual has no API for: the terminal's title, and noticing that the terminal is gone."""

from typing import TYPE_CHECKING, Any

from cleveragents_tui import wording

if TYPE_CHECKING:
    from textual.app import App


def keep_title(app: "App[Any]") -> None:
    """Have the terminal remember the title that its window has."""
    _write(app, "\x1b[22;2t")


def restore_title(app: "App[Any]") -> None:
    """Give the window its title back; an empty one where the terminal remembers none."""
    _write(app, "\x1b]2;\x07\x1b[23;2t")


def set_title(app: "App[Any]", title: str) -> None:
    """Set the title of the terminal's window (OSC 2)."""
    _write(app, f"\x1b]2;{wording.one_line(title)}\x07")


def _write(app: "App[Any]", sequence: str) -> None:
    driver = app._driver  # pyright: ignore[reportPrivateUsage]  # noqa: SLF001  what else is written would tear its sequences
    if driver is not None and not app.is_headless:
        driver.write(sequence)
