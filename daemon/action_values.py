"""The values of an action's arguments: what each type accepts, from a command line or as a default in the file."""

import math
import re
from collections.abc import Mapping, Sequence

from daemon.action_schema import Action, Argument, ArgumentValue, Number, Values
from daemon.templates import as_text, environment_name, is_plain
from store import errors, names

MAX_VALUE_BYTES = 65_536
"""Linux takes at most 131,072 bytes for one argument or variable; quotes and a name need their share."""

_INTEGER = re.compile(r"[-+]?[0-9]{1,18}", re.ASCII)
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


class ValueRefused(ValueError):  # noqa: N818  never leaves this package: it becomes the error of a file or of a command
    """Why a text is not a value of its argument's type, in words that follow the argument's name."""


def bind(action: Action, given: Mapping[str, str]) -> Values:
    """The value of every argument of `action`: given, or its default; an optional one with neither is None.

    Raises:
        InvalidArgumentError: one is unknown, missing, or does not fit its type.
    """
    declared = {argument.name: argument for argument in action.arguments}
    for name in given:
        if name not in declared:
            raise _unknown(action, name, list(declared))
    return {argument.name: _bound(action, argument, given.get(argument.name)) for argument in action.arguments}


def argument_environment(values: Mapping[str, object]) -> dict[str, str]:
    """`CA_ARG_NAME` with the raw value of each argument that has one."""
    return {environment_name(name): as_text(value) for name, value in values.items() if value is not None}


def as_json(value: object) -> object:
    """A value as programs get it in a document."""
    return value.value if isinstance(value, Number) else value


def convert(argument: Argument, text: str) -> ArgumentValue:
    """`text` as a value of the argument's type.

    Raises:
        ValueRefused: it is none.
    """
    if "\0" in text:
        raise ValueRefused("must not contain a NUL character")
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_VALUE_BYTES:
        raise ValueRefused(f"has {size:,} bytes, and {MAX_VALUE_BYTES:,} is the limit")
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise ValueRefused("must be UTF-8")
    match argument.type:
        case "integer":
            return _integer(text)
        case "number":
            return _number(text)
        case "boolean":
            return _boolean(text)
        case "path":
            return relative_path(text)
        case "choice":
            return _choice(text, argument.choices)
        case _:
            return text


def known(arguments: Sequence[Argument]) -> dict[str, bool]:
    """The names of arguments, and of each whether its values are plain, as `templates.check` wants to know it."""
    return {argument.name: _is_plain(argument) for argument in arguments}


def _is_plain(argument: Argument) -> bool:
    if argument.type == "choice":
        return all(is_plain(choice) for choice in argument.choices)
    return argument.type in {"integer", "number", "boolean"}


def relative_path(text: str) -> str:
    """`text` when it is a path that stays inside the project.

    Raises:
        ValueRefused: it is absolute, empty, or has a `..` in it.
    """
    if not text:
        raise ValueRefused("must not be empty; write . for the whole project")
    if text.startswith(("/", "~")):
        raise ValueRefused(f"must be a path relative to the project, not {text!r}")
    if ".." in text.split("/"):
        raise ValueRefused(f"must stay inside the project: {text!r} has a '..' in it")
    return text


def _bound(action: Action, argument: Argument, given: str | None) -> ArgumentValue | None:
    if given is not None:
        try:
            return convert(argument, given)
        except ValueRefused as error:
            raise _refusal(action, argument.name, f"{error}", value=given[:200], type=argument.type) from error
    if argument.default is None and argument.required:
        described = f" ({argument.description})" if argument.description else ""
        raise _refusal(action, argument.name, f"is required{described}", value=None, type=argument.type)
    return argument.default


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise ValueRefused(f"must be a whole number of at most 18 digits, such as 3, not {text[:60]!r}")
    return int(text)


def _number(text: str) -> Number:
    if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        raise ValueRefused(f"must be a number, such as 0.5, not {text[:60]!r}")
    return Number(text)


def _boolean(text: str) -> bool:
    if text.lower() not in _BOOLEANS:
        raise ValueRefused(f"must be true or false, not {text[:60]!r}")
    return _BOOLEANS[text.lower()]


def _choice(text: str, choices: Sequence[str]) -> str:
    if text not in choices:
        near = names.nearest(text, choices)
        hint = f"; did you mean {near!r}?" if near else ""
        raise ValueRefused(f"must be one of {', '.join(choices)}, not {text[:60]!r}{hint}")
    return text


def _refusal(action: Action, name: str, reason: str, **detail: object) -> errors.InvalidArgumentError:
    return errors.InvalidArgumentError(
        f"the argument {name!r} of {action.name} {reason}",
        detail={"action": action.name, "argument": name, **detail},
        suggestions=[f"ca action show {action.name}"],
    )


def _unknown(action: Action, name: str, declared: Sequence[str]) -> errors.InvalidArgumentError:
    near = names.nearest(name, declared)
    if not declared:
        hint = "it has no arguments"
    else:
        hint = f"did you mean {near!r}?" if near else f"its arguments are {', '.join(declared)}"
    return _refusal(action, name, f"does not exist; {hint}", nearest=near)
