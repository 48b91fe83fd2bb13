"""What a new daemon makes of the store that a dead one left, record by record."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from daemon import recovery
from daemon.feed import Feed
from daemon.holding import owner_of
from daemon.lifecycle import Lifecycle
from daemon.moves import Claim
from daemon.phases.context import Services
from daemon.settings import Settings
from store import jobs, journals, locks, opening, paths, plans
from store.database import Database, Transaction
from store.records import Plan
from store.states import Phase, State
from tests.stores import SettableClock, new_plan


def recovered(
    root: Path, before: Callable[[Services, SettableClock], Any], after: Callable[[Services, list[str]], Any]
) -> Any:
    """Let `before` leave something behind, recover, and look."""

    async def scene() -> Any:
        clock = SettableClock()
        home = paths.resolve({"CLEVERAGENTS_HOME": str(root)})
        home.create()
        db: Database = opening.open_store(home.database, home.backups, clock)
        settings = Settings(home.config_file, {})
        services = Services(db, Feed(), Lifecycle(settings), settings, home)
        try:
            await before(services, clock)
            problems = await recovery.recover(services)
            return after(services, problems)
        finally:
            await db.close()

    return asyncio.run(scene())


async def begun(services: Services, name: str = "p", attempt: int = 0) -> Claim:
    """A plan whose Strategize is processing."""
    plan = new_plan(name, automation_profile="supervised", attempt=attempt)

    def work(tx: Transaction) -> Claim | None:
        services.lifecycle.use(tx, plan, [])
        return services.lifecycle.claim(tx, "w1")

    claim = await services.db.write(work)
    assert claim is not None
    return claim


def only_plan(services: Services) -> Plan:
    (plan,) = plans.find(services.db.read)[0]
    return plan


def test_a_running_job_goes_back_into_the_queue(tmp_path: Path) -> None:
    """With its attempt, and without its lock: any worker may go on at once."""

    async def before(services: Services, _clock: SettableClock) -> None:
        await begun(services)

    def after(services: Services, problems: list[str]) -> None:
        plan = only_plan(services)
        (job,) = jobs.latest(services.db.read)
        assert problems == []
        assert (plan.phase, plan.state) == ("strategize", "queued")
        assert (job.status, job.attempt, job.worker_id) == ("queued", 1, None)
        assert locks.all_locks(services.db.read) == []
        assert job.job_id == plan.job_id

    recovered(tmp_path, before, after)


@pytest.mark.parametrize("seconds", [0, 10**6, -(10**6)])
def test_no_running_job_is_judged_by_its_heartbeat(tmp_path: Path, seconds: int) -> None:
    """However long no daemon was there, and whatever the clock says."""

    async def before(services: Services, clock: SettableClock) -> None:
        await begun(services)
        clock.advance(seconds)

    def after(services: Services, _problems: list[str]) -> None:
        assert only_plan(services).state is State.QUEUED

    recovered(tmp_path, before, after)


def test_a_job_of_an_earlier_boot_goes_on(tmp_path: Path) -> None:
    async def before(services: Services, clock: SettableClock) -> None:
        await begun(services)
        clock.boot = "boot-2"

    def after(services: Services, problems: list[str]) -> None:
        assert problems == []
        assert only_plan(services).state is State.QUEUED

    recovered(tmp_path, before, after)


@pytest.mark.parametrize(("attempt", "state"), [(0, "queued"), (18, "queued"), (19, "errored"), (500, "errored")])
def test_a_job_that_was_begun_too_often_is_lost(tmp_path: Path, attempt: int, state: str) -> None:
    """A phase that kills its daemon ends after so many deaths, with the reason."""

    async def before(services: Services, _clock: SettableClock) -> None:
        await begun(services, attempt=attempt)

    def after(services: Services, _problems: list[str]) -> None:
        plan = only_plan(services)
        assert plan.state == state
        if state == "errored":
            assert '"code":"lost"' in (plan.error_json or "")
            assert str(attempt + 1) in (plan.error_json or "")
            assert jobs.latest(services.db.read)[0].status == "failed"

    assert recovery.CLAIMS_LIMIT == 20
    recovered(tmp_path, before, after)


def test_a_lock_that_is_gone_does_not_matter(tmp_path: Path) -> None:
    async def before(services: Services, _clock: SettableClock) -> None:
        claim = await begun(services)
        await services.db.write(lambda tx: locks.release_all_for_owner(tx, owner_of(claim.job)))

    def after(services: Services, problems: list[str]) -> None:
        assert problems == []
        assert only_plan(services).state is State.QUEUED

    recovered(tmp_path, before, after)


def test_queued_jobs_stay_as_they_are(tmp_path: Path) -> None:
    async def before(services: Services, _clock: SettableClock) -> None:
        plan = new_plan("p", automation_profile="supervised")
        await services.db.write(lambda tx: services.lifecycle.use(tx, plan, []))

    def after(services: Services, problems: list[str]) -> None:
        (job,) = jobs.latest(services.db.read)
        assert (problems, job.status, job.attempt) == ([], "queued", 0)

    recovered(tmp_path, before, after)


def test_one_bad_record_stops_nothing_else(tmp_path: Path) -> None:
    """It is named among the problems, and the others are put in order."""

    async def before(services: Services, _clock: SettableClock) -> None:
        bad = await begun(services, "bad")
        await begun(services, "good")
        await services.db.write(
            lambda tx: tx.execute("UPDATE plans SET state = 'complete' WHERE plan_id = ?", (bad.plan.plan_id,))
        )

    def after(services: Services, problems: list[str]) -> None:
        good = plans.named(services.db.read, "good")
        assert good is not None
        assert good.state is State.QUEUED
        assert len(problems) == 1
        assert "set aside" in problems[0]

    recovered(tmp_path, before, after)


def test_recovering_twice_is_recovering_once(tmp_path: Path) -> None:
    async def before(services: Services, _clock: SettableClock) -> None:
        await begun(services)
        await recovery.recover(services)

    def after(services: Services, problems: list[str]) -> None:
        (job,) = jobs.latest(services.db.read)
        assert (problems, job.status, job.attempt) == ([], "queued", 1)

    recovered(tmp_path, before, after)


def test_a_cut_undo_without_entries_is_completed(tmp_path: Path) -> None:
    """The plan is execute/complete again, its journal and the locks of the dead undo are gone."""

    async def before(services: Services, _clock: SettableClock) -> None:
        plan = new_plan("p", phase=Phase.APPLY, state=State.APPLIED)

        def work(tx: Transaction) -> None:
            plans.insert(tx, plan, [])
            journals.begin(tx, plan.plan_id, "worktree", [])
            journals.set_state(tx, plan.plan_id, "undoing")
            locks.acquire(tx, "plan", plan.plan_id, f"undo:{plan.plan_id}:X", 3600)
            locks.acquire(tx, "project", "local/x", f"undo:{plan.plan_id}:X", 3600)

        await services.db.write(work)

    def after(services: Services, problems: list[str]) -> None:
        plan = only_plan(services)
        assert problems == []
        assert (plan.phase, plan.state) == ("execute", "complete")
        assert journals.unfinished(services.db.read) == []
        assert locks.all_locks(services.db.read) == []

    recovered(tmp_path, before, after)


def test_the_journal_of_an_unfinished_apply_waits_for_its_job(tmp_path: Path) -> None:
    async def before(services: Services, _clock: SettableClock) -> None:
        plan = new_plan("p", phase=Phase.APPLY, state=State.ERRORED)
        await services.db.write(
            lambda tx: (plans.insert(tx, plan, []), journals.begin(tx, plan.plan_id, "worktree", []))
        )

    def after(services: Services, problems: list[str]) -> None:
        (journal,) = journals.unfinished(services.db.read)
        assert (problems, journal.state) == ([], "writing")

    recovered(tmp_path, before, after)


def test_what_recovery_did_is_in_the_events(tmp_path: Path) -> None:
    async def before(services: Services, _clock: SettableClock) -> None:
        await begun(services)

    def after(services: Services, _problems: list[str]) -> None:
        rows = services.db.read.execute("SELECT kind, detail_json FROM events ORDER BY seq")
        kinds = [kind for kind, _ in rows]
        assert kinds[-2:] == ["job.queued", "plan.moved"]
        assert msgspec.json.decode(rows[-1][1])["to"] == "strategize/queued"

    recovered(tmp_path, before, after)
