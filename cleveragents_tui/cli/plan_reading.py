"""The verbs of `ca plan` that only read: list, show, status, tree, diff, errors, logs."""

import shlex
from collections.abc import Sequence
from functools import partial
from typing import Any

import click
import msgspec

from cleveragents_tui import wording
from cleveragents_tui.cli import children_text, diff_text, logs, plan_list, plan_text
from cleveragents_tui.cli.commands import make_verb
from cleveragents_tui.cli.session import Session
from cleveragents_tui.output import Result
from daemon import protocol, views
from store import errors, names

PART = 4
"""Characters that a part of an id has at least."""
NAMED = 10
"""Children that are named at most."""


@make_verb(
    "list", examples=["ca plan list", "ca plan list --state errored --project web", "ca plan list --all --format json"]
)
@click.option("--phase", type=click.Choice(["strategize", "execute", "apply"]), help="Only plans in this phase.")
@click.option(
    "--state",
    type=click.Choice(["queued", "processing", "complete", "errored", "cancelled", "constrained", "applied"]),
    help="Only plans in this state.",
)
@click.option("--project", help="Only plans on this project.")
@click.option("--action", help="Only plans of this action.")
@click.option("--children", is_flag=True, help="Children too, behind their parents.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=plan_list.LIMIT,
    show_default=True,
    help="At most so many, the newest.",
)
@click.option("--all", "everything", is_flag=True, help="All of them, however many.")
def list_(session: Session, **filters: Any) -> Result[views.PlansView]:
    """The newest plans."""
    return plan_list.plans(session, **filters)


@make_verb(None, examples=["ca plan show fix-types"])
@click.argument("plan")
def show(session: Session, plan: str) -> Result[views.PlanView]:
    """Everything about one plan."""
    found = session.call(protocol.PlanShow(plan=plan))
    failed = None
    if found.children.total and not session.out.structured:
        failed = session.call(protocol.PlanList(parent=found.plan_id, state="errored", limit=children_text.LISTED))
    return Result(found, partial(plan_text.show, failed=failed))


@make_verb(None, examples=["ca plan status fix-types"])
@click.argument("plan")
def status(session: Session, plan: str) -> Result[views.PlanView]:
    """Where a plan stands, in two lines."""
    return Result(session.call(protocol.PlanShow(plan=plan)), plan_text.status)


@make_verb(None, examples=["ca plan tree fix-types"])
@click.argument("plan")
def tree(session: Session, plan: str) -> Result[views.PlanTreeView]:
    """What was decided, and why; and the children."""
    return Result(session.call(protocol.PlanTree(plan=plan)), children_text.tree)


@make_verb(
    None, examples=["ca plan diff fix-types", "ca plan diff fix-types --stat", "ca plan diff fix-types > change.patch"]
)
@click.argument("plan")
@click.option("--stat", is_flag=True, help="Only how much changed in each file.")
@click.option("--name-only", is_flag=True, help="Only the names of the files.")
def diff(session: Session, plan: str, *, stat: bool, name_only: bool) -> Result[views.PlanDiffView]:
    """What the plan would change: base against result."""
    found = session.call(protocol.PlanDiff(plan=plan))
    if stat and name_only:
        raise errors.UsageError("--stat and --name-only exclude each other", suggestions=["ca plan diff PLAN --stat"])
    if stat or name_only:
        return Result(found, diff_text.stat if stat else diff_text.file_names)
    if not session.out.structured:
        diff_text.print_patch(session, found)
        return Result(found, None if found.patch else diff_text.no_patch)
    return Result(found)


@make_verb("errors", examples=["ca plan errors fix-types"])
@click.argument("plan")
def errors_(session: Session, plan: str) -> Result[views.PlanErrorsView]:
    """Why a plan does not go on, with the last lines of the steps that failed."""
    found = session.call(protocol.PlanErrors(plan=plan))
    whole = session.call(protocol.PlanShow(plan=found.plan_id)) if not session.out.structured else None
    return Result(found, partial(plan_text.why, plan=whole))


class StepLog(msgspec.Struct, frozen=True):
    """The log of an attempt of a step, as programs get it; an attempt before the last one has no state of its own."""

    id: str
    state: str | None
    attempt: int
    exit_code: int | None
    log: str | None
    text: str | None


class LogsView(msgspec.Struct, frozen=True):
    plan_id: str
    steps: list[StepLog]


