"""Children of plans as people read them: how many stand where, which of them need somebody, and the tree."""

from collections.abc import Iterable, Sequence

from cleveragents_tui import wording
from cleveragents_tui.cli.tables import Cell, Column, table
from cleveragents_tui.output import Look
from cleveragents_tui.wording import Tone
from daemon import views

LISTED = 10
"""Children that need somebody and are listed; the others are counted."""
BRANCHES = 20
"""Children of one plan up to which a tree shows what each decided, and which it shows at most."""
LAST_LINES = 3
"""Of the log of each child that failed."""


def numbers(plan: views.PlanView) -> str:
    """How many children stand where, what needs somebody first: `14: 1 failed, 4 running, 9 integrated`."""
    found = plan.children
    if not found.total:
        return ""
    integrated = sum(step.children.integrated for step in plan.steps if step.children is not None)
    counts = ((found.errored, "failed"), (found.processing, "running"), (integrated, "integrated"),
              (found.complete - integrated, "finished"), (found.queued, "queued"), (found.cancelled, "cancelled"))  # fmt: skip
    return f"{found.total}: " + ", ".join(f"{number} {word}" for number, word in counts if number > 0)


def summary(plan: views.PlanView, look: Look) -> Iterable[str]:
    """The children of a plan in one line; nothing for a plan without."""
    if plan.children.total:
        yield f"  {look.dim('children')}  {numbers(plan)}"


def place(plan: views.PlanView) -> list[tuple[str, str | Cell]]:
    """What a child is to its parent, as facts about it."""
    mine = plan.subplan
    if mine is None:
        return []
    standing = f"since {wording.local_time(mine.integrated_at)}" if mine.integrated_at else ""
    return [
        ("item", wording.one_line(mine.item)),
        ("child of", f"{wording.parent_name(plan)}, step {mine.step}"),
        ("after", wording.one_line(", ".join(mine.needs))),
        ("declares", wording.one_line(", ".join(mine.paths))),
        ("in parent", "left out" if mine.left_out else standing),
    ]


_NEEDING = (Column(), Column(minimum=10), Column(minimum=16, drop=1), Column())


def needing(plan: views.PlanView, failed: views.PlansView, look: Look) -> Iterable[str]:
    """The children that failed, each with the command that tells more."""
    if failed.plans:
        yield look.dim("failed children")
        yield from table(look, _NEEDING, [_needing(child) for child in failed.plans], heading=False, indent=2)
        yield from _more(len(failed.plans), failed.total, look)
    yield from conflicts(plan, look)


def _needing(child: views.PlanView) -> list[Cell | str]:
    item = child.subplan.item if child.subplan is not None else child.name
    note = wording.error_note(child.error) if child.error is not None else wording.position(child)
    return [
        Cell("✘", Tone.FAILED),
        Cell(wording.one_line(item), bold=True),
        wording.one_line(note),
        Cell(f"ca plan errors {child.name}", Tone.WAITING),
    ]


def _more(shown: int, total: int, look: Look) -> Iterable[str]:
    if total > shown:
        yield look.dim(f"  and {total - shown} more: ca plan list --children --state errored --all")


def conflicts(plan: views.PlanView, look: Look) -> Iterable[str]:
    """The files in which a child and its parent do not fit together, of which kind, and of which child."""
    files = wording.files_of(plan.error) if plan.error is not None and plan.state == "errored" else []
    if plan.phase != "execute" or not files:
        return
    yield look.dim("conflicts")
    rows = [[Cell("✘", Tone.FAILED), *file_cells(file, several=len(plan.projects) > 1)] for file in files[:LISTED]]
    yield from table(look, CONFLICT, rows, heading=False, indent=2)
    if len(files) > LISTED:
        yield look.dim(f"  and {len(files) - LISTED} more: ca plan conflicts {plan.name}")


CONFLICT = (Column(), Column(minimum=16), Column(), Column(minimum=8, drop=1))


def file_cells(file: wording.ConflictFile, *, several: bool) -> list[Cell | str]:
    """A file in conflict: its name, with the project when there are several, its kind, and the child it came with."""
    project = f"{wording.short_name(file.project)}:" if several and file.project else ""
    return [
        Cell(wording.one_line(f"{project}{file.path}"), bold=True),
        file.kind,
        Cell(wording.one_line(f"with {file.item}" if file.item else ""), Tone.WAITING),
    ]


