"""The tree of plans that an action comes to: its steps, and for each `subplans` step the items and what a child would do.

It is resolved once, before anything runs, and is what runs. A plan whose steps an actor decides is a leaf until then.
"""

import asyncio
import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from daemon import actions, actors, checking, items, lookup, templates
from daemon.action_values import ValueRefused, relative_path
from store import errors
from store.database import Reader

MAX_PLANS = 10_000
"""Of one tree, its root included."""
DEPTH_KEY = "plan.max-child-depth"


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One plan of the tree.

    Attributes:
        action: The action as it is now.
        arguments: The values of its arguments.
        steps: In the order in which they run; empty when `decided_by` is set.
        decided_by: The strategy actor that will decide the steps.
        children: For each `subplans` step its children, in the order in which they enter their parent.
    """

    action: actions.Action
    arguments: dict[str, Any]
    steps: list[actions.StepSpec]
    decided_by: str | None = None
    children: dict[str, list["Child"]] = {}


class Child(msgspec.Struct, frozen=True, kw_only=True):
    """A plan for one item; its place in the list is its position.

    Attributes:
        item: What it is for.
        needs: The positions of those that have to be in the parent before it starts.
        paths: What it declares to change, relative to its project.
        node: What it does.
    """

    item: str
    needs: list[int]
    paths: list[str]
    node: Node


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """What a tree is to run on.

    Attributes:
        projects: Their names; steps that name none run in the first.
        in_place: Those without a sandbox of their own: nothing may be changed in them.
        environment: The one in which the action was used.
        max_depth: How deep children may be nested.
        look: How the bases of the projects are looked at.
        plans: How many plans the whole tree has already.
    """

    projects: list[str]
    in_place: frozenset[str]
    environment: Mapping[str, str]
    max_depth: int
    look: items.Look
    plans: int = 1


class Overlap(msgspec.Struct, frozen=True, kw_only=True):
    """Children that declare to change the same; none of `children` runs at the same time as another of these.

    Attributes:
        path: What is declared.
        children: The positions of those that declare it.
        below: The positions of others, which declare something below it.
    """

    path: str
    children: list[int]
    below: list[int]


async def resolve(
    db: Reader,
    action: actions.Action,
    arguments: dict[str, Any],
    steps: Sequence[actions.StepSpec],
    *,
    depth: int,
    ground: Ground,
    item: str = "",
) -> Node:
    """The tree below a plan.

    Args:
        db: Where actions and actors are registered.
        action: The plan's.
        arguments: Their values.
        steps: The action's, or those that its strategy actor decided.
        depth: The plan's own: 0 for a root plan.
        ground: What it runs on.
        item: What the plan is for; empty for a root plan.

    Raises:
        InvalidActionError, InvalidArgumentError, NotFoundError: something in the tree cannot be carried out.
        CleverAgentsError: the items of a step cannot be found, see `items.find`.
    """
    place = _Place(chain=(action.name,), projects=tuple(ground.projects), depth=depth, item=item)
    return await _Resolution(db, ground).node(action, arguments, steps, place)


def undecided(action: actions.Action, arguments: dict[str, Any]) -> Node:
    """A plan whose steps an actor decides when it is its turn."""
    return Node(action=action, arguments=arguments, steps=[], decided_by=action.strategy_actor)


def overlaps(declared: Sequence[Sequence[str]]) -> list[Overlap]:
    """Which children of a step declare to change the same; `declared` are the paths of each, in their order."""
    owners: dict[str, set[int]] = {}
    for position, paths in enumerate(declared):
        for path in paths:
            owners.setdefault(path, set()).add(position)
    below: dict[str, set[int]] = {}
    for path, positions in owners.items():
        for above in _above(path):
            if above in owners:
                below.setdefault(above, set()).update(positions)
    shared = {path: below.get(path, set()) - positions for path, positions in owners.items()}
    return [
        Overlap(path=path, children=sorted(owners[path]), below=sorted(deeper))
        for path, deeper in sorted(shared.items())
        if len(owners[path]) + len(deeper) > 1
    ]


def _above(path: str) -> list[str]:
    if path == ".":
        return []
    ends = [place for place, char in enumerate(path) if char == "/"]
    return [".", *(path[:end] for end in ends)]


class _Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where in the tree a plan is: the actions above it and its own, its projects, and what it is for."""

    chain: tuple[str, ...]
    projects: tuple[str, ...]
    depth: int
    item: str