@make_verb(
    "logs",
    examples=[
        "ca plan logs fix-types",
        "ca plan logs fix-types --step test > test.log",
        "ca plan logs fix-types --step test --attempt 1",
        "ca plan logs modernise-3 --child src/api",
    ],
)
@click.argument("plan")
@click.option("--child", metavar="CHILD", help="Of one of its children: an item, or the child's name or id.")
@click.option("--step", metavar="ID", help="Only this step.")
@click.option("--attempt", type=click.IntRange(min=1), metavar="N", help="Of an earlier attempt of the step.")
def logs_(session: Session, plan: str, child: str | None, step: str | None, attempt: int | None) -> Result[Any]:
    """The whole output of the steps, byte for byte."""
    if attempt is not None and step is None:
        raise click.UsageError("--attempt is of one step: say which with --step")
    found = session.call(protocol.PlanShow(plan=plan))
    if child is not None:
        found = _child(session, found, child)
    chosen = [item for item in found.steps if step is None or item.id == step]
    if step is not None and not chosen:
        raise _no_step(found, step)
    earlier = attempt is not None and attempt != chosen[0].attempt
    if attempt is not None and earlier:
        chosen = [_attempt(session, found, chosen[0], attempt)]
    if session.out.structured:
        return Result(LogsView(found.plan_id, [_step_log(item, earlier=earlier) for item in chosen]))
    _print_logs(session, [item for item in chosen if item.children is None])
    if found.children.total and step is None:
        _mention_children(session, found)
    return Result(None)


def _attempt(session: Session, plan: views.PlanView, step: views.StepView, number: int) -> views.StepView:
    """A step with the log of an earlier attempt.

    Raises:
        NotFoundError: there is none, or no log of it any more.
    """
    made = session.call(protocol.PlanArtifacts(plan=plan.plan_id)).artifacts
    found = {one.attempt: one.path for one in made if one.kind == "log" and one.step == step.id}  # the latest is last
    if number > step.attempt or number not in found:
        known = ", ".join(str(one) for one in sorted(one for one in found if one and one <= step.attempt))
        raise errors.NotFoundError(
            f"step {step.id} of {plan.name} has no log of an attempt {number}; it has {known or 'none'}",
            detail={"plan_id": plan.plan_id, "step": step.id, "attempt": number},
            suggestions=[f"ca plan artifacts {plan.name}"],
        )
    return msgspec.structs.replace(step, attempt=number, exit_code=None, log=found[number])


def _child(session: Session, parent: views.PlanView, word: str) -> views.PlanView:
    """The child of `parent` that is for an item, or has a name or an id.

    Raises:
        NotFoundError, AmbiguousError: none, or several; the nearest, or all of them, are named.
    """
    children = session.call(protocol.PlanList(parent=parent.plan_id, limit=-1)).plans
    items = [child.subplan.item for child in children if child.subplan is not None]
    fitting = [child for child in children if child.subplan is not None and child.subplan.item == word] or [
        child for child in children if child.name == word or (len(word) >= PART and word.upper() in child.plan_id)
    ]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise errors.AmbiguousError(
            f"{word!r} fits several children of {parent.name}: {', '.join(child.name for child in fitting[:NAMED])}",
            detail={"candidates": [child.plan_id for child in fitting]},
            suggestions=[f"ca plan logs {child.name}" for child in fitting[:2]],
        )
    near = names.nearest(word, items)
    raise errors.NotFoundError(
        f"{parent.name} has no child {word!r}" + (f"; did you mean {near!r}?" if near else ""),
        detail={"plan_id": parent.plan_id, "child": word},
        suggestions=[
            f"ca plan logs {parent.name} --child {shlex.quote(near)}" if near else f"ca plan tree {parent.name}"
        ],
    )


def _mention_children(session: Session, plan: views.PlanView) -> None:
    children = session.call(protocol.PlanList(parent=plan.plan_id, limit=NAMED)).plans
    items = [wording.one_line(child.subplan.item) for child in children if child.subplan is not None]
    more = f" and {plan.children.total - len(items)} more" if plan.children.total > len(items) else ""
    number = wording.count(plan.children.total, "child", "children")
    session.say(f"{plan.name} has {number} with logs of their own: {', '.join(items)}{more}")
    session.say(
        f"one of them: ca plan logs {plan.name} --child {shlex.quote(items[0])}; all: ca plan follow {plan.name}"
    )


def _no_step(plan: views.PlanView, step: str) -> errors.NotFoundError:
    ids = [item.id for item in plan.steps]
    near = names.nearest(step, ids)
    return errors.NotFoundError(
        f"{plan.name} has no step {step!r}"
        + (f"; did you mean {near!r}?" if near else f"; it has {', '.join(ids) or 'none yet'}"),
        detail={"plan_id": plan.plan_id, "step": step, "steps": ids},
        suggestions=[f"ca plan logs {plan.name} --step {near}"] if near else [f"ca plan show {plan.name}"],
    )


def _step_log(step: views.StepView, *, earlier: bool) -> StepLog:
    content = logs.content(step.log)
    text = None if content is None else content.decode(errors="backslashreplace")
    return StepLog(step.id, None if earlier else step.state, step.attempt, step.exit_code, step.log, text)


def _print_logs(session: Session, steps: Sequence[views.StepView]) -> None:
    printed = gone = False
    for step in steps:
        content = logs.content(step.log)
        if content is None:
            if step.log is not None:
                session.say(f"the log of step {step.id} is gone: {step.log}")
                gone = True
            continue
        if len(steps) > 1:
            session.out.say([f"{'' if not printed else chr(10)}==> {step.id} <=="])
        session.out.raw(content if len(steps) == 1 or not content or content.endswith(b"\n") else content + b"\n")
        printed = True
    if not printed and not gone:
        session.say("nothing was printed yet")
