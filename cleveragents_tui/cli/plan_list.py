"""`ca plan list`: a line a plan."""

from collections.abc import Iterable, Sequence
from functools import partial

from cleveragents_tui import wording
from cleveragents_tui.cli.overview import welcome
from cleveragents_tui.cli.session import Session
from cleveragents_tui.cli.tables import Cell, Column, table
from cleveragents_tui.output import Look, Result
from cleveragents_tui.wording import Tone
from daemon import protocol, views

LIMIT = 50


def plans(
    session: Session, *, phase: str | None = None, state: str | None = None, project: str | None = None,
    action: str | None = None, children: bool = False, limit: int = LIMIT, everything: bool = False,
) -> Result[views.PlansView]:  # fmt: skip
    """The newest plans that fit."""
    found = session.call(
        protocol.PlanList(
            phase=phase,
            state=state,
            project=None if project is None else _name(project, "project"),
            action=None if action is None else _name(action, "action"),
            children=children,
            limit=-1 if everything else limit,
        )
    )
    filtered = any(value is not None for value in (phase, state, project, action))
    more = f"ca plan list {'--children ' if children else ''}--all"
    return Result(found, partial(render, filtered=filtered, more=more))


def _name(text: str, what: str) -> str:
    from store import names  # noqa: PLC0415  only a filter needs it

    return names.parse_name(text, what=what)


_LIST = (
    Column(), Column("PLAN", minimum=10), Column("ITEM", minimum=10), Column("STATE"), Column("", minimum=12, drop=1),
    Column("ACTION", minimum=10, drop=3), Column("ON", minimum=8, drop=2), Column("AGE", right=True, drop=4),
)  # fmt: skip


def render(plans: views.PlansView, look: Look, *, filtered: bool, more: str) -> Iterable[str]:
    """A line a plan, the newest first, children behind their parent; `more` is the command that shows all."""
    if not plans.plans:
        yield from [look.dim(f"No plan fits.  All: {more}")] if filtered else welcome(look)
        return
    depths = _depths(plans.plans)
    yield from table(look, _LIST, [_row(plan, depths[plan.plan_id], look.now) for plan in plans.plans])
    if plans.total > len(plans.plans):
        yield look.dim(f"{len(plans.plans)} of {plans.total}.  All: {more}")


def _depths(plans: Sequence[views.PlanView]) -> dict[str, int]:
    """How far each plan stands below others of the list; a child whose parent is not in it stands at the edge."""
    found: dict[str, int] = {}
    for plan in plans:
        found[plan.plan_id] = found.get(plan.parent_plan_id or "", -1) + 1
    return found


def _row(plan: views.PlanView, depth: int, now: float) -> list[Cell | str]:
    mood = wording.plan_mood(plan)
    return [
        Cell(mood.sign, mood.tone),
        Cell(("  " * depth) + plan.name, bold=True),
        wording.one_line(plan.subplan.item) if plan.subplan is not None else "",
        Cell(wording.position(plan), mood.tone),
        wording.plain(wording.plan_note(plan, now)),
        wording.short_name(plan.action),
        wording.projects(plan),
        Cell(wording.age(plan.updated_at, now), Tone.WAITING),
    ]
