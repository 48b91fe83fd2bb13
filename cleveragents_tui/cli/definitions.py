"""The keys of a definition file, as people read them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from cleveragents_tui import wording
from cleveragents_tui.cli.tables import Cell, Column, table
from cleveragents_tui.output import Look
from cleveragents_tui.wording import Tone


def arguments_lines(arguments: Sequence[Mapping[str, Any]], look: Look) -> Iterable[str]:
    """Arguments: name, type, whether it must be given, what it is for."""
    if not arguments:
        return
    yield look.dim("arguments")
    layout = (Column(), Column(), Column(minimum=10), Column(minimum=10, drop=1))
    yield from table(look, layout, [_argument(argument) for argument in arguments], heading=False, indent=2)


def steps_lines(heading: str, steps: Sequence[Mapping[str, Any]], look: Look) -> Iterable[str]:
    """Steps or checks: id, what it does, what it needs."""
    if not steps:
        return
    yield look.dim(heading)
    layout = (Column(), Column(minimum=16), Column(minimum=8, drop=1))
    yield from table(look, layout, [_step(step) for step in steps], heading=False, indent=2)


def _argument(argument: Mapping[str, Any]) -> list[Cell | str]:
    given = "required" if argument.get("required") else shown(argument.get("default"))
    return [
        Cell(str(argument.get("name", "")), bold=True),
        shown(argument.get("choices")) or str(argument.get("type", "string")),
        given if argument.get("required") else f"default {given}" if given else "",
        Cell(str(argument.get("description") or ""), Tone.WAITING),
    ]


def _step(step: Mapping[str, Any]) -> list[Cell | str]:
    what = step.get("run") or step.get("prompt") or _subplans(step.get("subplans"))
    needs: list[str] = step.get("needs") or []
    return [
        Cell(str(step.get("id") or step.get("name") or ""), bold=True),
        wording.plain(str(what)).replace("\n", " ⏎ ").strip(),
        Cell(f"after {', '.join(needs)}" if needs else "", Tone.WAITING),
    ]


def _subplans(subplans: Mapping[str, Any] | None) -> str:
    return f"plans of {subplans.get('action', '')}" if subplans else ""


def shown(value: Any) -> str:
    """A value of a definition in one line; nothing for what is empty or off."""
    match value:
        case None | "" | [] | {}:
            return ""
        case bool():
            return "yes" if value else ""
        case list():
            return ", ".join(str(item) for item in cast("list[object]", value))
        case dict():
            return ", ".join(f"{key}={item}" for key, item in cast("dict[str, object]", value).items())
        case _:
            return str(value)