class _Resolution:
    """One tree while it is resolved; an action that is used a thousand times is read and checked once."""

    def __init__(self, db: Reader, ground: Ground) -> None:
        self._db = db
        self._ground = ground
        self._plans = ground.plans
        self._actions: dict[str, actions.Action] = {}
        self._checked: set[tuple[str, tuple[str, ...]]] = set()

    async def node(
        self, action: actions.Action, arguments: dict[str, Any], steps: Sequence[actions.StepSpec], place: _Place
    ) -> Node:
        if (action.name, place.projects) not in self._checked:
            checking.check_steps(action, steps, projects=place.projects, environment=self._ground.environment)
            self._checked.add((action.name, place.projects))
        in_order = actions.order(steps)
        children = {
            step.id: await self._children(action, arguments, step, step.subplans, place)
            for step in in_order
            if step.subplans is not None
        }
        return Node(action=action, arguments=arguments, steps=in_order, children=children)

    async def _children(
        self,
        action: actions.Action,
        arguments: dict[str, Any],
        step: actions.StepSpec,
        spec: actions.SubplansSpec,
        place: _Place,
    ) -> list[Child]:
        """The children of a step; what cannot be resolved names it."""
        try:
            return await self._resolved(action, arguments, step, spec, place)
        except errors.CleverAgentsError as error:
            error.detail.setdefault("step", step.id)
            raise

    async def _resolved(
        self,
        action: actions.Action,
        arguments: dict[str, Any],
        step: actions.StepSpec,
        spec: actions.SubplansSpec,
        place: _Place,
    ) -> list[Child]:
        projects = place.projects if step.project is None else (step.project,)
        told = f"step {step.id} of {action.name}" + (f" for {items.shown(place.item)}" if place.item else "")
        used = self._action(spec.action, told, projects)
        asking = items.Asking(told=told, action=action, arguments=arguments, item=place.item, project=projects[0])
        found = await items.find(step, asking, self._ground.look)
        if not found:
            return []
        self._check_room(told, len(found), place, used)
        await asyncio.sleep(0)  # the daemon has others to serve while a wide tree is resolved
        positions = {entry.item: position for position, entry in enumerate(found)}
        children: list[Child] = []
        for entry in found:
            given, paths = _bound(step, spec, used, {**arguments, templates.ITEM: entry.item}, told)
            below = _Place(chain=(*place.chain, used.name), projects=projects, depth=place.depth + 1, item=entry.item)
            children.append(
                Child(
                    item=entry.item,
                    needs=sorted({positions[need] for need in entry.needs}),
                    paths=paths,
                    node=await self._below(used, given, below),
                )
            )
        return children

    async def _below(self, action: actions.Action, arguments: dict[str, Any], place: _Place) -> Node:
        if action.strategy_actor != actors.STEPS:
            return undecided(action, arguments)
        return await self.node(action, arguments, action.steps, place)

    def _action(self, name: str, told: str, projects: Sequence[str]) -> actions.Action:
        """The action of a step's children, which may be used there."""
        found = self._actions.get(name)
        if found is None:
            found = self._actions[name] = _registered(self._db, name, told)
            checking.check_actors(self._db, found, self._ground.environment)
        in_place = [project for project in projects if project in self._ground.in_place]
        if in_place and not found.read_only:
            raise errors.InvalidActionError(
                f"{told} uses {found.name}, which is not read_only; sandbox.strategy is none for {in_place[0]}, "
                "which is only for actions that are",
                detail={"action": found.name, "project": in_place[0]},
                suggestions=[
                    f"set read_only: true in {found.name}",
                    f"ca config unset sandbox.strategy --project {in_place[0]}",
                ],
            )
        return found

    def _check_room(self, told: str, number: int, place: _Place, used: actions.Action) -> None:
        """That the tree may become so deep and so wide."""
        chain = [*place.chain, used.name]
        if place.depth + 1 > self._ground.max_depth:
            raise errors.InvalidActionError(
                f"{told} would nest plans {place.depth + 1} deep, and {DEPTH_KEY} is {self._ground.max_depth}: "
                f"{' -> '.join(chain)}",
                detail={"actions": chain, "key": DEPTH_KEY, "limit": self._ground.max_depth},
                suggestions=[
                    f"ca action show {used.name}",
                    f"ca config set {DEPTH_KEY} {place.depth + 1} --project {self._ground.projects[0]}",
                ][: 1 if used.name in place.chain else 2],
            )
        self._plans += number
        if self._plans > MAX_PLANS:
            raise errors.InvalidActionError(
                f"{told} would make a tree of more than {MAX_PLANS:,} plans: {' -> '.join(chain)}",
                detail={"actions": chain, "limit": MAX_PLANS},
                suggestions=["use the actions on fewer items at a time"],
            )


def _registered(db: Reader, name: str, told: str) -> actions.Action:
    """The action of a name, as it is now.

    Raises:
        NotFoundError, InvalidActionError: there is none, or children cannot use it; the step is named.
    """
    try:
        record = lookup.action(db, name)
    except errors.CleverAgentsError as error:
        raise _prefixed(told, error) from error
    found = actions.parse(record.content, source=record.name)
    if record.archived or not found.reusable:
        raise errors.InvalidActionError(
            f"{told} uses {found.name}, which is not reusable: it makes one plan, not one for each item",
            detail={"action": found.name, "key": "reusable"},
            suggestions=["remove reusable: false from its file", "ca action create FILE --update"],
        )
    return found


def _bound(
    step: actions.StepSpec,
    spec: actions.SubplansSpec,
    used: actions.Action,
    values: Mapping[str, object],
    told: str,
) -> tuple[dict[str, Any], list[str]]:
    """The arguments of a child, and the paths that it declares to change."""
    told = f"{told}, item {items.shown(str(values[templates.ITEM]))}"
    try:
        given = {name: actions.render_text(template, values) for name, template in spec.arguments.items()}
        bound = actions.bind(used, given)
        paths = dict.fromkeys(posixpath.normpath(_path(actions.render_text(one, values))) for one in step.paths)
    except errors.CleverAgentsError as error:
        raise _prefixed(told, error) from error
    return bound, list(paths)


def _path(text: str) -> str:
    try:
        return relative_path(text)
    except ValueRefused as error:
        raise errors.InvalidActionError(
            f"a path {error}",
            detail={"key": "paths", "value": text},
            suggestions=["correct the step's paths, or what gives the items"],
        ) from error


def _prefixed(told: str, error: errors.CleverAgentsError) -> errors.CleverAgentsError:
    return type(error)(f"{told}: {error.message}", detail=error.detail, suggestions=error.suggestions)
