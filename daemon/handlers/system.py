"""The daemon about itself, and everything at a glance."""

import os

from daemon import diagnostics, feed, locking, lookup, protocol, show, sync_views, views
from daemon.calls import Call, Daemon, Table
from store import boards, events, jobs, locks
from store.database import Reader
from store.records import Lock


def ping(_call: Call, _request: protocol.Ping) -> str:
    return "pong"


async def daemon_status(call: Call, _request: protocol.DaemonStatus) -> views.DaemonView:
    await call.daemon.workers.obey()
    return _daemon(call.daemon)


def _daemon(daemon: Daemon) -> views.DaemonView:
    db = daemon.services.db.read
    return views.DaemonView(
        running=True,
        pid=os.getpid(),
        version=daemon.version,
        protocol=protocol.PROTOCOL_VERSION,
        socket=str(daemon.paths.socket),
        store=str(daemon.paths.database),
        log=str(daemon.paths.daemon_log),
        started_at=show.moment(daemon.started_at),
        workers=show.workers(db),
        queued=jobs.queued_count(db),
        running_jobs=len(daemon.workers.running),
        draining=daemon.draining,
    )


def daemon_stop(call: Call, request: protocol.DaemonStop) -> views.StoppingView:
    """Answered before the end; the process is gone when its socket no longer answers."""
    running = len(call.daemon.workers.running)
    call.daemon.stop(request.grace, request.kill)
    if request.kill and running:
        call.say(f"what ran of {running} jobs was ended; the next daemon starts it again")
    return views.StoppingView(os.getpid(), 0 if request.kill else running)


async def status(call: Call, request: protocol.Status) -> views.StatusView:
    await call.daemon.workers.obey()
    db = call.services.db.read
    held, counts = _held(db), boards.counts(db)
    return views.StatusView(
        needs_you=_listed(call, boards.List.NEEDS_YOU, request.limit),
        running=_listed(call, boards.List.RUNNING, request.limit),
        queued=_listed(call, boards.List.QUEUED, request.limit),
        locks=[show.lock(lock, db.clock) for lock in held[: request.limit]],
        totals=views.StatusTotalsView(
            needs_you=counts.get(boards.List.NEEDS_YOU, 0),
            running=counts.get(boards.List.RUNNING, 0),
            queued=counts.get(boards.List.QUEUED, 0),
            locks=len(held),
        ),
        done=counts.get(boards.List.DONE, 0),
        sync=_sync(call.daemon),
        daemon=_daemon(call.daemon),
    )


def _listed(call: Call, of: boards.List, limit: int) -> list[views.PlanView]:
    db = call.services.db.read
    return show.plan_list(db, boards.page(db, of, limit=limit), 0, call.services.config).plans


def _sync(daemon: Daemon) -> sync_views.SyncView | None:
    return daemon.sync.status() if daemon.services.config.value("server.url") else None


def _held(db: Reader) -> list[Lock]:
    """The locks of users, then those of running jobs."""
    live = [lock for lock in locks.all_locks(db) if not lock.stale(db.clock)]
    of_jobs = [lock for lock in live if lock.owner_id.startswith(locking.JOB_OWNER)]
    return [*filter(locking.of_a_user, live), *of_jobs]


async def diagnose(call: Call, request: protocol.Diagnostics) -> views.DiagnosticsView:
    return await diagnostics.run(call.daemon, repair=request.repair)


def event_list(call: Call, request: protocol.EventList) -> views.EventsView:
    db = call.services.db.read
    plan_id = lookup.plan(db, request.plan).plan_id if request.plan else None
    if request.tree and plan_id is not None:
        found = events.since_in_tree(db, request.since or 0, plan_id=plan_id, limit=request.limit)
        return views.EventsView([show.event(event) for event in found], events.count_in_tree(db, plan_id=plan_id))
    if request.since is None:
        found = events.last(db, request.limit, plan_id=plan_id, offset=request.offset)
    else:
        found = events.since(db, request.since, plan_id=plan_id, limit=request.limit)
        for missing in feed.gap(db, request.since):
            call.say(missing)
    return views.EventsView([show.event(event) for event in found], events.count(db, plan_id=plan_id))


TABLE: Table = {
    protocol.Ping: ping,
    protocol.DaemonStatus: daemon_status,
    protocol.DaemonStop: daemon_stop,
    protocol.Status: status,
    protocol.Diagnostics: diagnose,
    protocol.EventList: event_list,
}
