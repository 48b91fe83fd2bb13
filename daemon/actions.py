"""Action files: the one door to reading them, binding their arguments and making commands of them.

`parse` checks everything that can be known from the file alone, so that what follows (`bind`, `render`, `order`)
meets no surprises. The parts behind the door: `documents` (YAML), `action_schema` (records), `action_reader` (checks),
`action_values` (arguments), `templates` and `shell_quotes` (placeholders).
"""

from collections.abc import Sequence

from daemon import action_reader, documents, step_order
from daemon.action_schema import (
    Action,
    Argument,
    ArgumentValue,
    CheckSpec,
    ForEach,
    Item,
    Number,
    SandboxSpec,
    StepSpec,
    SubplansSpec,
    Values,
)
from daemon.action_values import argument_environment, as_json, bind
from daemon.templates import is_bourne, render, render_text
from store import errors

__all__ = [
    "Action",
    "Argument",
    "ArgumentValue",
    "CheckSpec",
    "ForEach",
    "Item",
    "Number",
    "SandboxSpec",
    "StepSpec",
    "SubplansSpec",
    "Values",
    "argument_environment",
    "as_json",
    "bind",
    "order",
    "parse",
    "render",
    "render_text",
    "shell_argv",
]


def parse(text: str | bytes, *, source: str) -> Action:
    """The action in a YAML file.

    Args:
        text: The content of the file.
        source: Its name, for messages.

    Raises:
        InvalidActionError: the first problem, with file, line and key where known, and the nearest valid key.
    """
    return action_reader.read_action(documents.read(text, source=source), source)


def shell_argv(text: str, shell: str | None) -> list[str]:
    """The program and arguments that run `text`.

    None is `/bin/sh`. Bourne shells (sh, bash, dash, ksh, zsh, by name or path) get `-e`, so that the first command
    that fails ends the step; every other program gets the text with `-c` alone, as `python` and `fish` expect it.
    """
    return [shell or "/bin/sh", "-e", "-c", text] if is_bourne(shell) else [f"{shell}", "-c", text]


def order(steps: Sequence[StepSpec]) -> list[StepSpec]:
    """`steps` with each after all that it needs, otherwise as declared.

    Raises:
        InvalidActionError: a step needs one that is not there, or they wait for each other.
    """
    by_id = {step.id: step for step in steps}
    in_order = step_order.ordered({step.id: step.needs for step in steps})
    if len(in_order) < len(steps):
        stuck = [step.id for step in steps if step.id not in in_order]
        raise errors.InvalidActionError(
            f"these steps can never start, for what they need: {', '.join(stuck)}",
            detail={"key": "needs", "steps": stuck},
        )
    return [by_id[step_id] for step_id in in_order]
