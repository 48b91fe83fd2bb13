"""The items of a `subplans` step: written down, found among the names in the base, or printed by a command."""

import asyncio
import bisect
import os
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from daemon import actions, step_order
from daemon.action_schema import Action, ForEach, Item, StepSpec
from daemon.action_values import MAX_VALUE_BYTES, ValueRefused, relative_path
from store import errors

MAX_ITEMS = 1_000
"""Of one step."""
MAX_OUTPUT = 1 << 20
"""Bytes that a command may print."""
RUN_SECONDS = 60.0
"""How long a command may take whose step has no timeout."""
NAMED = 100
"""Characters of an item that a message repeats."""

_LITERAL = re.compile(r"[^][*?{}()|!\\]*")


class ItemCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A command that prints items.

    Attributes:
        step_id: The step that asks.
        argv: The program and its arguments.
        variables: On top of the environment in which the plan was made.
        include: Ignored files that it finds beside those of the base.
        seconds: How long it may take.
    """

    step_id: str
    argv: list[str]
    variables: dict[str, str]
    include: list[str]
    seconds: float


class Printed(msgspec.Struct, frozen=True, kw_only=True):
    """What a command came to; `code` is None when nobody saw its end, `tail` the last lines of what it said."""

    code: int | None
    timed_out: bool
    output: bytes
    tail: list[str]


class Look(Protocol):
    """How the base of a project is looked at."""

    async def names(self, project: str) -> Sequence[str]:
        """Every file and directory in it, sorted; directories end with a slash, bytes that are not UTF-8 are surrogates."""
        ...

    async def run(self, project: str, command: ItemCommand) -> Printed:
        """Run a command in a checkout that is thrown away."""
        ...


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """A step that wants its items.

    Attributes:
        told: What messages call it.
        action: Whose step it is.
        arguments: The values of the action's arguments.
        item: What its plan is for; empty for a root plan.
        project: In whose base to look.
    """

    told: str
    action: Action
    arguments: Mapping[str, object]
    item: str
    project: str


async def find(step: StepSpec, asking: Asking, look: Look) -> list[Item]:
    """The items of a step, each after those that it needs; there may be none.

    Raises:
        InvalidActionError: an item cannot be one, or there are too many.
        StepFailedError, TimedOutError, LostError: the command that prints them did not end well.
        CleverAgentsError: the base cannot be looked at.
    """
    assert step.subplans is not None, "only such a step has items"
    source = step.subplans.for_each
    if source.items is not None:
        return _in_order(_checked(source.items, asking))
    texts = await _globbed(source, asking, look) if source.glob is not None else await _printed(step, asking, look)
    return _checked([Item(item=text) for text in texts], asking)


def _in_order(items: Sequence[Item]) -> list[Item]:
    by_text = {item.item: item for item in items}
    return [by_text[text] for text in step_order.ordered({item.item: item.needs for item in items})]


def _checked(items: Sequence[Item], asking: Asking) -> list[Item]:
    if len(items) > MAX_ITEMS:
        reason = f"has {len(items):,} items, and {MAX_ITEMS:,} is the limit"
        raise _refused(asking, reason, "name fewer at a time, or let children have children of their own")
    seen: set[str] = set()
    for item in items:
        reason = "comes twice" if item.item in seen else _unfit(item.item)
        if reason is not None:
            raise _refused(asking, f"has an item that {reason}: {shown(item.item)}", item=shown(item.item))
        seen.add(item.item)
    return list(items)


def _unfit(text: str) -> str | None:
    """Why this cannot be an item, in words that follow "an item that"."""
    if not text.strip():
        return "is empty"
    if "\0" in text:
        return "has a NUL character"
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        return "is not UTF-8"
    if len(text.encode()) > MAX_VALUE_BYTES:
        return f"is longer than {MAX_VALUE_BYTES:,} bytes"
    return None


def shown(text: str) -> str:
    """An item as messages repeat it, in quotes; a long one is cut."""
    return repr(text if len(text) <= NAMED else f"{text[:NAMED]}…")


async def _globbed(source: ForEach, asking: Asking, look: Look) -> list[str]:
    assert source.glob is not None, "the caller looked"
    names = await look.names(asking.project)
    return await asyncio.to_thread(_matching, _pattern(source.glob, asking), names, asking)


def _pattern(template: str, asking: Asking) -> str:
    from wcmatch import glob  # noqa: PLC0415  most daemons never see a glob

    literal = {argument.name for argument in asking.action.arguments if argument.type == "path"}
    values = {
        name: glob.escape(value) if name in literal and isinstance(value, str) else value
        for name, value in asking.arguments.items()
    }
    pattern = actions.render_text(template, values)
    try:
        relative_path(pattern)
    except ValueRefused as error:
        raise _refused(asking, f"has a glob that cannot be used: it {error}") from error
    return posixpath.normpath(pattern) + "/" * pattern.endswith("/")


def _matching(pattern: str, names: Sequence[str], asking: Asking) -> list[str]:
    from wcmatch import glob  # noqa: PLC0415  as above

    try:
        matcher = glob.compile(pattern, flags=glob.GLOBSTAR | glob.BRACE | glob.CASE | glob.FORCEUNIX)
    except Exception as error:
        # the library has no public class for a pattern that stands for too many
        raise _refused(asking, f"has a glob that cannot be used: {pattern!r}: {error}") from error
    start = _LITERAL.match(pattern)
    below = start[0].rpartition("/")[0] if start else ""
    first, last = (bisect.bisect_left(names, edge) for edge in (below, f"{below}0")) if below else (0, len(names))
    return sorted({name.rstrip("/") for name in names[first:last] if matcher.match(name)})


async def _printed(step: StepSpec, asking: Asking, look: Look) -> list[str]:
    assert step.subplans is not None, "the caller looked"
    assert step.subplans.for_each.run is not None, "the other two sources were looked at first"
    action = asking.action
    command = ItemCommand(
        step_id=step.id,
        argv=actions.shell_argv(actions.render(step.subplans.for_each.run, asking.arguments), action.shell),
        variables={
            **actions.argument_environment(asking.arguments),
            "CA_STEP_ID": step.id,
            "CA_ITEM": asking.item,
            **action.env,
        },
        include=action.sandbox.include,
        seconds=RUN_SECONDS if step.timeout is None else step.timeout,
    )
    printed = await look.run(asking.project, command)
    if printed.code != 0 or printed.timed_out:
        raise _failure(command, printed, asking)
    return _lines(printed.output, asking)


def _lines(output: bytes, asking: Asking) -> list[str]:
    if len(output) > MAX_OUTPUT:
        raise _refused(asking, f"has a command for its items that prints more than {MAX_OUTPUT:,} bytes")
    lines = output.split(b"\n")
    for number, line in enumerate(lines, 1):
        try:
            line.decode()
        except UnicodeDecodeError as error:
            told = line.decode(errors="backslashreplace")
            reason = f"has a command for its items that does not print UTF-8 in line {number}: {shown(told)}"
            raise _refused(asking, reason) from error
    return [text for line in lines if (text := line.decode().removesuffix("\r")).strip()]


def _failure(command: ItemCommand, printed: Printed, asking: Asking) -> errors.CleverAgentsError:
    said = "".join(f"\n  {line}" for line in printed.tail)
    detail = {"command": command.argv[-1], "exit_code": printed.code, "tail": printed.tail}
    begin = f"the command for the items of {asking.told}"
    if printed.timed_out:
        return errors.TimedOutError(
            f"{begin} did not end within {command.seconds:g} s{':' if said else ''}{said}",
            detail=detail,
            suggestions=["give the step a longer timeout"],
        )
    if printed.code is None:
        return errors.LostError(f"{begin} is lost: its process ended and left no exit code", detail=detail)
    return errors.StepFailedError(
        f"{begin} failed: exit {printed.code}{':' if said else ''}{said}",
        detail=detail,
        suggestions=["remove the cause, or correct the command", f"ca action show {asking.action.name}"],
    )


def _refused(asking: Asking, reason: str, *suggestions: str, **detail: object) -> errors.InvalidActionError:
    return errors.InvalidActionError(
        f"{asking.told} {reason}",
        detail={"action": asking.action.name, "key": "for_each", **detail},
        suggestions=[*suggestions, f"ca action show {asking.action.name}"],
    )


def directories(files: Iterable[str]) -> set[str]:
    """The directories that hold these files, each with a slash at its end."""
    found: set[str] = set()
    for name in files:
        above = os.path.dirname(name)  # noqa: PTH120  names in a tree, not paths of this system
        while above and f"{above}/" not in found:
            found.add(f"{above}/")
            above = os.path.dirname(above)  # noqa: PTH120  as above
    return found
