"""What a strategy actor printed: one JSON object, held to the same checks as an action file."""

import json
from typing import Any, NoReturn

from msgspec import Struct

from daemon import action_reader, action_values, documents
from daemon.action_schema import Action, StepSpec
from daemon.action_section import Section
from daemon.documents import Node
from store import errors

MAX_BYTES = 1 << 20
"""Bytes of an answer."""
MAX_DECISIONS = 1_000

_KINDS = ("strategy_choice", "invariant_enforced")
_DECISION_KEYS = ("question", "choice", "reason", "kind")


class Decision(Struct, frozen=True, kw_only=True):
    """A choice of the actor, with its reason."""

    question: str
    choice: str
    reason: str
    kind: str


class Strategy(Struct, frozen=True, kw_only=True):
    """The steps of a plan, and the decisions that led to them."""

    steps: list[StepSpec]
    decisions: list[Decision] = []


def read(answer: bytes, action: Action) -> Strategy:
    """The strategy that the actor of `action` printed.

    Raises:
        InvalidActionError: it is no JSON object, or not what the schema asks for; actor, key and nearest key are named.
    """
    source = f"the answer of {action.strategy_actor}"
    try:
        top = Section.of(_Reader(source).document(answer), source, "", ("decisions", "steps"))
        top.node("steps")
        top.node("decisions")
        return Strategy(
            steps=action_reader.read_steps(top, action_values.known(action.arguments), action.shell, required=True),
            decisions=_decisions(top),
        )
    except errors.InvalidActionError as error:
        del error.detail["file"], error.detail["line"]
        error.detail["actor"] = action.strategy_actor
        raise


def _decisions(top: Section) -> list[Decision]:
    sections = top.list("decisions", _DECISION_KEYS)
    if len(sections) > MAX_DECISIONS:
        top.refuse("decisions", f"has {len(sections):,} entries, and {MAX_DECISIONS:,} is the limit")
    return [
        Decision(
            question=section.text("question"),
            choice=section.text("choice"),
            reason=section.text("reason"),
            kind=section.choice("kind", _KINDS, "strategy_choice"),
        )
        for section in sections
    ]


class _Reader:
    """JSON as the nodes of a file, without lines."""

    def __init__(self, source: str) -> None:
        self._source = source

    def document(self, answer: bytes) -> Node:
        if len(answer) > MAX_BYTES:
            self._refuse(f"it is longer than 1 MiB ({MAX_BYTES:,} bytes)")
        if not answer.strip():
            self._refuse("it is empty; the actor has to print one JSON object to its standard output")
        try:
            text = answer.decode()
        except UnicodeDecodeError as error:
            self._refuse(f"byte {error.start} (0x{answer[error.start]:02x}) is not UTF-8")
        try:
            return self._node(json.loads(text, object_pairs_hook=self._mapping, parse_constant=self._constant))
        except ValueError as error:
            begin = text.strip()[:40]
            self._refuse(f"it is not one JSON object: {error}; it begins with {begin!r}")
        except RecursionError:
            self._refuse("it has too many levels inside each other")

    def _mapping(self, pairs: list[tuple[str, Any]]) -> Node:
        found: dict[str, Node] = {}
        for key, value in pairs:
            self._check_text(key)
            if key in found:
                self._refuse("the key is given twice in one object", key)
            found[key] = self._node(value)
        return Node(found, 0)

    def _node(self, value: Any) -> Node:
        """Objects are nodes by now; what is inside a list is not."""
        match value:
            case Node():
                return value
            case list():
                return Node([self._node(entry) for entry in value], 0)  # pyright: ignore[reportUnknownVariableType]  JSON
            case str():
                self._check_text(value)
                return Node(value, 0, value)
            case _:
                return Node(value, 0, json.dumps(value))

    def _check_text(self, text: str) -> None:
        if any("\ud800" <= char <= "\udfff" for char in text):
            self._refuse(f"{text[:60]!r} has half of a surrogate pair, which is no character")

    def _constant(self, name: str) -> NoReturn:
        self._refuse(f"{name} is no JSON")

    def _refuse(self, message: str, key: str | None = None) -> NoReturn:
        documents.refuse(self._source, message, key=key)
