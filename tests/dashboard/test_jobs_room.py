"""The room of the jobs: the queue, what is over, the workers, and the bars of the last minutes."""

import asyncio

from textual.app import App, ComposeResult

from cleveragents_tui.dashboard.widgets.history import BUCKET_SECONDS, BUCKETS, History, bars
from cleveragents_tui.dashboard.widgets.job_rows import JobRows
from cleveragents_tui.dashboard.widgets.workers import WorkerRows
from daemon import protocol, views
from tests.dashboard.dashboards import Seat, sit
from tests.homes import Home


def _job_under_cursor(seat: Seat) -> views.JobView:
    chosen = seat.app.screen.query_one(JobRows).chosen
    assert chosen is not None
    return chosen


def test_a_job_is_seen_from_the_queue_to_its_end(shared: Home) -> None:
    """What runs stands above what is over, with its worker; the room keeps up by itself."""
    gate = shared.gate()
    plan = shared.use(shared.action(gate.command), shared.repository(), code=None)
    gate.wait()

    async def play(seat: Seat) -> None:
        await seat.press("2")
        await seat.sees("▶ QUEUE", f"▶ {plan}", "execute", "runs 00:", "1 of 4 workers busy", "1 running, 0 queued")
        rows, workers = seat.app.screen.query_one(JobRows), seat.app.screen.query_one(WorkerRows)
        busy = next(worker for worker in workers.known if worker.job_id is not None)
        job = _job_under_cursor(seat)
        assert (busy.job_id, rows.plans[job.plan_id]) == (job.job_id, plan)

        gate.open()
        await seat.sees("✔ FINISHED", "took", "0 of 4 workers busy")
        await seat.until(lambda: "▶ QUEUE" not in seat.text())
        assert rows.totals["open"] == 0

    sit(shared, play)


def test_a_job_is_cancelled_when_somebody_confirms(shared: Home) -> None:
    """The question names the plan; no is no, and yes cancels it for good."""
    gate = shared.gate()
    plan = shared.use(shared.action(gate.command), shared.repository(), code=None)
    gate.wait()

    async def play(seat: Seat) -> None:
        await seat.press("2")
        await seat.sees(f"▶ {plan}", "X Cancel")
        job = _job_under_cursor(seat).job_id
        await seat.press("X")
        await seat.sees("for good?", f"execute of {plan}, running")
        await seat.press("n")
        await seat.sees(f"▶ {plan}")
        await seat.press("X")
        await seat.sees("for good?")
        await seat.press("y")
        await seat.sees(f"⊘ {plan}", "cancelled")
        assert seat.app.echoed == f"ca job cancel {job[-8:]}"

    sit(shared, play)
    assert shared.position(plan) == "execute/cancelled"


def test_enter_goes_to_the_plan(shared: Home) -> None:
    """From the job to what it is for, which a prune has left alone: it is not old enough."""
    plan = shared.executed("true")

    async def play(seat: Seat) -> None:
        await seat.press("2")
        await seat.sees(plan)
        job = _job_under_cursor(seat)
        assert job.status == "succeeded"
        await seat.press("P")
        await seat.sees("older than async.retention")
        await seat.press("y")
        await seat.sees("removed 0 jobs")
        assert seat.app.echoed == "ca job prune"
        await seat.press("enter")
        await seat.until(lambda: seat.app.current_mode == "plans")
        assert seat.app.echoed == f"ca plan show {job.plan_id[-8:]}"

    sit(shared, play, size=(80, 24))


# --- many jobs ---------------------------------------------------------------------------------------------------------------

FINISHED = 100_000


def _job(number: int, status: str = "succeeded") -> views.JobView:
    """A job of many, with a name of its own."""
    at = "2026-01-01T00:00:00.000Z"
    return views.JobView(
        job_id=f"JOB{number:023}", plan_id=f"PLAN{number:022}", phase="execute", status=status, priority=0, attempt=1,
        payload_json="{}", schema_version=1, timeout_s=60, worker_id=None, created_at=at, started_at=at,
        last_heartbeat=None, cancel_requested_at=None, finished_at=at, error_code=None, error_message=None,
    )  # fmt: skip


