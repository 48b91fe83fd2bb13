"""What happens next among the children of one `subplans` step: decided from where they stand, and from nothing else.

Children are integrated strictly in the order of their positions: one is looked at only when all before it are settled. So
the tree that comes out does not depend on which of them was the fastest.
"""

import enum
from collections.abc import Iterable, Sequence

import msgspec

from daemon.action_schema import SubplansSpec


class Stage(enum.Enum):
    """How far a child is on its way into its parent."""

    WAITING = "waiting"  # not started, or to be started again
    ACTIVE = "active"  # it has a job
    FINISHED = "finished"  # its change is there, and not in the parent yet
    FAILED = "failed"  # for good, as far as this run of the parent goes
    CANCELLED = "cancelled"
    LEFT_OUT = "left out"  # its parent goes on without it
    INTEGRATED = "integrated"


_GONE = frozenset({Stage.FAILED, Stage.CANCELLED})
_BEHIND = frozenset({Stage.INTEGRATED, Stage.LEFT_OUT})


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What the step says about its children.

    Attributes:
        at_once: How many may be active at the same time.
        chained: Each starts from the result of the one before.
        stops: A child that fails keeps the ones after it from starting.
        fail_fast: A child that fails ends all others.
        all_or_none: Nothing is integrated before all have finished.
    """

    at_once: int
    chained: bool
    stops: bool
    fail_fast: bool
    all_or_none: bool

    @classmethod
    def of(cls, spec: SubplansSpec) -> "Rules":
        chained = spec.mode == "sequential" or spec.merge == "sequential_apply"
        return cls(
            at_once=1 if chained else spec.max_parallel,
            chained=chained,
            stops=spec.mode == "sequential",
            fail_fast=spec.fail_fast,
            all_or_none=spec.fail_fast and spec.mode == "parallel" and not chained,
        )


class Sibling(msgspec.Struct, frozen=True):
    """A child among the others; its place in the sequence is its position."""

    plan_id: str
    stage: Stage
    needs: frozenset[int] = frozenset()
    paths: tuple[str, ...] = ()


class Next(msgspec.Struct, frozen=True):
    """What can be done now.

    Attributes:
        start: Positions of the children that may start now.
        integrate: The position of the one that enters the parent next.
        over: Whether nothing happens any more by itself.
    """

    start: list[int]
    integrate: int | None
    over: bool


def look(
    rules: Rules, siblings: Sequence[Sibling], *, stopped: bool = False, held_up: frozenset[int] = frozenset()
) -> Next:
    """What can be done now.

    Args:
        rules: The step's.
        siblings: All children in the order of their positions.
        stopped: Whether an open conflict keeps everything from entering the parent.
        held_up: Those that wait for something outside, such as a lock of somebody else.
    """
    active = sum(one.stage is Stage.ACTIVE for one in siblings)
    hopeless = _hopeless(rules, siblings, stopped=stopped)
    integrate = None if stopped else _to_integrate(rules, siblings, hopeless)
    start: list[int] = []
    if integrate is None or not rules.chained:
        start = _to_start(rules, siblings, hopeless, held_up, room=rules.at_once - active)
    return Next(start, integrate, not active and not start and integrate is None and held_up <= hopeless)


def apart(paths: Iterable[str], others: Iterable[str]) -> bool:
    """Whether no path of the one is, holds, or lies in a path of the other."""
    theirs = list(others)
    return not any(_overlap(one, other) for one in paths for other in theirs)


def _overlap(one: str, other: str) -> bool:
    return one == other or "." in (one, other) or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def _hopeless(rules: Rules, siblings: Sequence[Sibling], *, stopped: bool) -> frozenset[int]:
    """The waiting ones that cannot start any more as things stand."""
    failed = any(one.stage is Stage.FAILED for one in siblings)
    found: set[int] = set()
    blocked = False
    for position, one in enumerate(siblings):
        dead = blocked or (rules.fail_fast and failed) or any(
            need in found or _never_comes(siblings[need], stopped=stopped) for need in one.needs
        )  # fmt: skip
        if one.stage is Stage.WAITING and dead:
            found.add(position)
        if rules.stops:
            blocked = blocked or position in found or _never_comes(one, stopped=stopped)
    return frozenset(found)


def _never_comes(one: Sibling, *, stopped: bool) -> bool:
    return one.stage in _GONE or (stopped and one.stage is Stage.FINISHED)


def _to_integrate(rules: Rules, siblings: Sequence[Sibling], hopeless: frozenset[int]) -> int | None:
    ready = _BEHIND | {Stage.FINISHED}
    if rules.all_or_none and not all(one.stage in ready for one in siblings):
        return None
    for position, one in enumerate(siblings):
        if one.stage is Stage.FINISHED:
            return position
        if one.stage is Stage.ACTIVE or (one.stage is Stage.WAITING and position not in hopeless):
            return None
    return None


def _to_start(
    rules: Rules, siblings: Sequence[Sibling], hopeless: frozenset[int], held_up: frozenset[int], *, room: int
) -> list[int]:
    """The first that may start: what they need is in the parent, and nobody active declares the same paths."""
    found: list[int] = []
    taken = [path for one in siblings if one.stage is Stage.ACTIVE for path in one.paths]
    for position, one in enumerate(siblings):
        if len(found) >= room or (rules.chained and one.stage in {Stage.ACTIVE, Stage.FINISHED}):
            break
        if one.stage is not Stage.WAITING or position in hopeless:
            continue
        if position in held_up:
            if rules.chained:
                break  # the next one starts from its result
            continue
        if all(siblings[need].stage in _BEHIND for need in one.needs) and apart(one.paths, taken):
            found.append(position)
            taken += one.paths
    return found
