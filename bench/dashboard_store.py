"""Homes with many plans as real ones look: some were carried out by a daemon, the others are copies of those.

The copies go into the store through its own functions, all in one transaction, while no daemon runs.
"""

import asyncio
import atexit
import contextlib
import functools
import os
import shutil
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.homes import Home, git
from bench.measure import scratch
from cleveragents_tui import client as clients
from daemon import protocol, views
from store import jobs, names, opening, plans, rows
from store.clock import SECOND, Clock
from store.database import Database, Reader, Transaction
from store.records import AsyncJob, Decision, Plan, PlanProject, Step

NEEDING = 300
"""Plans that need somebody in a store that is large enough."""
APART = 2 * SECOND
"""How long ago each plan was touched after the one before."""
AGE = 3600 * SECOND
"""How old the newest ones are: no age on the screen grows by the second."""
PATIENCE = 120
"""Seconds for the copy of a store."""

_STEPS = (
    "for name in one two three; do echo a changed line >> $name.txt; done",
    "echo formatted; echo formatted >> one.txt",
)
ENVIRONMENT = {"PATH": os.fsencode(os.environ["PATH"])}


@dataclass(frozen=True)
class _Pattern:
    """A plan that a daemon carried out, with everything that belongs to it."""

    plan: Plan
    projects: list[PlanProject]
    steps: list[Step]
    decisions: list[Decision]
    jobs: list[AsyncJob]

    @classmethod
    def of(cls, db: Reader, plan: Plan) -> "_Pattern":
        return cls(
            plan,
            plans.projects(db, plan.plan_id),
            plans.steps(db, plan.plan_id),
            plans.decisions(db, plan.plan_id),
            jobs.latest(db, plan_id=plan.plan_id),
        )

    def copy(self, tx: Transaction, name: str, time: int) -> None:
        """Another one like it, last touched at `time`; its sandbox was removed."""
        plan_id = names.new_ulid(time - SECOND)
        changed = {"updated_at": time, "created_at": time - SECOND, "started_at": time - SECOND}
        if self.plan.finished_at is not None:
            changed["finished_at"] = time
        plan = msgspec.structs.replace(self.plan, plan_id=plan_id, root_plan_id=plan_id, name=name, **changed)
        plans.insert(tx, plan, [_without_sandbox(project, plan_id) for project in self.projects])
        for step in self.steps:
            rows.insert(tx, "steps", msgspec.structs.replace(step, plan_id=plan_id))
        for decision in self.decisions:
            new = names.new_ulid(time)
            plans.add_decision(tx, msgspec.structs.replace(decision, decision_id=new, plan_id=plan_id))
        for job in self.jobs:
            times = {"created_at": time - SECOND, "started_at": time - SECOND, "finished_at": time}
            rows.insert(tx, "async_jobs", msgspec.structs.replace(
                job, job_id=names.new_ulid(time), plan_id=plan_id, root_plan_id=plan_id, **times))  # fmt: skip
        tx.event("plan.created", plan_id=plan_id, name=name, action=plan.action)


def _without_sandbox(project: PlanProject, plan_id: str) -> PlanProject:
    return msgspec.structs.replace(project, plan_id=plan_id, sandbox_path=None, sandbox_status="removed")


def copied(count: int, directory: Path) -> Home:
    """A home of so many plans of one's own, below `directory`; its daemon does not run."""
    where = directory / f"{count}"
    shutil.copytree(_filled(count), where)
    return Home(where)


@contextlib.contextmanager
def at_rest(home: Home) -> Generator[clients.Client]:
    """Its daemon, once it has made the copy of the day: of a large store that takes a core for some seconds."""
    with home.daemon() as client:
        deadline = time.monotonic() + PATIENCE
        while not any(home.paths.backups.glob("store-daily-*")):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no copy of the store in {home.paths.backups}")
            time.sleep(0.05)
        yield client


