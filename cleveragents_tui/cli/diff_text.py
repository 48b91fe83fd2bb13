"""A plan's change as people read it: the patch, the sizes, the names."""

import base64
from collections.abc import Iterable

from cleveragents_tui import wording
from cleveragents_tui.cli.session import Session
from cleveragents_tui.cli.tables import Cell, Column, table
from cleveragents_tui.output import Look
from cleveragents_tui.wording import Tone
from daemon import views

BAR = 30
"""Columns of the longest bar of `--stat`."""
_MARKS = {
    "added": ("A", Tone.DONE),
    "deleted": ("D", Tone.FAILED),
    "renamed": ("R", Tone.RUNNING),
    "modified": ("M", Tone.NEEDS_YOU),
}


def file_names(diff: views.PlanDiffView, _look: Look) -> Iterable[str]:
    """A name a line."""
    return (wording.file_name(file.path) for file in diff.files)


def stat(diff: views.PlanDiffView, look: Look) -> Iterable[str]:
    """How much changed in each file, as `git diff --stat` shows it."""
    if not diff.files:
        yield from no_patch(diff, look)
        return
    most = max((file.insertions or 0) + (file.deletions or 0) for file in diff.files)
    layout = (Column(), Column(minimum=16), Column(right=True), Column(), Column(drop=1))
    yield from table(look, layout, [_stat_row(file, most) for file in diff.files], heading=False)
    insertions = sum(file.insertions or 0 for file in diff.files)
    deletions = sum(file.deletions or 0 for file in diff.files)
    yield f"{wording.change(len(diff.files), insertions, deletions)}  {look.dim(f'digest {wording.short_digest(diff.digest)}')}"


def _stat_row(file: views.FileView, most: int) -> list[Cell | str]:
    mark, tone = _MARKS.get(file.status, ("?", Tone.PLAIN))
    name = " → ".join(wording.file_name(path) for path in (file.old_path, file.path) if path is not None)
    if file.binary or file.insertions is None or file.deletions is None:
        return [Cell(mark, tone), name, "", Cell("binary", Tone.WAITING), ""]
    scale = min(1.0, BAR / max(1, most))
    plus, minus = (round(number * scale) or (1 if number else 0) for number in (file.insertions, file.deletions))
    return [
        Cell(mark, tone),
        name,
        wording.signed(file.insertions, file.deletions),
        Cell("+" * plus, Tone.DONE),
        Cell("-" * minus, Tone.FAILED),
    ]


def no_patch(_diff: views.PlanDiffView, look: Look) -> Iterable[str]:
    """What is said of an empty change set."""
    yield look.dim("No changes.")


def print_patch(session: Session, diff: views.PlanDiffView) -> None:
    """The patch itself: coloured on a terminal, byte for byte elsewhere."""
    if not diff.patch:
        return
    look = session.out.look
    raw = base64.b64decode(diff.patch_base64) if diff.patch_base64 is not None else diff.patch.encode()
    if look.colour:
        lines = raw.decode("utf-8", "surrogateescape").split("\n")
        raw = "\n".join(coloured(lines, look)).encode("utf-8", "surrogateescape")
    session.out.raw(raw)


def coloured(lines: Iterable[str], look: Look) -> Iterable[str]:
    """The lines of a patch in the colours that everybody knows."""
    in_hunk = False
    for line in lines:
        if line.startswith("diff "):
            in_hunk = False
        elif line.startswith("@@"):
            in_hunk = True
        yield _painted(line, look, in_hunk=in_hunk)


def _painted(line: str, look: Look, *, in_hunk: bool) -> str:
    if not in_hunk:
        return look.bold(line)
    tone = {"@": Tone.RUNNING, "+": Tone.DONE, "-": Tone.FAILED}.get(line[:1])
    return line if tone is None else look.paint(line, tone)
