"""The store, the life cycle and the workers in this process, with phases that the bench hands in, and plans to move."""

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import msgspec

from daemon import environments
from daemon.actions import Action
from daemon.feed import Feed
from daemon.lifecycle import Lifecycle
from daemon.phases.context import Services
from daemon.settings import Settings
from daemon.workers import PhaseWork, Running, Workers
from store import names, opening
from store.clock import Clock
from store.database import Database, Transaction
from store.paths import Paths
from store.records import Event, Plan
from store.states import START, Phase

_OVER = frozenset({"job.succeeded", "job.failed", "job.cancelled"})
_DEFINITION = msgspec.json.encode(Action(name="local/bench", description="", definition_of_done="")).decode()


class Engine:
    """What the composition root makes, with one phase for all jobs."""

    def __init__(self, paths: Paths, db: Database, workers: int) -> None:
        environ = {
            "CLEVERAGENTS_ASYNC_MAX_WORKERS": str(workers),
            "CLEVERAGENTS_PLAN_CONCURRENCY": str(workers),
        }
        self.db = db
        self.config = Settings(paths.config_file, environ)
        self.services = Services(db, Feed(), Lifecycle(self.config), self.config, paths)
        self._ended: dict[str, asyncio.Future[str]] = {}

    async def start(self, phase: PhaseWork) -> Workers:
        """Workers whose every phase is `phase`."""
        workers = Workers(self.db, self.services.lifecycle, self.config, dict.fromkeys(Phase, phase))

        def committed(events: list[Event]) -> None:
            workers.notice(events)
            self.services.feed.publish(events)
            for event in events:
                if event.kind in _OVER and event.plan_id in self._ended:
                    self._ended.pop(event.plan_id).set_result(event.kind)

        self.db.on_commit = committed
        await workers.start()
        return workers

    async def nothing(self, running: Running) -> None:
        """A phase that has nothing to do and records its end."""
        await self.db.write(lambda tx: self.services.lifecycle.complete(tx, running.claim))

    async def job(self, plan_id: str) -> None:
        """Enqueue a plan's job, as `plan execute` does, and wait until its end is durable."""
        ended = self._ended[plan_id] = asyncio.get_running_loop().create_future()
        await self.db.write(lambda tx: self.services.lifecycle.execute(tx, plan_id))
        kind = await ended
        if kind != "job.succeeded":
            raise RuntimeError(f"the job of plan {plan_id} ended as {kind}")

    async def jobs(self, plan_ids: Sequence[str], *, in_flight: int) -> float:
        """Jobs per second, so many of them in flight all the time."""
        left = iter(plan_ids)

        async def lane() -> None:
            for plan_id in left:
                await self.job(plan_id)

        loop = asyncio.get_running_loop()
        begin = loop.time()
        await asyncio.gather(*(lane() for _ in range(in_flight)))
        return len(plan_ids) / (loop.time() - begin)

    async def stop(self, workers: Workers) -> None:
        """Stop the workers once their last claims have come back empty."""
        await asyncio.sleep(0.2)
        await workers.stop(grace=0, kill=False)

    async def plans(self, count: int) -> list[str]:
        """So many new plans that nobody has started."""

        def make(tx: Transaction) -> list[str]:
            made = [plan(names.new_ulid(tx.now), tx.now) for _ in range(count)]
            for each in made:
                self.services.lifecycle.use(tx, each, [])
            return [each.plan_id for each in made]

        return await self.db.write(make)

    def keep_environments(self, plan_ids: Sequence[str]) -> None:
        """What `plan use` keeps beside each plan."""
        for plan_id in plan_ids:
            environments.save(self.services.paths.environments, plan_id, {"PATH": os.environ["PATH"]})


def plan(plan_id: str, now: int) -> Plan:
    """A plan that waits for the user."""
    return Plan(
        plan_id=plan_id, name=f"bench-{plan_id.lower()}", action="local/bench", definition_json=_DEFINITION,
        arguments_json="{}", phase=START.phase, state=START.state, automation_profile="manual",
        profile_source="default", priority=0, parent_plan_id=None, root_plan_id=plan_id, depth=0, reversions=0,
        attempt=0, revision=1, umask=0o022, error_json=None, diff_json=None, applied_json=None, job_id=None,
        created_at=now, updated_at=now, started_at=None, finished_at=None,
    )  # fmt: skip


def paths_in(directory: Path) -> Paths:
    """A home in a directory, made."""
    paths = Paths(directory / "config", directory / "data", directory / "state", directory / "run")
    paths.create()
    return paths


@contextlib.asynccontextmanager
async def opened(directory: Path, *, workers: int = 4) -> AsyncGenerator[Engine]:
    """An engine over a store of its own."""
    paths = paths_in(directory)
    db = opening.open_store(paths.database, paths.backups, Clock())
    try:
        yield Engine(paths, db, workers)
    finally:
        await db.close()
