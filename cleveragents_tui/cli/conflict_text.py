"""Conflicts as people read them: the list, the versions of one file, and what was chosen."""

import difflib
import shlex
from collections.abc import Iterable, Sequence

from cleveragents_tui import wording
from cleveragents_tui.cli import diff_text
from cleveragents_tui.cli.tables import Cell, Column, pairs, table
from cleveragents_tui.output import Look
from cleveragents_tui.wording import Mood, Tone
from daemon import views

_TAKEN = {"parent": "parent's", "child": "child's", "base": "base's", "edited": "edited", "file": "your file"}
_MODES = {"100755": "executable", "120000": "symlink", "160000": "submodule"}
_LAYOUT = (Column(), Column(minimum=12), Column(minimum=7), Column(), Column(drop=1))


def listed(found: views.PlanConflictsView, look: Look, *, plan: views.PlanView) -> Iterable[str]:
    """Every conflict in a line, and what to do about them."""
    if not found.conflicts:
        yield f"{look.mood(Mood.DONE)} {look.bold(plan.name)} has no conflicts"
        return
    open_ones = [one for one in found.conflicts if one.status == "open"]
    one = found.conflicts[0]
    files = wording.count(len(found.conflicts), "file")
    mood = Mood.NEEDS_YOU if open_ones else Mood.DONE
    into = wording.short_name(one.project) if _is_of_apply(one) else plan.name
    yield f"{look.mood(mood)} {look.bold(_child(one))} does not fit into {into}: {files}, {len(open_ones)} open"
    yield from table(look, _LAYOUT, [_row(one, plan) for one in found.conflicts], heading=False, indent=2)
    places = [("edit in", directory) for directory in found.checkouts.values()]
    yield from _commands([*places, *_next(found, open_ones, plan)], look)


def _child(one: views.MergeConflictView) -> str:
    return one.child_name if one.item is None else f"{one.child_name} ({_one_line(one.item)})"


def _one_line(text: str) -> str:
    return wording.plain(text).replace("\n", " ⏎ ")


def _is_of_apply(one: views.MergeConflictView) -> bool:
    return one.item is None


def _row(one: views.MergeConflictView, plan: views.PlanView) -> list[Cell | str]:
    mood = Mood.NEEDS_YOU if one.taken is None else Mood.DONE
    state = "open" if one.taken is None else _TAKEN[one.taken]
    sides = (("parent", one.parent), ("child", one.child))
    absent = [_side(one, word) for word, version in sides if version is None]
    where = "a directory in" if one.kind == "file/directory" else "not in"
    note = f"{where} the {' and the '.join(absent)}" if absent else ""
    path = _one_line(_named(one, plan))
    return [
        Cell(mood.sign, mood.tone),
        Cell(path, bold=True),
        one.kind,
        Cell(state, mood.tone),
        Cell(note, Tone.WAITING),
    ]


def _named(one: views.MergeConflictView, plan: views.PlanView) -> str:
    """How a command names the file: with its project where there are several."""
    return f"{wording.short_name(one.project)}:{one.path}" if len(plan.projects) > 1 else one.path


def _word(path: str) -> str:
    """A path as a word for the shell, in which nothing plays with the terminal."""
    if path.isprintable():
        return shlex.quote(path)
    escaped = path.replace("\\", "\\\\").replace("'", "\\'")
    safe = "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in escaped)
    return f"$'{safe}'"


def _side(one: views.MergeConflictView, word: str) -> str:
    """What a side is called; at Apply the project stands for the parent, and the plan for the child."""
    return {"parent": "project", "child": "plan"}.get(word, word) if _is_of_apply(one) else word


def _next(
    found: views.PlanConflictsView, open_ones: Sequence[views.MergeConflictView], plan: views.PlanView
) -> list[tuple[str, str]]:
    first = _word(_named((open_ones or found.conflicts)[0], plan))
    look_at = ("look at one", f"ca plan conflicts {plan.name} {first}")
    if _is_of_apply(found.conflicts[0]):
        return [look_at, *_next_of_apply(plan)]
    settle = [("settle it", f"ca plan resolve {plan.name} {first} --take parent|child|base|edited|PATH")]
    return [look_at, *(settle if open_ones else []), ("then", f"ca plan execute {plan.name}")]


def _commands(commands: Sequence[tuple[str, str]], look: Look) -> Iterable[str]:
    """Commands are never cut: they are there to be copied."""
    width = max(len(label) for label, _ in commands)
    for label, command in commands:
        yield f"  {look.dim(label.ljust(width))}  {command}"


