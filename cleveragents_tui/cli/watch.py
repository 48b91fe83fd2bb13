"""Staying with a plan until nothing more happens to it by itself, and what that means for the exit code."""

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from cleveragents_tui import client, wording
from cleveragents_tui.cli import children_text
from cleveragents_tui.cli.progress import Spectator
from cleveragents_tui.cli.session import Session
from cleveragents_tui.cli.tables import Cell, Column, table
from cleveragents_tui.output import ErrorBody, Look, Renderer, Result
from cleveragents_tui.wording import Tone
from daemon import protocol, views
from store import errors

V = TypeVar("V")

LOOK_SECONDS = 0.1
"""A plan whose events come in a flood is looked at no more often than this."""
RECONNECT_SECONDS = 10.0
"""How long a command that waits goes on looking for a daemon that went away, in case it is being restarted."""
CRASH_SECONDS = 0.5
"""How long a daemon that ends in order may need between its last connection and the removal of its PID file."""
TIMED_OUT = 124

EXIT_CODES = {"errored": 1, "constrained": 4, "cancelled": 6}
"""How a wait ends when the plan did not end well; every other state is 0."""


def watch(session: Session, plan_id: str, spectator: Spectator, timeout: float | None = None) -> views.PlanView:
    """Show a plan to a spectator until nothing more happens to it by itself.

    Raises:
        TimedOutError: it takes longer than `timeout` seconds.
        ConnectionLostError: the daemon went away and did not come back.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        return staying_connected(
            session, lambda connection: _watch(connection, plan_id, spectator, deadline), f"ca plan wait {plan_id}"
        )
    except KeyboardInterrupt:
        spectator.end()
        session.out.talk(
            "", f"Stopped watching; the plan goes on. Stop it with: ca plan cancel {_name(session, plan_id)}"
        )
        raise


def staying_connected(session: Session, work: Callable[[client.Client], V], again: str) -> V:
    """Do something on a connection of its own, and again from its beginning when the daemon is replaced meanwhile.

    Raises:
        ConnectionLostError: the daemon went away and did not come back; `again` is the command that helps then.
    """
    connection = session.connect()
    try:
        while True:
            try:
                return work(connection)
            except client.ConnectionLostError as error:
                connection.close()
                connection = reconnect(session, error, again)
    finally:
        connection.close()


def to_its_end(session: Session, request: protocol.Request[V], again: str) -> V:
    """The answer to a request that may be repeated, however long it takes, from whichever daemon gives it."""

    def ask(connection: client.Client) -> V:
        answer = connection.call(request, timeout=None)
        session.collect(connection)
        return answer

    return staying_connected(session, ask, again)


def _watch(connection: client.Client, plan_id: str, spectator: Spectator, deadline: float | None) -> views.PlanView:
    connection.subscribe(since=spectator.seq, plan=plan_id, tree=spectator.tree)
    left = None if deadline is None else max(0.0, deadline - time.monotonic())
    waiting = connection.ask(protocol.PlanWait(plan=plan_id, timeout=left))
    _look(connection, plan_id, spectator)
    looked_at, stale = time.monotonic(), False
    while not waiting.ready:
        connection.receive(LOOK_SECONDS if stale else spectator.interval)
        stale = _hear(connection, spectator) or stale
        if stale and time.monotonic() - looked_at >= LOOK_SECONDS and not waiting.ready:
            _look(connection, plan_id, spectator)
            looked_at, stale = time.monotonic(), False
        spectator.tick()
    plan = waiting.result()
    _hear(connection, spectator)
    spectator.show(plan)
    spectator.end()
    return plan


def _look(connection: client.Client, plan_id: str, spectator: Spectator) -> None:
    plan, running = connection.call(protocol.PlanShow(plan=plan_id)), list[views.PlanView]()
    if plan.children.processing and spectator.rows:
        request = protocol.PlanList(parent=plan_id, state="processing", limit=spectator.rows)
        running = connection.call(request).plans
    spectator.show(plan, running)


def _hear(connection: client.Client, spectator: Spectator) -> bool:
    """Tell what happened; whether anything did."""
    events = connection.events()
    spectator.hear(events)
    spectator.seq = connection.last_seq
    return bool(events)


def reconnect(session: Session, error: client.ConnectionLostError, again: str) -> client.Client:
    """A new connection: to the daemon that comes back by itself, or, after a crash, to one that we start.

    A daemon that was told to stop takes its PID file with it, and a waiting command does not start what somebody stopped.
    """
    lost_at = time.monotonic()
    while (waited := time.monotonic() - lost_at) < RECONNECT_SECONDS:
        with contextlib.suppress(client.ConnectionLostError):
            try:
                return client.connect(session.paths.socket)
            except client.NoDaemonError:
                if waited > CRASH_SECONDS and session.paths.pid_file.exists():
                    return session.connect()
        time.sleep(0.05)
    raise client.ConnectionLostError(
        "the daemon went away while this command waited; running steps go on, and the next daemon adopts them",
        suggestions=["ca daemon start", again],
    ) from error


def _name(session: Session, plan_id: str) -> str:
    try:
        return session.call(protocol.PlanShow(plan=plan_id)).name
    except errors.CleverAgentsError:
        return plan_id


def outcome(session: Session, plan: views.PlanView, render: Renderer[views.PlanView]) -> Result[views.PlanView]:
    """What a command that waited for a plan says, and with which exit code."""
    code = EXIT_CODES.get(plan.state, 0)
    if code == 0:
        return Result(plan, render)
    why = session.call(protocol.PlanErrors(plan=plan.plan_id))
    return Result(plan, partial(_ended_badly, why=why), exit_code=code, error=error_of(plan))


def timed_out(error: errors.TimedOutError, plan: str) -> Result[None]:
    """What a wait that reached its own deadline says."""
    body = ErrorBody(error.code, error.message, error.detail, error.suggestions or [f"ca plan wait {plan}"])
    return Result(None, None, exit_code=TIMED_OUT, error=body)


def error_of(plan: views.PlanView) -> ErrorBody:
    """Why a plan ended as it did, for the envelope."""
    error = plan.error or views.ErrorView(plan.state, f"the plan is {wording.position(plan)}", None, {})
    where = {"plan_id": plan.plan_id, "plan": plan.name, "phase": plan.phase, "state": plan.state, "step": error.step}
    return ErrorBody(error.code, error.message, {**where, **error.detail}, plan.next)


def _ended_badly(plan: views.PlanView, look: Look, *, why: views.PlanErrorsView) -> Iterable[str]:
    sign = ("⊘", Tone.WAITING) if plan.state == "cancelled" else ("✘", Tone.FAILED)
    yield f"{look.paint(sign[0], sign[1], bold=True)} {look.bold(plan.name)}: {_headline(plan)}"
    yield from children_text.summary(plan, look)
    yield from failure_lines(plan, why, look)


def _headline(plan: views.PlanView) -> str:
    if plan.state == "cancelled":
        reason = plan.error.message if plan.error is not None else ""
        return wording.plain(f"cancelled{f': {reason}' if reason else ''}")
    if plan.error is None:
        return wording.position(plan)
    return wording.plain(wording.error_note(plan.error))


def failure_lines(plan: views.PlanView, why: views.PlanErrorsView, look: Look) -> Iterable[str]:
    """Below the headline: the rest of the message, the files in conflict, the last lines of the log, and how to go on."""
    if plan.error is not None:
        for line in plan.error.message.strip().split("\n")[1:]:
            yield f"    {wording.plain(line)}"
        several = len(plan.projects) > 1
        rows = [
            [Cell("✘", Tone.FAILED), *children_text.file_cells(file, several=several)]
            for file in wording.files_of(plan.error)
        ]
        yield from table(look, children_text.CONFLICT, rows, heading=False, indent=4)
        if not why.steps:  # a check, or the setup of a sandbox
            yield from _tail(plan.error.detail.get("tail") or [], look)
    for step in why.steps:
        if plan.error is None or step.id != plan.error.step:
            yield f"  {look.dim(f'step {step.id}, attempt {step.attempt}')}"
        yield from _tail(step.tail, look)
        if step.log and not Path(step.log).is_file():
            yield f"    {look.dim(f'its log is gone: {wording.plain(step.log)}')}"
    yield from children_text.failures(why.children, look)
    yield from table(
        look, (Column(), Column(), Column(minimum=10, drop=1)), _ways_on(plan, why, look), heading=False, indent=2
    )


def _tail(lines: Sequence[str], look: Look) -> Iterable[str]:
    return (f"    {wording.cut(wording.plain(line), look.width - 4)}" for line in lines)


def _ways_on(plan: views.PlanView, why: views.PlanErrorsView, look: Look) -> list[list[str]]:
    readable = [step for step in why.steps if step.log and Path(step.log).is_file()]
    rows = [["full log", f"ca plan logs {plan.name} --step {step.id}", ""] for step in readable]
    detail = plan.error.detail if plan.error is not None else {}
    if not why.steps and detail.get("log"):
        rows.append(["full log", f"ca job logs {plan.job_id}", ""])
    rows += [
        ["first", hint, ""] for hint in detail.get("suggestions", []) if not hint.startswith(("ca plan ", "read "))
    ]
    kept = wording.finished_steps(plan.steps)
    for command in why.next:
        verb = command.split(" ")[2] if command.startswith("ca plan ") else ""
        label, note = _WORDS.get(verb, ("", ""))
        if label:
            if verb == "execute" and plan.phase == "execute" and (kept or why.children):
                ended = any(child["code"] == "cancelled" for child in detail.get("children", []))
                note = _execute_note(kept, len(why.children), ended=ended)
            rows.append([label, command, look.dim(note) if note else ""])
    return rows


def _execute_note(kept: int, failed: int, *, ended: bool) -> str:
    """What `plan execute` would do; `ended` says whether children were cancelled when others failed."""
    parts = [f"keeps {wording.count(kept, 'finished step')}"] if kept else []
    others = " and what was ended early" if ended else ""
    parts += [f"runs {wording.count(failed, 'failed child', 'failed children')} again{others}"] if failed else []
    return f"({', '.join(parts)})"


_WORDS = {
    "conflicts": ("look at them", ""),
    "resolve": ("settle each", ""),
    "execute": ("go on", ""),
    "apply": ("try again", "(once the cause is gone)"),
    "prompt": ("with a word of advice", ""),
    "rollback": ("go back", "(keeps what was done since under a ref)"),
    "revert": ("start over", ""),
    "cancel": ("give up", ""),
}
