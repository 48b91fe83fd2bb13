"""The themes of our own, dark and light. Widgets name colours by what they mean, so every built-in theme works too."""

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
        "tone-waiting": "#7d86a8",
    },
)
LIGHT = Theme(
    name="cleveragents-light",
    primary="#2e5cb8",
    secondary="#3f7d20",
    accent="#7847bd",
    warning="#8a5a00",
    error="#b3253f",
    success="#2f7d32",
    foreground="#1f2330",
    background="#f4f5fa",
    surface="#fbfbfe",
    panel="#e6e9f3",
    dark=False,
    variables={
        "block-cursor-background": "#cfdcf8",
        "block-cursor-foreground": "#101828",
        "block-cursor-text-style": "bold",
        "block-cursor-blurred-background": "#e2e8f6",
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
        "tone-needs-you": "#8a5a00",
        "tone-running": "#005f9e",
        "tone-done": "#2f7d32",
        "tone-failed": "#b3253f",
        "tone-waiting": "#666e88",
    },
)
OURS = (DARK, LIGHT)
NAMED = (DARK.name, LIGHT.name, "nord", "gruvbox", "tokyo-night", "ansi-dark")
"""Some of those that there are."""

_TONES = {
    "tone-needs-you": "text-warning",
    "tone-running": "text-primary",
    "tone-done": "text-success",
    "tone-failed": "text-error",
    "tone-waiting": "foreground-muted",
}


def tones(theme: Theme) -> dict[str, str]:
    """The colours of the tones under a theme that has none of its own for them."""
    colours = theme.to_color_system().generate()
    return {tone: colours[colour] for tone, colour in _TONES.items()}