def failures(found: Sequence[views.FailedChildView], look: Look) -> Iterable[str]:
    """The children that failed: why, the last lines of their logs, and where the rest is."""
    for child in found[:LISTED]:
        why = wording.plain(wording.error_note(child.error)) if child.error is not None else "failed"
        yield f"  {look.paint('✘', Tone.FAILED)} {look.bold(wording.one_line(child.item))} ({child.name}): {why}"
        for step in child.steps:
            for line in step.tail[-LAST_LINES:]:
                yield f"      {wording.cut(wording.plain(line), look.width - 6)}"
        logs = [f"ca plan logs {child.name} --step {step.id}" for step in child.steps if step.log]
        for command in [*logs[:1], *([] if logs else child.next[:1])]:
            yield f"      {look.dim(command)}"
    yield from _more(min(LISTED, len(found)), len(found), look)


def tree(found: views.PlanTreeView, look: Look) -> Iterable[str]:
    """What was decided, each decision below the one it belongs to, and the children, each with what it decided."""
    if not found.decisions and not found.children:
        yield look.dim("Nothing was decided yet.")
        return
    spawned = [one for one in found.decisions if one.kind == "subplan_spawn" and not one.superseded]
    yield from _decisions([one for one in found.decisions if one not in spawned], look, "")
    yield from _children(found, look, "")


def _children(found: views.PlanTreeView, look: Look, indent: str) -> Iterable[str]:
    if found.children:
        yield look.dim(f"{indent}children")
    chosen = _chosen(found.children)
    left = len(found.children) - len(chosen)
    for child in chosen:
        last = child is chosen[-1] and not left
        head = f"{indent}{'└─ ' if last else '├─ '}"
        room = look.width - len(head) - 4
        item = wording.cut(wording.one_line(child.item or child.name), max(12, room - 20))
        where = wording.cut(f"{child.name}  {child.phase} {child.state}", max(0, room - wording.columns(item)))
        yield f"{look.dim(head)}{look.mood(wording.child_mood(child))} {look.bold(item)}  {look.dim(where)}"
        deeper = f"{indent}{'   ' if last else '│  '}"
        if len(found.children) <= BRANCHES:
            yield from _decisions(child.decisions, look, deeper)
        yield from _children(child, look, deeper)
    if left:
        yield look.dim(f"{indent}└─ and {left} more: ca plan list --children --all")


def _chosen(children: Sequence[views.PlanTreeView]) -> list[views.PlanTreeView]:
    """Those that are shown, in their order: when they are too many, the first, and in any case some that failed."""
    if len(children) <= BRANCHES:
        return list(children)
    failed = [child.plan_id for child in children if child.state == "errored"][: BRANCHES // 2]
    others = [child.plan_id for child in children if child.plan_id not in failed][: BRANCHES - len(failed)]
    return [child for child in children if child.plan_id in {*failed, *others}]


def _decisions(decisions: Sequence[views.DecisionView], look: Look, indent: str) -> Iterable[str]:
    ids = {decision.decision_id for decision in decisions}
    for decision in decisions:
        if decision.parent_id not in ids:
            yield from _branch(decision, decisions, look, indent, "")


def _branch(
    decision: views.DecisionView, decisions: Sequence[views.DecisionView], look: Look, indent: str, branch: str
) -> Iterable[str]:
    label = decision.kind.replace("_", " ") + (" (superseded)" if decision.superseded else "")
    tone = Tone.WAITING if decision.superseded else Tone.PLAIN
    head = f"{indent}{branch}"
    room = max(20, look.width - len(head) - len(label) - 4)
    choice = wording.cut(wording.plain(decision.choice).replace("\n", " "), room)
    yield f"{look.dim(head)}{look.paint(label, tone, bold=not decision.superseded)}  {look.paint(choice, tone)}"
    deeper = indent + branch.replace("├─ ", "│  ").replace("└─ ", "   ")
    if decision.reason:
        reason = wording.plain(decision.reason).replace("\n", " ")
        yield look.dim(f"{deeper}  {wording.cut(reason, max(20, look.width - len(deeper) - 2))}")
    below = [other for other in decisions if other.parent_id == decision.decision_id]
    chosen = below if len(below) <= BRANCHES else below[:BRANCHES]
    for child in chosen:
        last = child is chosen[-1] and len(chosen) == len(below)
        yield from _branch(child, decisions, look, deeper, "└─ " if last else "├─ ")
    if len(chosen) < len(below):
        yield look.dim(f"{deeper}└─ and {len(below) - len(chosen)} more of {below[-1].kind.replace('_', ' ')}")
