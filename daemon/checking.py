"""What can be known of an action before anything of it runs: its actors are there, its steps can be carried out."""

import os
import shutil
from collections.abc import Collection, Mapping, Sequence

from daemon import actions, actors, lookup
from store import errors
from store.database import Reader


def check_actors(db: Reader, action: actions.Action, environment: Mapping[str, str]) -> actors.Actor | None:
    """That the actors are registered and their programs are there; returns the strategy actor, unless it is our own.

    Raises:
        InvalidActionError, NotFoundError: one is not; it is named.
    """
    decider, worker = action.strategy_actor, action.execution_actor
    _refuse_as(action, "strategy_actor", decider, actors.SHELL, actors.STEPS)
    _refuse_as(action, "execution_actor", worker, actors.STEPS, actors.SHELL)
    if worker != actors.SHELL:
        _check_actor(db, action, worker, environment)
    return None if decider == actors.STEPS else _check_actor(db, action, decider, environment)


def _refuse_as(action: actions.Action, key: str, actor: str, wrong: str, right: str) -> None:
    if actor == wrong:
        raise errors.InvalidActionError(
            f"{action.name} names {wrong} as {key}, which it cannot be; leave the key out for {right}",
            detail={"key": key, "actor": actor},
            suggestions=[f"{key}: {right}", "ca actor list", *_anew(action)],
        )


def _anew(action: actions.Action) -> list[str]:
    """How to go on once the action is corrected: its plans keep it as it was."""
    return ["ca action create FILE --update", f"use it again, for a plan keeps its action: ca plan use {action.name} …"]


def _check_actor(db: Reader, action: actions.Action, name: str, environment: Mapping[str, str]) -> actors.Actor:
    actor = actors.parsed(lookup.actor(db, name))
    actors.check_program(actor, {**environment, **action.env, **actor.env})
    return actor


def check_steps(
    action: actions.Action,
    steps: Sequence[actions.StepSpec],
    *,
    projects: Collection[str],
    environment: Mapping[str, str],
) -> None:
    """That the steps can be carried out on these projects, in this environment.

    Raises:
        InvalidActionError: one cannot; it is named.
        NotFoundError: a shell is not on PATH.
    """
    for step in steps:
        if step.kind == "prompt" and action.execution_actor == actors.SHELL:
            raise errors.InvalidActionError(
                f"step {step.id} of {action.name} is a prompt, and {actors.SHELL} cannot carry one out; "
                "name an actor in the action (execution_actor: NAME), or describe the step as a command (run: …)",
                detail={"step": step.id, "kind": step.kind},
                suggestions=["ca actor list", "ca actor create FILE", *_anew(action)],
            )
        if step.project is not None and step.project not in projects:
            raise errors.InvalidActionError(
                f"step {step.id} of {action.name} runs in {step.project}, which is not a project of this plan "
                f"({', '.join(sorted(projects))})",
                detail={"step": step.id, "project": step.project},
                suggestions=[
                    f"use {action.name} on {step.project} too: ca plan use ACTION PROJECT {step.project}",
                    *_anew(action),
                ],
            )
    _check_shells(action, steps, environment)


def _check_shells(action: actions.Action, steps: Sequence[actions.StepSpec], environment: Mapping[str, str]) -> None:
    path = {**environment, **action.env}.get("PATH", os.defpath)
    for shell in {step.shell or action.shell for step in steps if _needs_shell(step)}:
        if shutil.which(shell or "/bin/sh", path=path) is None:
            raise errors.NotFoundError(
                f"the shell {shell!r} of {action.name} is not on PATH",
                detail={"program": shell},
                suggestions=[f"install {shell}, or change PATH where you run `ca plan use`"],
            )


def _needs_shell(step: actions.StepSpec) -> bool:
    return step.kind == "run" or (step.subplans is not None and step.subplans.for_each.run is not None)
