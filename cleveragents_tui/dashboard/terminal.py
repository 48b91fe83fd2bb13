"""What Textual has no API for: the terminal's title, and noticing that the terminal is gone."""

from typing import TYPE_CHECKING, Any

from cleveragents_tui import wording

if TYPE_CHECKING:
    from textual.app import App


def set_title(app: "App[Any]", title: str) -> None:
    """Set the title of the terminal's window (OSC 2)."""
    driver = app._driver  # pyright: ignore[reportPrivateUsage]  # noqa: SLF001  what else is written would tear its sequences
    if driver is not None and not app.is_headless:
        driver.write(f"\x1b]2;{wording.one_line(title)}\x07")