def _answer(request: protocol.JobBoard, shift: int = 0) -> views.JobBoardView:
    """What a daemon with many jobs says; `shift` of them are newer than those of before."""
    total = FINISHED + shift
    pages = [
        views.JobPageView(page.of, page.offset, [
            _job(total - 1 - place) for place in range(page.offset, min(total, page.offset + page.limit))
        ])
        for page in request.pages
        if page.of == "finished"
    ]  # fmt: skip
    names = {job.plan_id: f"plan-{job.plan_id[4:].lstrip('0')}" for page in pages for job in page.jobs}
    return views.JobBoardView(0, total, pages, names)


class Listing(App[None]):
    """A list alone, which is answered at once."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def compose(self) -> ComposeResult:
        yield JobRows()

    def on_job_rows_wanted(self) -> None:
        rows = self.query_one(JobRows)
        request = rows.request()
        self.asked += sum(page.limit for page in request.pages)
        rows.take(_answer(request), anew=False)


def test_of_many_jobs_only_those_in_view_are_fetched() -> None:
    """The end of 100,000 is one key away; what was asked for is a few screens; the cursor stays on its job."""

    async def scene() -> None:
        app = Listing()
        async with app.run_test(size=(100, 30)) as pilot:
            rows = app.query_one(JobRows)
            rows.take(_answer(rows.request()), anew=True)
            rows.focus()
            assert rows.count == FINISHED + 1
            await pilot.press("G")
            await pilot.pause()
            assert rows.chosen == _job(0)
            assert rows.complete
            await pilot.press("g", *["pagedown"] * 20)
            await pilot.pause()
            chosen = rows.chosen
            assert chosen == _job(FINISHED - 1 - (rows.cursor - 1))
            assert app.asked < 3_000

            line = rows.cursor - rows.scroll_offset.y
            rows.take(_answer(rows.request(), shift=3), anew=True)
            assert rows.chosen == chosen
            assert rows.cursor - rows.scroll_offset.y == line

    asyncio.run(scene())


# --- the bars ----------------------------------------------------------------------------------------------------------------


def _event(seq: int, second: int, kind: str, **detail: str) -> views.EventView:
    minute, rest = divmod(second, 60)
    return views.EventView(seq, f"2026-01-01T00:{minute:02}:{rest:02}.000Z", f"job.{kind}", "P", "J", detail)


NOW = 1_767_225_600.0
"""The first moment of 2026."""


def test_the_bars_tell_what_ended_and_how_long_the_queue_was() -> None:
    """Each event counts once, at its time; the length of the queue is told backwards from what it is now."""
    history = History()
    history.begin([
        _event(1, 10, "queued"), _event(2, 11, "queued"), _event(3, 40, "running"), _event(4, 60, "succeeded"),
        _event(5, 61, "cancelled", reason="by the user"), _event(6, 62, "cancel-requested"), _event(7, 70, "queued"),
    ])  # fmt: skip
    history.add([_event(7, 70, "queued"), _event(8, 100, "failed", error="x")])
    moment = NOW + 110
    ended, depths = history.ended(moment), history.depths(moment, 1)
    assert sum(ended) == 3
    assert ended[-1] == 1
    assert max(depths) == 2
    assert depths[-1] == 1
    assert depths[: BUCKETS - 1 - 110 // BUCKET_SECONDS] == [0] * (BUCKETS - 1 - 110 // BUCKET_SECONDS)
    assert history.moves(moment)
    later = moment + BUCKETS * BUCKET_SECONDS
    assert sum(history.ended(later)) == 0
    assert history.depths(later, 4) == [4] * BUCKETS
    assert not history.moves(later)


def test_more_than_nothing_can_be_seen_in_the_bars() -> None:
    """One of a thousand is a bar above the line, and the highest is as high as it gets."""
    assert bars([0, 1, 1000]) == "▁▂█"
    assert bars([0, 0]) == "▁▁"
    assert bars([]) == ""
