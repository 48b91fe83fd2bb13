"""Themes: whatever is said in a colour can be read, and the line under the cursor is seen with few colours or none."""

import asyncio
from pathlib import Path

import pytest
from rich.color import Color as TerminalColor
from rich.color import ColorSystem
from textual.app import App, ComposeResult
from textual.color import Color
from textual.theme import BUILTIN_THEMES, Theme

from cleveragents_tui.dashboard import app, themes
from cleveragents_tui.dashboard.widgets.rows import Cells, Rows

TONES = ("tone-needs-you", "tone-running", "tone-done", "tone-failed", "tone-waiting")
GROUNDS = ("background", "surface", "panel", "block-cursor-blurred-background", "block-hover-background")
OURS = pytest.mark.parametrize("theme", themes.OURS, ids=lambda theme: theme.name)


def colours(theme: Theme) -> dict[str, str]:
    """All that a theme has a name for."""
    return {**themes.tones(theme), **theme.to_color_system().generate(), **theme.variables}


@OURS
def test_text_can_be_read_on_every_ground(theme: Theme) -> None:
    """Every tone and the words of the key line, also on the line of a cursor that has not the focus."""
    named = colours(theme)
    texts = (*TONES, "foreground", "footer-key-foreground", "footer-description-foreground")
    dim = {
        f"{text} on {ground}": round(found, 2)
        for text in texts
        for ground in GROUNDS
        if (found := themes.contrast(Color.parse(named[text]), Color.parse(named[ground]))) < themes.LEGIBLE
    }
    assert not dim


@OURS
def test_the_cursor_is_seen_with_sixteen_colours(theme: Theme) -> None:
    """Its ground is another one than that of the list, and its text is readable on it."""
    ground, cursor, text = (
        TerminalColor.parse(name).downgrade(ColorSystem.STANDARD).number
        for name in (
            theme.background,
            theme.variables["block-cursor-background"],
            theme.variables["block-cursor-foreground"],
        )
        if name is not None
    )
    assert len({ground, cursor, text}) == 3


@pytest.mark.parametrize("name", [name for name, theme in BUILTIN_THEMES.items() if not theme.ansi])
def test_tones_of_other_themes_can_be_read(name: str) -> None:
    """As well as the theme's own text at least, and no two of those that mean something else are the same."""
    theme = BUILTIN_THEMES[name]
    named, made = colours(theme), themes.tones(theme)
    for ground in (Color.parse(named["background"]), Color.parse(named["surface"])):
        wanted = min(themes.LEGIBLE, themes.contrast(Color.parse(named["foreground"]), ground))
        assert all(themes.contrast(Color.parse(made[tone]), ground) >= wanted - 0.01 for tone in TONES)
    assert len({made[tone] for tone in TONES}) == len(TONES)


@pytest.mark.parametrize("name", [name for name, theme in BUILTIN_THEMES.items() if not theme.ansi])
def test_the_line_of_a_cursor_without_focus_stays_readable(name: str) -> None:
    """Themes let their first colour shine through there; a list paints its lines whole."""
    theme = BUILTIN_THEMES[name]
    shade, text = Color.parse(themes.tones(theme)["ground-blurred"]), Color.parse(colours(theme)["foreground"])
    assert shade.a == 1
    assert themes.contrast(text, shade) >= 3


class Lines(Rows):
    """Lines in one style."""

    def cells(self, row: int, width: int) -> Cells:  # noqa: ARG002  as Rows has it
        """Its number."""
        return [(f" line {row}", self.rich_style)]


class Page(App[None]):
    """A list, with the looks that the dashboard gives it."""

    CSS = Path(app.__file__).with_name("styles").joinpath("app.tcss").read_text(encoding="utf-8")

    def compose(self) -> ComposeResult:
        """The list."""
        yield Lines()

    def on_mount(self) -> None:
        """With the keyboard in it."""
        self.query_one(Lines).count = 3
        self.query_one(Lines).focus()

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """The tones."""
        return themes.tones(self.current_theme)


@pytest.mark.parametrize("colourless", [False, True], ids=["colours", "NO_COLOR"])
def test_without_colours_the_cursor_is_turned_round(*, colourless: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the line under it; where there are colours its ground says the same."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    if colourless:
        monkeypatch.setenv("NO_COLOR", "1")

    async def scene() -> None:
        page = Page()
        async with page.run_test() as pilot:
            await pilot.pause()
            rows = page.query_one(Lines)
            turned = [any(part.style and part.style.reverse for part in rows.render_line(y)) for y in range(3)]
            assert turned == [colourless, False, False]

    asyncio.run(scene())
