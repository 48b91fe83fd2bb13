"""The boards: all plans, and all jobs, in the lists that the dashboard shows, page by page."""

from collections.abc import Sequence

from daemon import lookup, protocol, show, views
from daemon.calls import Call, Table
from store import boards, errors, events, jobs, plans
from store.boards import List
from store.database import Reader
from store.records import AsyncJob, Plan

PAGES = 64
"""Pages, and places, that one request may ask for."""
ROWS = 512
"""Plans that one page may have."""


async def plan_board(call: Call, request: protocol.PlanBoard) -> views.PlanBoardView:
    """Nothing is awaited in here: the answer is of one moment."""
    _check(request.pages, request.places)
    db = call.services.db.read
    matching = boards.pattern(request.filter)
    counts = boards.counts(db, matching)
    return views.PlanBoardView(
        seq=events.newest(db),
        counts=views.BoardCountsView(**{name.value: counts.get(name, 0) for name in List}),
        pages=[_page(db, page, matching) for page in request.pages],
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


def _page(db: Reader, page: protocol.BoardPage, matching: str | None) -> views.BoardPageView:
    found = _plans(db, page, matching)
    return views.BoardPageView(page.of, page.offset, show.plan_list(db, found, 0).plans)


def _plans(db: Reader, page: protocol.BoardPage, matching: str | None) -> list[Plan]:
    if page.of in set(List):
        return boards.page(db, List(page.of), offset=page.offset, limit=page.limit, matching=matching)
    parent = lookup.plan(db, page.of).plan_id
    return boards.children(db, parent, offset=page.offset, limit=page.limit)


def _place(db: Reader, plan_id: str, matching: str | None) -> views.BoardPlaceView | None:
    plan = plans.get(db, plan_id)
    place = None if plan is None else boards.place(db, plan, matching)
    if place is None:
        return None
    return views.BoardPlaceView(plan_id, place.of, place.position, boards.children_count(db, plan_id))


async def job_board(call: Call, request: protocol.JobBoard) -> views.JobBoardView:
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
