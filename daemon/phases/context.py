"""What every phase works with: its job, the services, and writes that name its fence."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from daemon import actions, environments, snapshots
from daemon.decisions import GUIDANCE, NO_REASON
from daemon.feed import Feed
from daemon.lifecycle import Lifecycle
from daemon.moves import Claim
from daemon.settings import Settings
from daemon.tokens import Token
from store import damage, plans, subplans
from store.database import Database, Reader, Transaction
from store.paths import Paths
from store.records import Decision, Plan, PlanProject, Step

T = TypeVar("T")

GUIDANCE_BYTES = 64 * 1024
"""All guidance of a plan together; it has to fit into one variable of the environment."""


class Services(msgspec.Struct, frozen=True):
    """What the composition root made, for those who do the work."""

    db: Database
    feed: Feed
    lifecycle: Lifecycle
    config: Settings
    paths: Paths


class Context:
    """One running phase."""

    def __init__(
        self, services: Services, claim: Claim, token: Token, lend: Callable[[], AbstractAsyncContextManager[None]]
    ) -> None:
        self.services = services
        self.claim = claim
        self.token = token
        self.lend = lend
        """A context in which the phase only waits for others, and somebody else may have its place."""
        self.plan: Plan = claim.plan

    # What follows may turn out to be lost; a step that runs already is adopted without it.

    @cached_property
    def action(self) -> actions.Action:
        """The plan's own copy of its action."""
        return damage.document(self.plan, "definition_json", actions.Action)

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """The values of the action's arguments."""
        return damage.document(self.plan, "arguments_json", actions.Values)

    @cached_property
    def environment(self) -> dict[str, str]:
        """The environment in which the action was used."""
        return environments.load(self.services.paths.environments, self.plan.root_plan_id)

    @cached_property
    def item(self) -> str:
        """What a child is for; empty for a plan of its own."""
        mine = subplans.get(self.db.read, self.plan.plan_id) if self.plan.parent_plan_id is not None else None
        return mine.item if mine is not None else ""

    @property
    def db(self) -> Database:
        return self.services.db

    @property
    def projects(self) -> list[PlanProject]:
        """The plan's projects as they now stand in the store."""
        return plans.projects(self.db.read, self.plan.plan_id)

    @property
    def steps(self) -> list[Step]:
        """The plan's steps as they now stand in the store."""
        return plans.steps(self.db.read, self.plan.plan_id)

    @property
    def guidance(self) -> list[str]:
        """What people said about this plan and those above it, oldest first; the oldest are left out beyond a limit."""
        texts = [text for decision in _above(self.db.read, self.plan) if (text := _guidance(decision))]
        kept: list[str] = []
        left = GUIDANCE_BYTES
        for text in reversed(texts):
            content = text.encode("utf-8", "surrogateescape")[:left]
            left -= len(content) + 1
            kept.insert(0, content.decode("utf-8", "ignore"))
            if left <= 0:
                break
        return kept

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """A write of this phase: refused when its job no longer holds the plan.

        Raises:
            LockExpiredError: the fence says so.
        """

        def guarded(tx: Transaction) -> T:
            self.services.lifecycle.guard(tx, self.claim)
            return work(tx)

        return await self.db.write(guarded)

    async def blocking(self, work: Callable[..., T], *arguments: Any, **keywords: Any) -> T:
        """Run blocking work in a thread, to its end; the phase's token is asked before and after."""
        self.token.check()
        result = await asyncio.to_thread(work, *arguments, **keywords)
        self.token.check()
        return result

    def name_of(self, what: str) -> str:
        """Where something of this plan is kept below its refs; each reversion begins a part of its own."""
        return f"{self.plan.reversions}/{what}"

    def repository_of(self, project: PlanProject) -> snapshots.Project:
        """A plan's project as the git modules know it."""
        return project_of(self.services.paths, project)

    def variables(self, project: PlanProject, sandbox: Path, *layers: dict[str, str]) -> dict[str, str]:
        """The environment of a command: where the action was used, ours, then the action's and the step's own on top."""
        environment = {
            **self.environment,
            **actions.argument_environment(self.arguments),
            "CA_PLAN_ID": self.plan.plan_id,
            "CA_JOB_ID": self.claim.job.job_id,
            "CA_PROJECT": project.project,
            "CA_SANDBOX": str(sandbox),
            "CA_ITEM": self.item,
            "CA_GUIDANCE": "\n".join(self.guidance),
        }
        for layer in (self.action.env, *layers):
            environment |= layer
        return environment


def _above(db: Reader, plan: Plan | None) -> list[Decision]:
    """What people decided about a plan, after what they decided about its parents."""
    found: list[Decision] = []
    while plan is not None:
        found = plans.guidance(db, plan.plan_id) + found
        plan = plans.get(db, plan.parent_plan_id) if plan.parent_plan_id is not None else None
    return found


def _guidance(decision: Decision) -> str:
    if decision.kind == "user_intervention" and decision.question == GUIDANCE:
        return decision.choice
    return decision.reason if decision.kind == "reversion" and decision.reason != NO_REASON else ""


def project_of(paths: Paths, project: PlanProject) -> snapshots.Project:
    """A plan's project as the git modules know it."""
    repository = paths.repositories / f"{project.project_id}.git"
    return snapshots.Project(name=project.project, path=Path(project.path), kind=project.kind, repository=repository)


def sandbox_path(paths: Paths, project: PlanProject) -> Path:
    """Where the steps of a plan work on one project: its sandbox, or with the strategy `none` the project itself."""
    if project.strategy == "none":
        return Path(project.path)
    return paths.sandboxes / project.plan_id / project.project


def first(projects: Sequence[PlanProject], name: str | None) -> PlanProject:
    """The project in which a step runs: the one it names, else the plan's first."""
    return next((project for project in projects if project.project == name), projects[0])


def shown(path: bytes) -> str:
    r"""A path from git as text: bytes that are not UTF-8 as `\xNN`."""
    return path.decode(errors="backslashreplace")
