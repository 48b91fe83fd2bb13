"""Text in a tone, for `Content.assemble`."""

from cleveragents_tui.wording import Tone

_VARIABLES = {
    Tone.NEEDS_YOU: "$tone-needs-you",
    Tone.RUNNING: "$tone-running",
    Tone.DONE: "$tone-done",
    Tone.FAILED: "$tone-failed",
    Tone.WAITING: "$tone-waiting",
    Tone.PLAIN: "",
}


def toned(text: str, tone: Tone, *, bold: bool = False) -> tuple[str, str]:
    """Text and how it looks; the words or the sign in it say what the tone repeats."""
    return text, f"bold {_VARIABLES[tone]}".strip() if bold else _VARIABLES[tone]
