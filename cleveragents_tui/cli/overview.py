"""What `ca status` shows: what needs me, what runs, what waits."""

from collections.abc import Iterable

from cleveragents_tui import wording
from cleveragents_tui.cli.session import Session
from cleveragents_tui.cli.tables import Cell, Column, table
from cleveragents_tui.output import Look, Result
from cleveragents_tui.wording import Mood, Tone
from daemon import protocol, views

LIMIT = 10
"""Plans of each kind that one screen has room for."""


def status(session: Session) -> Result[views.StatusView]:
    """What needs you, what runs, what waits: one screen."""
    return Result(session.call(protocol.Status(limit=LIMIT)), render)


def render(status: views.StatusView, look: Look) -> Iterable[str]:
    """The screen of `ca status`."""
    if not (status.needs_you or status.running or status.queued or status.done):
        yield from welcome(look)
        yield ""
    if status.needs_you:
        yield f"{_sign(look, Mood.NEEDS_YOU)} {look.paint(_needs(status.needs_you), Tone.NEEDS_YOU, bold=True)}"
        yield from table(
            look, _NEEDING, [_needing_row(plan, look.now) for plan in status.needs_you], heading=False, indent=4
        )
    if status.running:
        yield _list_line(
            look,
            Mood.RUNNING,
            f"{_at_least(status.running)} running",
            (_running(plan, look) for plan in status.running),
        )
    tail = [_daemon_note(status.daemon, look)]
    if status.queued:
        yield _list_line(look, Mood.QUEUED, f"{_at_least(status.queued)} queued", (plan.name for plan in status.queued))
    if status.done:
        tail.insert(0, f"{status.done} done")
    yield f"{_sign(look, Mood.DONE)} {look.dim(wording.cut(' · '.join(tail), look.width - 2))}"


_NEEDING = (Column(minimum=10), Column(drop=2), Column(minimum=14), Column(minimum=16, drop=1))


def _needs(found: list[views.PlanView]) -> str:
    return "1 plan needs you" if len(found) == 1 else f"{_at_least(found)} plans need you"


def _at_least(found: list[views.PlanView]) -> str:
    """How many there are; a full page says nothing about what is beyond it."""
    return str(len(found)) if len(found) < LIMIT else f"{LIMIT} or more"


def _needing_row(plan: views.PlanView, now: float) -> list[Cell | str]:
    mood = wording.plan_mood(plan)
    tone = Tone.FAILED if mood is Mood.FAILED else Tone.NEEDS_YOU
    return [
        Cell(plan.name, bold=True),
        Cell(wording.position(plan), tone),
        wording.plain(wording.plan_note(plan, now)),
        Cell(" · ".join(plan.next[:2]), Tone.WAITING),
    ]


def _running(plan: views.PlanView, look: Look) -> str:
    return f"{plan.name} {wording.progress_note(plan, look.now)}".rstrip()


def _list_line(look: Look, mood: Mood, title: str, items: Iterable[str]) -> str:
    text = wording.cut(" · ".join(items), max(10, look.width - 20))
    return f"{_sign(look, mood)} {look.paint(title.ljust(16), mood.tone, bold=True)}{text}"


def _sign(look: Look, mood: Mood) -> str:
    return look.mood(mood)


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