def versions(found: views.PlanConflictsView, look: Look, *, plan: views.PlanView) -> Iterable[str]:
    """The versions of one file, and how each side differs from what both started from."""
    (one,) = found.conflicts
    mood = Mood.NEEDS_YOU if one.taken is None else Mood.DONE
    state = "open" if one.taken is None else _TAKEN[one.taken]
    yield f"{look.mood(mood)} {look.bold(_one_line(one.path))}: {one.kind}, {state}"
    sides = [("base", one.base), ("parent", one.parent), ("child", one.child)]
    whose = {} if _is_of_apply(one) else {"parent": plan.name, "child": _child(one)}
    yield from pairs(look, [(_side(one, word), _about(version, one.base, whose.get(word))) for word, version in sides])
    for old, new in [sides[:2], [sides[0], sides[2]]] if one.base else [sides[1:]]:
        yield from _difference(one, old, new, look)
    yield ""
    places = [("edit", f"{directory}/{_one_line(one.path)}") for directory in _directory(one, found)]
    yield from _commands([*places, *_next_of(one, plan)], look)


def _next_of(one: views.MergeConflictView, plan: views.PlanView) -> list[tuple[str, str]]:
    if _is_of_apply(one):
        return _next_of_apply(plan)
    take = f"ca plan resolve {plan.name} {_word(_named(one, plan))} --take parent|child|base|edited|PATH"
    return [("settle it", take), ("then", f"ca plan execute {plan.name}")]


def _next_of_apply(plan: views.PlanView) -> list[tuple[str, str]]:
    """What is in the project is the user's own, and so is the choice."""
    return [("with room made", f"ca plan apply {plan.name}"), ("start over", f"ca plan revert {plan.name}")]


def _directory(one: views.MergeConflictView, found: views.PlanConflictsView) -> list[str]:
    return [directory for project, directory in found.checkouts.items() if project == one.project and one.taken is None]


def _about(version: views.VersionView | None, base: views.VersionView | None, whose: str | None) -> Cell:
    of = f" in {whose}" if whose else ""
    if version is None:
        return Cell(f"{'deleted' if base else 'absent'}{of}", Tone.FAILED)
    facts = [f"{_MODES.get(version.mode, 'file')}{of}"]
    if version.mode != "160000":
        facts += [wording.size(version.bytes), *(["binary"] if version.binary else [])]
    return Cell(", ".join([*facts, version.blob[:12]]))


def _difference(
    one: views.MergeConflictView,
    old: tuple[str, views.VersionView | None],
    new: tuple[str, views.VersionView | None],
    look: Look,
) -> Iterable[str]:
    """What makes `new` of `old`; nothing where one of them is absent or has no text."""
    (old_word, before), (new_word, after) = old, new
    yield ""
    title = f"{_side(one, old_word)} → {_side(one, new_word)}"
    remark = _remark(before, after)
    yield f"{look.bold(title)}{f'  {look.dim(remark)}' if remark else ''}"
    if before is not None and after is not None and before.text is not None and after.text is not None:
        lines = difflib.unified_diff(_lines(before.text), _lines(after.text), lineterm="")
        yield from diff_text.coloured(list(lines)[2:], look)


def _remark(before: views.VersionView | None, after: views.VersionView | None) -> str:
    """What a diff cannot show."""
    if before is None or after is None:
        return "deleted" if after is None and before is not None else "added" if after is not None else "absent"
    said = (
        []
        if before.mode == after.mode
        else [f"{_MODES.get(before.mode, 'file')} becomes {_MODES.get(after.mode, 'file')}"]
    )
    if before.blob == after.blob:
        said.append("the same content")
    elif before.binary or after.binary:
        said.append(f"binary, {wording.size(before.bytes)} → {wording.size(after.bytes)}")
    elif before.text is None or after.text is None:
        said.append(f"too long to show, {wording.size(before.bytes)} → {wording.size(after.bytes)}")
    return ", ".join(said)


def _lines(text: str) -> list[str]:
    return [wording.plain(line.replace("\r", "^M")) for line in text.removesuffix("\n").split("\n")]


def settled(one: views.MergeConflictView, look: Look) -> Iterable[str]:
    """A conflict for which a version was chosen."""
    taken = _TAKEN.get(one.taken or "", "open")
    version = "" if one.taken in {"edited", "file"} else " version"
    yield f"{look.mood(Mood.DONE)} {look.bold(_one_line(one.path))}: {taken}{version}"
