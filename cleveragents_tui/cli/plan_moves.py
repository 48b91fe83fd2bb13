"""The verbs of `ca plan` that make and move plans: use, execute, apply, cancel, revert, undo."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import click

from cleveragents_tui.cli import dry_run_text, plan_text
from cleveragents_tui.cli.commands import make_verb
from cleveragents_tui.cli.following import spectator
from cleveragents_tui.cli.places import project_word
from cleveragents_tui.cli.session import Session
from cleveragents_tui.cli.several import each
from cleveragents_tui.cli.watch import outcome, to_its_end, watch
from cleveragents_tui.output import Result
from cleveragents_tui.surroundings import environment, umask
from daemon import protocol, views
from store import errors


def staying(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options `--wait` and `--follow`."""
    wait = click.option(
        "--wait", is_flag=True, help="Stay until nothing more happens by itself; the exit code tells how it ended."
    )
    follow = click.option("--follow", is_flag=True, help="As --wait, and print the output of the steps.")
    return wait(follow(function))


def unasked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The option `--yes`."""
    return click.option("--yes", is_flag=True, help="Do not ask.")(function)


def some_plans(function: Callable[..., Any]) -> Callable[..., Any]:
    """One or more plans, each by its id, a part of the id, or its name."""
    return click.argument("plans", metavar="PLAN...", nargs=-1, required=True)(function)


@make_verb(
    None, examples=["ca plan use modernise web --arg target=src --follow", "ca plan use modernise web --dry-run"]
)
@click.argument("action")
@click.argument("projects", metavar="PROJECT...", nargs=-1, required=True)
@click.option("--arg", "arguments", metavar="K=V", multiple=True, help="An argument of the action; may be repeated.")
@click.option("--name", help="What to call the plan; without it a name is made from the action's.")
@click.option(
    "--profile", metavar="PROFILE", help="Which moves happen by themselves: manual, supervised, trusted, full-auto."
)
@click.option("--priority", type=int, default=0, help="Higher runs earlier.")
@click.option("--dry-run", is_flag=True, help="Show what it would do; store nothing.")
@click.option("--all", "everything", is_flag=True, help="With --dry-run: every child, however many.")
@staying
def use(
    session: Session, *, action: str, projects: Sequence[str], arguments: Sequence[str], name: str | None,
    profile: str | None, priority: int, dry_run: bool, everything: bool, wait: bool, follow: bool,
) -> Result[Any]:  # fmt: skip
    """Use an action on one or more projects: makes a plan, and decides its steps."""
    given = dict(_argument(text) for text in arguments)
    words = [project_word(project) for project in projects]
    if dry_run:
        question = protocol.PlanDryRun(
            action=action,
            projects=words,
            arguments=given,
            profile=profile,
            environment=environment(session.environ, session.messages.append),
        )
        found = session.call(question, timeout=None)  # a command that prints items takes its time
        return Result(found, partial(dry_run_text.dry_run, everything=everything))
    if everything:
        raise errors.UsageError("--all goes with --dry-run", suggestions=["ca plan use ACTION PROJECT --dry-run --all"])
    plan = session.call(
        protocol.PlanUse(
            action=action, projects=words, arguments=given, name=name, profile=profile, priority=priority,
            environment=environment(session.environ, session.messages.append), umask=umask(),
        )
    )  # fmt: skip
    return stay_with(session, plan, follow=follow) if wait or follow else Result(plan, plan_text.used)


def _argument(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise errors.UsageError(f"--arg {text!r} is not K=V", suggestions=["--arg target=src"])
    return name, value


@make_verb(None, examples=["ca plan execute fix-types", "ca plan execute fix-types --follow"])
@some_plans
@staying
def execute(session: Session, plans: Sequence[str], *, wait: bool, follow: bool) -> Result[Any]:
    """Start Execute, or go on after an error at the first step that did not succeed."""
    stay = wait or follow or stays_by_itself(session)

    def one(plan: str) -> Result[views.PlanView]:
        since = newest_event(session, plan) if follow else 0
        moved = session.call(protocol.PlanExecute(plan=plan))
        return stay_with(session, moved, follow=follow, since=since) if stay else Result(moved, plan_text.moved)

    return each(session, plans, one)


@make_verb(
    None, examples=["ca plan apply fix-types", "ca plan apply fix-types --yes --wait --expect 9c41e07a… --mode commit"]
)
@some_plans
@click.option(
    "--expect", metavar="DIGEST", help="The digest that was reviewed; refused when the change is another one now."
)
@click.option(
    "--mode", metavar="MODE", help="worktree, index, commit or branch; without it as configured in apply.mode."
)
@click.option("--allow-empty", is_flag=True, help="Apply a change set without changes.")
@unasked
@staying
def apply(
    session: Session, plans: Sequence[str], expect: str | None, mode: str | None,
    *, allow_empty: bool, yes: bool, wait: bool, follow: bool,
) -> Result[Any]:  # fmt: skip
    """Let the reviewed change into the project, whole or not at all."""
    ask = session.must_be_told(yes=yes)
    stay = wait or follow or stays_by_itself(session)
    settings = {
        name: value
        for name, value in environment(session.environ, session.messages.append).items()
        if name.startswith("CLEVERAGENTS_")
    }

    def one(plan: str) -> Result[Any]:
        digest = _confirm_apply(session, plan, mode, expect, settings) if ask else expect
        since = newest_event(session, plan) if follow else 0
        moved = session.call(
            protocol.PlanApply(plan=plan, expect=digest, mode=mode, allow_empty=allow_empty, environment=settings)
        )
        if not stay:
            return Result(moved, plan_text.moved)
        return plan_text.applied_result(stay_with(session, moved, follow=follow, since=since))

    return each(session, plans, one)


def _confirm_apply(
    session: Session, name: str, mode: str | None, expect: str | None, settings: dict[str, bytes]
) -> str | None:
    """Show what would be applied and ask; returns the digest that was shown, so that nothing else is applied."""
    plan = session.call(protocol.PlanShow(plan=name))
    if (plan.phase, plan.state) not in {
        ("execute", "complete"),
        ("apply", "errored"),
        ("apply", "constrained"),
    } or plan.diff is None:
        return expect  # the daemon says why it cannot be applied, or that it is already
    preview = session.call(protocol.PlanPreview(plan=plan.plan_id, mode=mode, environment=settings))
    session.confirm(
        *plan_text.about_to_apply(plan.name, preview, session.out.talk_look), plan_text.apply_question(preview)
    )
    return expect or plan.diff.digest


@make_verb(None, examples=["ca plan cancel fix-types --yes --reason 'wrong branch'"])
@some_plans
@click.option("--reason", default="", help="Recorded with the plan.")
@unasked
def cancel(session: Session, plans: Sequence[str], reason: str, *, yes: bool) -> Result[Any]:
    """Stop a plan for good; answers when its processes are gone. Its work is kept."""
    ask = session.must_be_told(yes=yes)

    def one(plan: str) -> Result[views.PlanView]:
        if ask:
            _confirm(session, plan, "Cancel it for good?")
        request = protocol.PlanCancel(plan=plan, reason=reason)
        return Result(to_its_end(session, request, f"ca plan cancel {plan} --yes"), plan_text.moved)

    return each(session, plans, one)


@make_verb(None, examples=["ca plan revert fix-types --yes --reason 'try another rule set'"])
@some_plans
@click.option("--reason", default="", help="Recorded with the plan.")
@unasked
def revert(session: Session, plans: Sequence[str], reason: str, *, yes: bool) -> Result[Any]:
    """Back to Strategize; what was decided is kept, marked as superseded."""
    ask = session.must_be_told(yes=yes)

    def one(plan: str) -> Result[views.PlanView]:
        if ask:
            _confirm(session, plan, "Start it over from Strategize?")
        return Result(session.call(protocol.PlanRevert(plan=plan, reason=reason)), plan_text.moved)

    return each(session, plans, one)


@make_verb(None, examples=["ca plan undo fix-types --yes"])
@some_plans
@click.option("--keep-going", is_flag=True, help="Restore the other files when some were changed since.")
@unasked
def undo(session: Session, plans: Sequence[str], *, keep_going: bool, yes: bool) -> Result[Any]:
    """Restore what Apply changed."""
    ask = session.must_be_told(yes=yes)

    def one(plan: str) -> Result[views.PlanView]:
        if ask:
            _confirm(session, plan, "Take its change out of the project again?")
        return Result(session.call(protocol.PlanUndo(plan=plan, keep_going=keep_going), timeout=None), plan_text.undone)

    return each(session, plans, one)


def _confirm(session: Session, name: str, question: str) -> None:
    plan = session.call(protocol.PlanShow(plan=name))
    session.confirm(*plan_text.status(plan, session.out.talk_look), question)


def stays_by_itself(session: Session) -> bool:
    """Whether execute and apply stay without being told: somebody watches, or the configuration says so.

    To be asked before anything is changed.
    """
    stays = session.watched or not session.setting("async.enabled")
    if stays:
        session.need_caller()
    return stays


def newest_event(session: Session, plan: str) -> int:
    """The number of the newest event, to be asked before a plan is moved: what comes after is the move's doing."""
    return session.call(protocol.Subscribe(plan=plan)).seq


def stay_with(session: Session, plan: views.PlanView, *, follow: bool, since: int = 0) -> Result[views.PlanView]:
    """Stay until nothing more happens by itself; of what was over before the event `since` nothing is printed."""
    watcher = spectator(session.out, follow=follow, since=since)
    for line in session.messages if not session.out.structured else ():
        session.say(line)
    if not session.out.structured:
        session.messages.clear()
    return outcome(session, watch(session, plan.plan_id, watcher), plan_text.settled)
