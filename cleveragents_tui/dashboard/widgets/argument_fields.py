"""The arguments of an action as fields: what each type accepts is what the daemon accepts, in its words."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from cleveragents_tui.dashboard.widgets.fields import ChoiceField, Field, TextField, check_by
from cleveragents_tui.dashboard.widgets.path_input import PathSuggester
from daemon import action_values
from daemon.action_schema import Argument
from daemon.templates import as_text


class ArgumentValue:
    """One argument, its field, and what the field means for `plan use`."""

    def __init__(self, declared: dict[str, Any], roots: Callable[[], Sequence[Path]]) -> None:
        """`declared` is the argument as the action's view has it, `roots` where its project's files are."""
        self.argument = msgspec.convert(declared, Argument)
        self.field = _field(self.argument, roots)

    @property
    def given(self) -> str | None:
        """What is to be given for it; None when its default holds, or it has no value."""
        text = self.field.text
        if text == default(self.argument):
            return None
        return None if not text and self.argument.type != "string" else text


def key_of(name: str) -> str:
    """The key of an argument's field, which no other field of the form has."""
    return f"arg {name}"


def default(argument: Argument) -> str:
    """The default as it would be typed; empty when there is none."""
    return "" if argument.default is None else as_text(argument.default)


def _field(argument: Argument, roots: Callable[[], Sequence[Path]]) -> Field:
    key, note, value = key_of(argument.name), argument.description, default(argument)
    if argument.type in {"choice", "boolean"}:
        choices = argument.choices if argument.type == "choice" else ["true", "false"]
        unset = "" if value or argument.required else "not given"
        return ChoiceField(key, choices, value, label=argument.name, note=note, required=argument.required, unset=unset)
    paths = PathSuggester(roots) if argument.type == "path" else None
    kind = {"path": "a path in the project, tab completes", "integer": "a whole number", "number": "a number"}
    return TextField(
        key,
        value,
        label=argument.name,
        note=" · ".join(part for part in (note, kind.get(argument.type, "")) if part),
        required=argument.required and not value,
        check=check_by(lambda text: action_values.convert(argument, text)),
        suggester=paths,
    )
