"""The themes of our own, dark and light. Widgets name colours by what they mean, so every built-in theme works too."""

from collections.abc import Sequence

from textual.color import Color
from textual.theme import Theme

DARK = Theme(
    name="cleveragents",
    primary="#7aa2f7",
    secondary="#9ece6a",
    accent="#bb9af7",
    warning="#e0af68",
    error="#f7768e",
    success="#9ece6a",
    foreground="#c8d0e8",
    background="#14161f",
    surface="#191c27",
    panel="#232738",
    dark=True,
    variables={
        "block-cursor-background": "#2f3b5e",
        "block-cursor-foreground": "#eef2ff",
        "block-cursor-text-style": "bold",
        "block-cursor-blurred-background": "#232a40",
        "block-hover-background": "#1f2433",
        "border": "#7aa2f7",
        "border-blurred": "#343a52",
        "footer-background": "#191c27",
        "footer-key-foreground": "#7aa2f7",
        "footer-description-foreground": "#8d95b3",
        "input-selection-background": "#33467c",
        "scrollbar": "#343a52",
        "scrollbar-hover": "#4a5274",
        "scrollbar-active": "#7aa2f7",
        "scrollbar-background": "#191c27",
        "tone-needs-you": "#e0af68",
        "tone-running": "#7dcfff",
        "tone-done": "#9ece6a",
        "tone-failed": "#f7768e",
        "tone-waiting": "#8890b4",
    },
)
LIGHT = Theme(
    name="cleveragents-light",
    primary="#2e5cb8",
    secondary="#3a7420",
    accent="#7847bd",
    warning="#825500",
    error="#b3253f",
    success="#276e2a",
    foreground="#1f2330",
    background="#f4f5fa",
    surface="#fbfbfe",
    panel="#e6e9f3",
    dark=False,
    variables={
        "block-cursor-background": "#bccdf4",
        "block-cursor-foreground": "#101828",
        "block-cursor-text-style": "bold",
        "block-cursor-blurred-background": "#d8e0f0",
        "block-hover-background": "#eceff8",
        "border": "#2e5cb8",
        "border-blurred": "#c3c9dc",
        "footer-background": "#e6e9f3",
        "footer-key-foreground": "#2e5cb8",
        "footer-description-foreground": "#4d556f",
        "scrollbar": "#c3c9dc",
        "scrollbar-hover": "#a5aec9",
        "scrollbar-active": "#2e5cb8",
        "scrollbar-background": "#eef0f7",
        "tone-needs-you": "#825500",
        "tone-running": "#005f9e",
        "tone-done": "#276e2a",
        "tone-failed": "#b3253f",
        "tone-waiting": "#575f79",
    },
)
OURS = (DARK, LIGHT)
NAMED = (DARK.name, LIGHT.name, "nord", "gruvbox", "tokyo-night", "ansi-dark")
"""Some of those that there are."""

LEGIBLE = 4.5
"""The contrast that text needs (WCAG 2.1, level AA)."""

_TONES = {
    "tone-needs-you": "text-warning",
    "tone-running": "text-primary",
    "tone-done": "text-success",
    "tone-failed": "text-error",
    "tone-waiting": "foreground-muted",
}
_GROUNDS = ("background", "surface")
"""What almost all text stands on; on a panel that is half-way to the text no tone could keep its hue."""
_STEPS = 10
"""From a tone to the colour of text."""


_SHADES = {"ground-blurred": "block-cursor-blurred-background", "ground-hover": "block-hover-background"}
"""Grounds that a theme may give as something that shines through."""


def tones(theme: Theme) -> dict[str, str]:
    """The colours of the tones under a theme that has none of its own for them; they can be read wherever text stands."""
    colours = {**theme.to_color_system().generate(), **theme.variables}
    if theme.ansi:
        return {name: colours[colour] for name, colour in (_TONES | _SHADES).items()}  # the terminal's own
    grounds = [Color.parse(colours[ground]) for ground in _GROUNDS]
    text = Color.parse(colours["foreground"])
    shades = {shade: (grounds[0] + Color.parse(colours[colour])).hex for shade, colour in _SHADES.items()}
    return {tone: _legible(Color.parse(colours[colour]), text, grounds).hex for tone, colour in _TONES.items()} | shades


def contrast(one: Color, other: Color) -> float:
    """How far two colours are apart in lightness, from 1 to 21."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _legible(tone: Color, text: Color, grounds: Sequence[Color]) -> Color:
    """As much of a tone as can be read on every ground; at worst, what the theme itself takes for text."""
    tone = grounds[0] + tone
    mixed = (tone.blend(text, step / _STEPS) for step in range(_STEPS))
    return next((one for one in mixed if all(contrast(one, ground) >= LEGIBLE for ground in grounds)), text)


def _luminance(colour: Color) -> float:
    """Relative luminance as WCAG defines it."""
    parts = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in colour.normalized)
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True))
