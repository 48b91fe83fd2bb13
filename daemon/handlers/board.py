"""The boards: all plans, and all jobs, in the lists that the dashboard shows, page by page."""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from daemon import lookup, protocol, show, views
from daemon.calls import Call, Daemon, Table
from store import boards, database, errors, events, jobs, plans
from store.boards import List
from store.config import Config
from store.database import Reader
from store.records import AsyncJob, Plan

PAGES = 64
"""Pages, and places, that one request may ask for."""
ROWS = 512
"""Plans that one page may have."""


def plan_board(
    call: Call, request: protocol.PlanBoard
) -> views.PlanBoardView | Coroutine[Any, Any, views.PlanBoardView]:
    """The answer is of one moment: nothing is awaited while it is put together, and a thread reads in one transaction."""
    _check(request.pages, request.places)
    matching = boards.pattern(request.filter)
    if matching is None:
        return _board(call.services.db.read, request, None, call.services.config)
    return asyncio.to_thread(_filtered, call.daemon, request, matching)


def _filtered(daemon: Daemon, request: protocol.PlanBoard, matching: str) -> views.PlanBoardView:
    with database.reading(daemon.paths.database, daemon.services.db.clock) as db:
        db.execute("BEGIN")
        return _board(db, request, matching, daemon.services.config)


def _board(db: Reader, request: protocol.PlanBoard, matching: str | None, config: Config) -> views.PlanBoardView:
    counts = boards.counts(db, matching)
    return views.PlanBoardView(
        seq=events.newest(db),
        counts=views.BoardCountsView(**{name.value: counts.get(name, 0) for name in List}),
        pages=[_page(db, page, matching, counts, config) for page in request.pages],
        places=[place for plan_id in request.places if (place := _place(db, plan_id, matching)) is not None],
    )


def _check(pages: Sequence[protocol.BoardPage], places: Sequence[str] = ()) -> None:
    """Limits on every input: what is asked for at once has to fit a screen, not a store."""
    if len(pages) > PAGES or len(places) > PAGES:
        raise errors.InvalidArgumentError(f"at most {PAGES} pages and {PAGES} places at a time")
    for page in pages:
        if not (0 <= page.limit <= ROWS and page.offset >= 0):
            raise errors.InvalidArgumentError(
                f"a page has 0 to {ROWS} plans from a position on that is not negative",
                detail={"offset": page.offset, "limit": page.limit},
            )


def _page(
    db: Reader, page: protocol.BoardPage, matching: str | None, counts: Mapping[List, int], config: Config
) -> views.BoardPageView:
    found = _plans(db, page, matching, counts)
    return views.BoardPageView(page.of, page.offset, show.plan_list(db, found, 0, config).plans)


def _plans(db: Reader, page: protocol.BoardPage, matching: str | None, counts: Mapping[List, int]) -> list[Plan]:
    if page.of in set(List):
        # no more than there are: what looks for matching ones ends with the last of them, and not with the list
        limit = max(0, min(page.limit, counts.get(List(page.of), 0) - page.offset))
        return boards.page(db, List(page.of), offset=page.offset, limit=limit, matching=matching)
    parent = lookup.plan(db, page.of).plan_id
    return boards.children(db, parent, offset=page.offset, limit=page.limit)


def _place(db: Reader, plan_id: str, matching: str | None) -> views.BoardPlaceView | None:
    plan = plans.get(db, plan_id)
    place = None if plan is None else boards.place(db, plan, matching)
    if place is None:
        return None
    return views.BoardPlaceView(plan_id, place.of, place.position, boards.children_count(db, plan_id))


def job_board(call: Call, request: protocol.JobBoard) -> views.JobBoardView:
    _check(request.pages)
    db = call.services.db.read
    pages = [(page, _jobs(db, page)) for page in request.pages]
    return views.JobBoardView(
        open=jobs.open_count(db),
        finished=jobs.finished_count(db),
        pages=[
            views.JobPageView(page.of, page.offset, [show.job(job, db.clock) for job in found]) for page, found in pages
        ],
        plans=boards.names(db, (job.plan_id for _, found in pages for job in found)),
    )


def _jobs(db: Reader, page: protocol.BoardPage) -> list[AsyncJob]:
    match page.of:
        case "open":
            return jobs.open_page(db, offset=page.offset, limit=page.limit)
        case "finished":
            return jobs.finished_page(db, offset=page.offset, limit=page.limit)
        case _:
            raise errors.InvalidArgumentError(f"jobs are open or finished, not {page.of!r}", detail={"of": page.of})


TABLE: Table = {protocol.PlanBoard: plan_board, protocol.JobBoard: job_board}
