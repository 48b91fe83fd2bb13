"""What an actor is told: the text of a prompt step, and the document of a strategy."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from daemon import actions, views
from daemon.phases.commands import TAIL_LINES
from daemon.phases.context import Context
from store import damage, plans
from store.records import Failure, PlanProject
from store.states import Phase

SCHEMA_VERSION = 1
"""Of the document; it grows when a program that knows the one before would no longer understand it."""
ERRORS_BYTES = 32 * 1024
"""All errors of earlier attempts together: with the longest guidance they still leave a prompt its share of one argument."""
LONGEST_LINE = 500
"""Characters of a line of a log that are repeated."""


def step_text(context: Context, spec: actions.StepSpec) -> str:
    """The text of a prompt step: the prompt, then what must hold, what went wrong before, and what people said to it."""
    assert spec.prompt is not None, "only a prompt step has a text"
    failures = plans.failures(context.db.read, context.plan.plan_id)
    mine = [failure for failure in failures if failure.step_id == spec.id or failure.phase is Phase.APPLY]
    parts = [
        actions.render_text(spec.prompt, context.arguments).rstrip("\n"),
        _section("What must stay true", [f"- {invariant}" for invariant in context.action.invariants]),
        _section("Done when", [context.action.definition_of_done] if context.action.definition_of_done else []),
        _section("Earlier attempts", [_told(error) for error in _newest(mine)]),
        _section("Guidance", [f"- {text}" for text in context.guidance]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def strategy_document(context: Context, places: Sequence[tuple[PlanProject, Path, str]]) -> str:
    """What a strategy actor is given, as one JSON object.

    Args:
        context: The phase.
        places: Each project with the directory to look at and its base.
    """
    action, plan = context.action, context.plan
    document = {
        "schema_version": SCHEMA_VERSION,
        "plan": {
            "plan_id": plan.plan_id,
            "name": plan.name,
            "action": action.name,
            "description": action.description,
            "definition_of_done": action.definition_of_done,
            "reversions": plan.reversions,
        },
        "arguments": {name: actions.as_json(value) for name, value in context.arguments.items()},
        "projects": [
            {"name": project.project, "kind": project.kind, "path": str(path), "base": base}
            for project, path, base in places
        ],
        "invariants": action.invariants,
        "steps": [as_written(step) for step in action.steps],
        "errors": _newest(plans.failures(context.db.read, plan.plan_id)),
        "guidance": context.guidance,
    }
    return msgspec.json.format(msgspec.json.encode(document)).decode() + "\n"


def as_written(step: actions.StepSpec) -> dict[str, Any]:
    """A step with the keys that it has in a file, so that it can be printed as it was given."""
    found = _set_keys(msgspec.to_builtins(step))
    del found["kind"]
    if step.subplans is not None:
        subplans = _set_keys(found["subplans"])
        for_each = _set_keys(subplans["for_each"])
        found["subplans"] = subplans | {"for_each": for_each.get("items", for_each)}
    return found


def _set_keys(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value not in (None, False, 0, [], {})}


def _newest(failures: Sequence[Failure]) -> list[dict[str, Any]]:
    """The errors as an actor sees them, oldest first; the oldest are left out beyond a limit."""
    kept: list[dict[str, Any]] = []
    left = ERRORS_BYTES
    for failure in reversed(failures):
        error = _error(failure)
        left -= len(msgspec.json.encode(error))
        if left < 0 and kept:
            break
        kept.insert(0, error)
    return kept


def _error(failure: Failure) -> dict[str, Any]:
    error = damage.document(failure, "error_json", views.ErrorView)
    return {
        "phase": failure.phase,
        "step": failure.step_id,
        "attempt": failure.attempt,
        "code": error.code,
        "message": error.message,
        "exit_code": error.detail.get("exit_code"),
        "tail": [line[:LONGEST_LINE] for line in error.detail.get("tail", [])[-TAIL_LINES:]],
    }


def _told(error: dict[str, Any]) -> str:
    attempt = f"Attempt {error['attempt']}: " if error["attempt"] is not None else ""
    lines = [f"- {attempt}{error['message']}"]
    if error["tail"]:
        lines += ["  The last lines of its output:", *(f"    {line}" for line in error["tail"])]
    return "\n".join(lines)


def _section(title: str, lines: Sequence[str]) -> str:
    return "\n".join([f"## {title}", "", *lines]) if lines else ""
