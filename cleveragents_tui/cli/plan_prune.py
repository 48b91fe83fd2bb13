"""`ca plan prune`: the room that sandboxes take, and what can be had back."""

from collections.abc import Iterable

import click

from cleveragents_tui import wording
from cleveragents_tui.cli.commands import make_verb
from cleveragents_tui.cli.session import Session
from cleveragents_tui.cli.tables import Cell, Column, table
from cleveragents_tui.output import Look, Result
from cleveragents_tui.wording import Mood, Tone
from daemon import protocol, views


@make_verb(None, examples=["ca plan prune --dry-run", "ca plan prune"])
@click.option("--dry-run", is_flag=True, help="Show what would go and what holds work; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def prune(session: Session, *, dry_run: bool, yes: bool) -> Result[views.PruneView]:
    """Remove the sandboxes of plans that are over, and show what still holds work.

    What a sandbox holds is kept under its plan's refs first. Asks on a terminal; what runs without one need not say --yes.
    """
    if dry_run or (not yes and session.interactive):
        found = session.call(protocol.PlanPrune(dry_run=True), timeout=None)
        if dry_run or not any(entry.removed for entry in found.entries):
            return Result(found, prune_lines)
        session.confirm(*prune_lines(found, session.out.talk_look), "Remove these?")
    done = session.call(protocol.PlanPrune(), timeout=None)
    return Result(done, prune_lines, exit_code=1 if any(entry.error for entry in done.entries) else 0)


NOTHING = "nothing that is not in the project"
"""The daemon's words for a sandbox without work."""

_COLUMNS = (
    Column(), Column("WHAT", drop=3), Column("PLAN", minimum=10), Column("PROJECT", minimum=8, drop=2),
    Column("SIZE", right=True), Column("HOLDS", minimum=16, drop=1),
)  # fmt: skip


def prune_lines(found: views.PruneView, look: Look) -> Iterable[str]:
    """What takes room, what of it goes, and what it still holds."""
    if not found.entries:
        yield look.dim("Nothing takes room: there is no sandbox.")
        return
    going = [entry for entry in found.entries if entry.removed]
    staying = [entry for entry in found.entries if not entry.removed]
    if going:
        yield look.bold("Would be removed:" if found.dry_run else "Removed:")
        yield from table(look, _COLUMNS, [_row(entry) for entry in going])
        if any(entry.kind == "sandbox" and entry.holds != NOTHING for entry in going):
            yield look.dim("  What they hold stays under refs: ca plan artifacts PLAN")
    if staying:
        if going:
            yield ""
        yield look.bold("Kept:")
        yield from table(look, _COLUMNS, [_row(entry) for entry in staying])
        for entry in staying:
            if entry.error:
                yield f"{look.mood(Mood.FAILED)} {entry.path}: {wording.plain(entry.error)}"
            elif entry.kind == "unknown":
                yield look.dim(f"  nobody knows {entry.path}; it is never removed")
    yield ""
    kept = sum(entry.bytes for entry in staying)
    verb = "would be freed" if found.dry_run else "freed"
    yield f"{wording.size(found.freed)} {verb}, {wording.size(kept)} kept"


def _row(entry: views.PruneEntryView) -> list[Cell | str]:
    stays = Cell("✘", Tone.FAILED) if entry.error else Cell("·", Tone.WAITING)
    return [
        Cell("✔", Tone.DONE) if entry.removed else stays,
        entry.kind,
        Cell(entry.plan or ("" if entry.kind == "pool" else entry.path.rpartition("/")[2]), bold=True),
        wording.short_name(entry.project or ""),
        wording.size(entry.bytes),
        wording.plain(entry.holds),
    ]
