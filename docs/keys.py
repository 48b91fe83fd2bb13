"""The page of the dashboard's keys: from the table of verbs, and from the keys that its screens and widgets have."""

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeGuard

import pieces
from textual.binding import Binding
from textual.dom import DOMNode
from textual.keys import format_key
from textual.screen import Screen

from cleveragents_tui import dashboard, verbs

PLACES: Mapping[str, Sequence[str]] = {
    "Everywhere": ["Dashboard"],
    "In every list": ["Rows"],
    "Plans": ["PlansRoom"],
    "The list of plans": ["Board"],
    "The tabs of a plan": ["PlanPane"],
    "A log": ["LogView", "LogPane"],
    "In every text with lines to compare": ["Reading"],
    "A diff": ["DiffView", "DiffLines"],
    "Searching in a diff": ["SearchLine"],
    "Conflicts of a plan": ["ConflictsScreen", "Versions"],
    "Jobs and workers": ["JobsRoom"],
    "Locks": ["LocksRoom"],
    "Team server": ["ServerRoom"],
    "A conflict of the sync": ["SyncConflict"],
    "Settings": ["SettingsRoom"],
    "Choosing a value": ["Choice"],
    "Diagnostics": ["DiagnosticsRoom"],
    "In every dialog": ["Dialog"],
    "Before something is applied": ["ApplyDialog"],
    "Questions": ["Question"],
    "Texts": ["Text"],
    "The palette": ["Palette"],
    "Choosing a step": ["StepChoice"],
    "Forms": ["Form", "_Toggles", "Picker", "PathInput"],
    "The form for a new plan": ["UseForm"],
    "A new token of the team server": ["TokenShown"],
    "When there is no action": ["NoActions"],
}
"""Where keys work, and what has them there; everything that has keys is in here."""

_NAMES = {"pageup": "page up", "pagedown": "page down", "escape": "esc"}
_PACKAGE = f"{dashboard.__name__}."
_OF_A_VERB = "app.verb('"


def page() -> str:
    """Every key."""
    having = _having_keys()
    if missed := having.keys() ^ {name for names in PLACES.values() for name in names}:
        raise SystemExit(f"docs/keys.py: PLACES and what has keys differ: {', '.join(sorted(missed))}")
    return pieces.page(
        "Keys of the dashboard",
        "`ca tui` opens the dashboard; [the guide](guides/dashboard.md) tells how to use it.\n"
        "A verb is there when it makes sense for what is under the cursor: the footer names the most important ones,"
        " `?` all keys that work at the moment, and `:` finds every verb by its name.\n"
        "With `--read-only`, and while the daemon is gone, the verbs that change something are not there.",
        *(part for title, names in PLACES.items() for part in _place(title, [having[name] for name in names])),
        "## Without a key",
        "These are in the palette, `:`, alone.",
        _verb_table(verb for verb in verbs.VERBS.values() if not verb.key),
    )


def _having_keys() -> dict[str, type[DOMNode]]:
    """Every screen and widget that has keys of its own."""
    modules = [importlib.import_module(found.name) for found in pkgutil.walk_packages(dashboard.__path__, _PACKAGE)]
    things = [(name, thing) for module in modules for name, thing in vars(module).items()]
    return {name: thing for name, thing in things if isinstance(thing, type) and _has_keys(thing)}


def _has_keys(thing: type[object]) -> TypeGuard[type[DOMNode]]:
    return issubclass(thing, DOMNode) and thing.__module__.startswith(_PACKAGE) and bool(thing.__dict__.get("BINDINGS"))


def _place(title: str, classes: Sequence[type[DOMNode]]) -> Iterator[str]:
    yield f"## {title}"
    for cls in classes:
        if issubclass(cls, Screen) and cls.HELP:
            yield pieces.sentences(cls.HELP)
    keys = [binding for cls in classes for binding in _own(cls)]
    if of_verbs := [_verb(binding) for binding in keys if _is_verb(binding)]:
        yield _verb_table(of_verbs)
    if others := [binding for binding in keys if binding.description and not _is_verb(binding)]:
        yield pieces.table(["key", "what it does"], [[_shown(one.key), _does(one)] for one in others])


def _own(cls: type[DOMNode]) -> Sequence[Binding]:
    return [binding for binding in cls.__dict__["BINDINGS"] if isinstance(binding, Binding)]


def _is_verb(binding: Binding) -> bool:
    return binding.action.startswith(_OF_A_VERB)


def _verb(binding: Binding) -> verbs.Verb:
    return verbs.VERBS[binding.action.removeprefix(_OF_A_VERB).removesuffix("')")]


def _verb_table(of_verbs: Iterable[verbs.Verb]) -> str:
    rows = [[_shown(verb.key), verb.title, verb.help, _command(verb), _changes(verb)] for verb in of_verbs]
    return pieces.table(["key", "verb", "what it does", "command", "changes something"], rows)


def _command(verb: verbs.Verb) -> str:
    return f"`{verb.command(plan='PLAN', job='JOB', lock='LOCK', name='KEY', file='FILE')}`" if verb.ca else ""


def _changes(verb: verbs.Verb) -> str:
    return "asks first" if verb.ask else "yes" if verb.writes else ""


def _does(binding: Binding) -> str:
    return f"{binding.description}: {binding.tooltip}" if binding.tooltip else binding.description


def _shown(keys: str) -> str:
    return " ".join(f"`{_key(key)}`" for key in keys.split(",") if key)


def _key(key: str) -> str:
    sign = format_key(key)
    return sign if sign.isascii() and len(sign) == 1 else _NAMES.get(key, key)
