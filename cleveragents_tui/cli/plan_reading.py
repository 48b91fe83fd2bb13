"""The verbs of `ca plan` that only read: list, show, status, tree, diff, errors, logs."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import click
import msgspec

from cleveragents_tui.cli import diff_text, logs, plan_list, plan_text
from cleveragents_tui.cli.commands import make_verb
from cleveragents_tui.cli.session import Session
from cleveragents_tui.output import Result
from daemon import protocol, views
from store import errors, names


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
@click.option("--children", is_flag=True, help="Children too.")
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
    return Result(session.call(protocol.PlanShow(plan=plan)), plan_text.show)


@make_verb(None, examples=["ca plan status fix-types"])
@click.argument("plan")
def status(session: Session, plan: str) -> Result[views.PlanView]:
    """Where a plan stands, in two lines."""
    return Result(session.call(protocol.PlanShow(plan=plan)), plan_text.status)


@make_verb(None, examples=["ca plan tree fix-types"])
@click.argument("plan")
def tree(session: Session, plan: str) -> Result[views.PlanTreeView]:
    """What was decided, and why."""
    return Result(session.call(protocol.PlanTree(plan=plan)), plan_text.tree)


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
    """The log of one step's last attempt, as programs get it."""

    id: str
    state: str
    attempt: int
    exit_code: int | None
    log: str | None
    text: str | None


class LogsView(msgspec.Struct, frozen=True):
    plan_id: str
    steps: list[StepLog]


@make_verb("logs", examples=["ca plan logs fix-types", "ca plan logs fix-types --step test > test.log"])
@click.argument("plan")
@click.option("--step", metavar="ID", help="Only this step.")
def logs_(session: Session, plan: str, step: str | None) -> Result[Any]:
    """The whole output of the steps, byte for byte."""
    found = session.call(protocol.PlanShow(plan=plan))
    chosen = [item for item in found.steps if step is None or item.id == step]
    if step is not None and not chosen:
        raise _no_step(found, step)
    if session.out.structured:
        return Result(LogsView(found.plan_id, [_step_log(item) for item in chosen]))
    _print_logs(session, chosen)
    return Result(None)


def _no_step(plan: views.PlanView, step: str) -> errors.NotFoundError:
    ids = [item.id for item in plan.steps]
    near = names.nearest(step, ids)
    return errors.NotFoundError(
        f"{plan.name} has no step {step!r}"
        + (f"; did you mean {near!r}?" if near else f"; it has {', '.join(ids) or 'none yet'}"),
        detail={"plan_id": plan.plan_id, "step": step, "steps": ids},
        suggestions=[f"ca plan logs {plan.name} --step {near}"] if near else [f"ca plan show {plan.name}"],
    )


def _step_log(step: views.StepView) -> StepLog:
    content = logs.content(step.log)
    text = None if content is None else content.decode(errors="backslashreplace")
    return StepLog(step.id, step.state, step.attempt, step.exit_code, step.log, text)


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
