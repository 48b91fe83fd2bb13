"""The strategy actor: what it is given, where it runs, what becomes of its answer."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec

from daemon import actors, processes, sandboxes, snapshots, strategy_reader
from daemon.phases import commands, prompts
from daemon.phases.context import Context, sandbox_path
from daemon.strategy_reader import Strategy
from store import errors
from store.records import PlanProject

STEP_ID = "strategize"
"""What the strategy actor's process is called in its environment."""


class Base(msgspec.Struct, frozen=True):
    """A project with the commit that its plan starts from, and what of it no sandbox gets."""

    project: PlanProject
    snapshot: snapshots.Snapshot
    uncarried: list[snapshots.Uncarried]


async def end_earlier(context: Context) -> None:
    """End the strategy actor that an earlier daemon left."""
    await commands.end_earlier(context, _directory(context), STEP_ID)


async def ask(context: Context, actor: actors.Actor, bases: Sequence[Base]) -> Strategy:
    """What the strategy actor answers. It works in sandboxes of its own: nothing that it writes enters the plan.

    Raises:
        CleverAgentsError: it failed (`step_failed`, `timed_out`, `lost`), or its answer cannot be used (`invalid_action`).
    """
    log = _directory(context) / f"{STEP_ID}.{context.claim.job.attempt}.log"
    try:
        places = [(base.project, await _place(context, base), base.snapshot.commit) for base in bases]
        return await _answer(context, actor, places, log)
    finally:
        for base in bases:
            await asyncio.to_thread(_clear, context, base)


def _directory(context: Context) -> Path:
    return context.services.paths.jobs / context.claim.job.job_id


async def _place(context: Context, base: Base) -> Path:
    path = sandbox_path(context.services.paths, base.project)
    if base.project.strategy == "clone":
        await asyncio.to_thread(_clear, context, base)  # an earlier daemon may have left one
        repository, include = context.repository_of(base.project), context.action.sandbox.include
        commit = base.snapshot.commit
        await context.blocking(sandboxes.create, repository, base.project.plan_id, path, commit, include=include)
    return path


def _clear(context: Context, base: Base) -> None:
    """Remove the actor's sandbox; it is put back to its base first, so that nothing of it is kept as if it were work."""
    if base.project.strategy != "clone":
        return
    repository, path = context.repository_of(base.project), sandbox_path(context.services.paths, base.project)
    if path.is_dir():
        sandboxes.restore(repository, base.project.plan_id, path, base.snapshot.commit, discard=True)
    sandboxes.remove(repository, base.project.plan_id, path)


async def _answer(
    context: Context, actor: actors.Actor, places: Sequence[tuple[PlanProject, Path, str]], log: Path
) -> Strategy:
    text = prompts.strategy_document(context, places)
    given, answer = log.with_suffix(".prompt"), log.with_suffix(".answer")
    commands.keep_text(given, text)
    project, path, _ = places[0]
    command = processes.Command(
        argv=actor.argv(text),
        cwd=path,
        environment={**context.variables(project, path, actor.env), "CA_STEP_ID": STEP_ID},
        umask=context.plan.umask,
        log=log,
        exit_file=log.with_suffix(".exit"),
        stdin=None if actor.takes_argument else given,
        output=answer,
    )
    result = await commands.run_anew(context, command, seconds=actor.timeout)
    if result.code != 0 or result.timed_out:
        raise _failure(context, actor, result, log)
    try:
        with answer.open("rb") as file:
            return strategy_reader.read(file.read(strategy_reader.MAX_BYTES + 1), context.action)
    except errors.InvalidActionError as error:
        error.suggestions = [f"read {answer}", f"ca plan execute {context.plan.name}"]
        raise


def _failure(context: Context, actor: actors.Actor, result: commands.Result, log: Path) -> errors.CleverAgentsError:
    detail = {"actor": actor.name, "exit_code": result.code, "log": str(log), "tail": commands.tail(log)}
    suggestions = [f"read {log}", f"ca plan execute {context.plan.name}"]
    if result.timed_out:
        text = f"the strategy actor {actor.name} did not end within {actor.timeout:g} s"
        return errors.TimedOutError(text, detail=detail, suggestions=suggestions)
    if result.code is None:
        text = f"the strategy actor {actor.name} is lost: its process ended and left no exit code"
        return errors.LostError(text, detail=detail, suggestions=suggestions)
    text = f"the strategy actor {actor.name} failed: exit {result.code}"
    return errors.StepFailedError(text, detail=detail, suggestions=suggestions)