@functools.cache
def _filled(count: int) -> Path:
    """The home that the others are copied from; it is made once and stays until the end."""
    keep = contextlib.ExitStack()
    atexit.register(keep.close)
    home = Home(keep.enter_context(scratch()))
    with home.daemon() as client:
        patterns = _carry_out(home, client)
    asyncio.run(_fill(home, patterns, count))
    return home.directory


def _carry_out(home: Home, client: clients.Client) -> dict[str, str]:
    """One plan of each kind, by what became of it; the ids of the plans."""
    add_project(home, client)
    add_action(client, "annotate", *_STEPS, "echo passed")
    add_action(client, "upgrade", *_STEPS, "echo no; exit 1")
    ready = _ended(client, "annotate", "trusted")
    applied = _ended(client, "annotate", "trusted")
    client.call(protocol.PlanApply(plan=applied, environment=ENVIRONMENT))
    client.call(protocol.PlanWait(plan=applied))
    cancelled = _ended(client, "annotate", "trusted")
    client.call(protocol.PlanCancel(plan=cancelled))
    return {
        "applied": applied, "cancelled": cancelled, "apply?": ready,
        "errored": _ended(client, "upgrade", "trusted"), "execute?": _ended(client, "annotate", "supervised"),
    }  # fmt: skip


def add_project(home: Home, client: clients.Client) -> None:
    """A small project, `web`, for plans to work on."""
    project = home.directory / "web"
    project.mkdir()
    git(project, "init", "-q")
    for name in ("one", "two", "three"):
        (project / f"{name}.txt").write_text("".join(f"line {number}\n" for number in range(40)))
    git(project, "add", "-A")
    git(project, "commit", "-qm", "first")
    client.call(protocol.ProjectAdd(path=str(project), name="web"))


def add_action(client: clients.Client, name: str, *commands: str) -> None:
    """An action whose steps are these commands."""
    steps = [
        {"id": step, "run": command} for step, command in zip(("change", "format", "test"), commands, strict=False)
    ]
    content = msgspec.json.encode({"name": f"local/{name}", "definition_of_done": "It ended", "steps": steps})
    client.call(protocol.ActionCreate(content=content, source=f"{name}.yaml"))


def _ended(client: clients.Client, action: str, profile: str) -> str:
    plan = use(client, action, profile)
    client.call(protocol.PlanWait(plan=plan.plan_id))
    return plan.plan_id


def use(client: clients.Client, action: str, profile: str) -> views.PlanView:
    """A plan of an action on the project."""
    return client.call(
        protocol.PlanUse(action=f"local/{action}", projects=["web"], profile=profile, environment=ENVIRONMENT)
    )


async def _fill(home: Home, patterns: dict[str, str], count: int) -> None:
    db = opening.open_store(home.paths.database, home.paths.backups, Clock())
    try:
        found = {kind: _Pattern.of(db.read, _known(db, plan_id)) for kind, plan_id in patterns.items()}
        await db.write(lambda tx: _copy(tx, found, count - len(found)))
    finally:
        await db.close()


def _known(db: Database, plan_id: str) -> Plan:
    plan = plans.get(db.read, plan_id)
    assert plan is not None
    return plan


def _copy(tx: Transaction, patterns: dict[str, _Pattern], count: int) -> None:
    tx.execute(
        "UPDATE plans SET created_at = created_at - :age, started_at = started_at - :age, "
        "updated_at = updated_at - :age, finished_at = finished_at - :age",
        {"age": AGE},
    )
    kind = _kinds(count)
    for number in range(count):
        what = kind(number)
        stem = "zebra" if number % 50 == 7 else patterns[what].plan.action.removeprefix("local/")
        patterns[what].copy(tx, f"{stem}-{number:06}", tx.now - AGE - (number + 5) * APART)


def _kinds(count: int) -> Callable[[int], str]:
    """Which kind the plan with a number is: some need somebody, of the others one in twenty was cancelled."""
    needing = min(NEEDING, count * 3 // 10)

    def kind(number: int) -> str:
        if number < needing:
            return ("execute?", "execute?", "apply?", "errored")[number % 4]
        return "cancelled" if number % 20 == 0 else "applied"

    return kind
