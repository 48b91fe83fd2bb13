"""What `ca status` shows: what needs me, what runs, what waits, what is locked."""

from collections.abc import Iterable, Sequence

from cleveragents_tui import wording
from cleveragents_tui.cli import lock_text, sync_text
from cleveragents_tui.cli.session import Session
from cleveragents_tui.cli.tables import GAP, Cell, Column, table
from cleveragents_tui.output import Look, Result
from cleveragents_tui.wording import Mood, Tone
from daemon import protocol, views

LIMIT = 10
"""Plans of each kind that one screen has room for."""
ROOMY = 60
"""Columns from which on there is room to indent."""


def status(session: Session) -> Result[views.StatusView]:
    """What needs you, what runs, what waits: one screen."""
    return Result(session.call(protocol.Status(limit=LIMIT)), render)


def render(status: views.StatusView, look: Look) -> Iterable[str]:
    """The screen of `ca status`: at most 17 lines, however many plans there are."""
    totals = status.totals
    if not (totals.needs_you or totals.running or totals.queued or status.done):
        yield from welcome(look)
        yield ""
    if totals.needs_you:
        yield from _needing(status.needs_you, totals.needs_you, look)
    if totals.running:
        names = [f"{plan.name} {wording.progress_note(plan, look.now)}".rstrip() for plan in status.running]
        yield _list_line(look, Mood.RUNNING, f"{totals.running} running", names, totals.running)
    if totals.queued:
        names = [plan.name for plan in status.queued]
        yield _list_line(look, Mood.QUEUED, f"{totals.queued} queued", names, totals.queued)
    if totals.locks:
        yield _locks_line(status, look)
    if status.sync is not None:
        for mood, text in sync_text.overview(status.sync, look.now):
            yield _list_line(look, mood, "sync", [text], 1)
    tail = _tail(status, look)
    yield f"{look.mood(Mood.DONE)} {look.dim(wording.cut(' · '.join(tail), look.width - 2))}"


def _tail(status: views.StatusView, look: Look) -> list[str]:
    """What is well."""
    done = [f"{status.done} done"] if status.done else []
    synced = [] if status.sync is None else sync_text.overview_note(status.sync, look.now)
    return [*done, _daemon_note(status.daemon, look), *synced]


def _locks_line(status: views.StatusView, look: Look) -> str:
    """The locks of people; those of running jobs come with the plans that run, so they are only counted."""
    own = [lock for lock in status.locks if not lock_text.of_a_job(lock)]
    notes, total = [lock_text.note(lock, look.now) for lock in own], status.totals.locks
    if len(own) < len(status.locks):
        notes, total = [*notes, f"{status.totals.locks - len(own)} by running jobs"], len(own) + 1
    return _list_line(look, Mood.QUEUED, f"{status.totals.locks} locked", notes, total)


def _needing(plans: Sequence[views.PlanView], total: int, look: Look) -> Iterable[str]:
    title = "1 plan needs you" if total == 1 else f"{total} plans need you"
    yield f"{look.mood(Mood.NEEDS_YOU)} {look.paint(title, Tone.NEEDS_YOU, bold=True)}"
    indent = 4 if look.width >= ROOMY else 2
    # A command or a name that is cut is of no use: as many whole commands as fit, and names before everything else.
    for commands in (2, 1, 0):
        rows = [_needing_row(plan, look, indent, commands) for plan in plans]
        if commands == 0 or _breadth(rows) <= look.width - indent:
            break
    yield from table(look, _NEEDING, rows, heading=False, indent=indent)
    if total > len(plans):
        yield " " * indent + look.dim(f"and {total - len(plans)} more: ca plan list")


_NEEDING = (Column(), Column(drop=1), Column(minimum=14, drop=2), Column())


def _needing_row(plan: views.PlanView, look: Look, indent: int, commands: int) -> list[Cell]:
    mood = wording.plan_mood(plan)
    tone = Tone.FAILED if mood is Mood.FAILED else Tone.NEEDS_YOU
    return [
        Cell(wording.cut(plan.name, look.width - indent), bold=True),
        Cell(wording.position(plan), tone),
        Cell(wording.plain(wording.plan_note(plan, look.now))),
        Cell(" · ".join(plan.next[:commands]), Tone.WAITING),
    ]


def _breadth(rows: Sequence[Sequence[Cell]]) -> int:
    """The columns that whole rows take, with notes as short as they may be."""
    widest = [max(wording.columns(row[index].text) for row in rows) for index in range(len(_NEEDING))]
    widest[2] = min(widest[2], _NEEDING[2].minimum or 0)
    return sum(width + GAP for width in widest if width) - GAP


def _list_line(look: Look, mood: Mood, title: str, names: Sequence[str], total: int) -> str:
    """How many, and as many of their names as there is room for."""
    head = title.ljust(16)
    room = look.width - 2 - len(head)
    shown = len(names)
    while shown > 1 and wording.columns(_names(names[:shown], total)) > room:
        shown -= 1
    text = wording.cut(_names(names[:shown], total), room)
    return f"{look.mood(mood)} {look.paint(head, mood.tone, bold=True)}{text}"


def _names(names: Sequence[str], total: int) -> str:
    more = [f"{total - len(names)} more"] if total > len(names) else []
    return " · ".join([*names, *more])


def _daemon_note(daemon: views.DaemonView, look: Look) -> str:
    busy = sum(worker.job_id is not None for worker in daemon.workers)
    up = f"daemon up {wording.age(daemon.started_at, look.now)}" if daemon.started_at else "daemon running"
    stopping = ", stopping" if daemon.draining else ""
    return f"{up}{stopping}, {busy} of {len(daemon.workers)} workers busy"


def welcome(look: Look) -> Iterable[str]:
    """What to do when there is no plan yet: the three commands to get one."""
    yield look.bold("No plans yet. Three commands to your first one:")
    steps = (
        ("ca project add", "register the directory you are in"),
        ("ca action create FILE", "register a piece of work, described in a YAML file"),
        ("ca plan use ACTION PROJECT --follow", "let it run in a sandbox; nothing changes until you apply it"),
    )
    yield from table(
        look,
        (Column(), Column(minimum=20)),
        [[Cell(step, bold=True), Cell(why, Tone.WAITING)] for step, why in steps],
        heading=False,
        indent=2,
    )
