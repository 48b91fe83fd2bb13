"""What the next attempt of a step runs: a command for the shell, or the program of the execution actor."""

from pathlib import Path

import msgspec

from daemon import actions, actors, lookup, processes
from daemon.phases import commands, prompts
from daemon.phases.context import Context, first, sandbox_path
from store import damage, errors
from store.records import Step

LONGEST_PAUSE = 60.0
"""Seconds between two attempts at most; it begins with one and doubles."""


class Attempt(msgspec.Struct, frozen=True):
    """What the next attempt of a step runs, and its deadline in seconds."""

    step: Step
    command: processes.Command
    seconds: float | None


def pause(attempt: int) -> float:
    """Seconds before the next attempt, after so many."""
    return min(LONGEST_PAUSE, 2.0 ** (attempt - 1))


def spec(step: Step) -> actions.StepSpec:
    """What the step was declared to be."""
    return damage.document(step, "spec_json", actions.StepSpec)


def prepare(context: Context, step: Step) -> Attempt:
    """The next attempt of a step; nothing of it runs yet.

    Raises:
        CleverAgentsError: it cannot be run, such as when its actor is gone; the step is in the detail.
    """
    given = spec(step)
    try:
        return _of_prompt(context, step, given) if given.prompt is not None else _of_command(context, step, given)
    except errors.CleverAgentsError as error:
        error.detail["step"] = step.step_id
        raise


def _of_command(context: Context, step: Step, given: actions.StepSpec) -> Attempt:
    assert given.run is not None, "Strategize refused the others"
    argv = actions.shell_argv(actions.render(given.run, context.arguments), given.shell or context.action.shell)
    return Attempt(step, _command(context, step, given, argv, given.env), given.timeout)


def _of_prompt(context: Context, step: Step, given: actions.StepSpec) -> Attempt:
    """The actor is looked up now: one that was repaired since works at the next attempt."""
    actor = actors.parsed(lookup.actor(context.db.read, context.action.execution_actor))
    text = prompts.step_text(context, given)
    kept = _log(context, step).with_suffix(".prompt")
    commands.keep_text(kept, text)
    command = _command(context, step, given, actor.argv(text), actor.env, given.env)
    if not actor.takes_argument:
        command = msgspec.structs.replace(command, stdin=kept)
    return Attempt(step, command, actor.timeout if given.timeout is None else given.timeout)


def _command(
    context: Context, step: Step, given: actions.StepSpec, argv: list[str], *layers: dict[str, str]
) -> processes.Command:
    project = first(context.projects, given.project)
    path = sandbox_path(context.services.paths, project)
    log = _log(context, step)
    return processes.Command(
        argv=argv,
        cwd=path,
        environment={**context.variables(project, path, *layers), "CA_STEP_ID": step.step_id},
        umask=context.plan.umask,
        log=log,
        exit_file=log.with_suffix(".exit"),
    )


def _log(context: Context, step: Step) -> Path:
    return context.services.paths.jobs / context.claim.job.job_id / f"{step.step_id}.{step.attempt + 1}.log"
