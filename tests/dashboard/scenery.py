"""What a scripted daemon shows: plans, steps, jobs, locks and so on, whose ids, digests and times are always the same."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from daemon import sync_views, views

NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC).timestamp()
"""When everything here is so."""
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

NOBODY = views.ChildrenView(total=0, queued=0, processing=0, complete=0, applied=0, errored=0, cancelled=0)


# --- names and times ---------------------------------------------------------------------------------------------------------


def ago(seconds: float) -> str:
    """A time that many seconds before now; negative for one to come."""
    return datetime.fromtimestamp(NOW - seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def identity(name: str) -> str:
    """The id of what has this name."""
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:10], "big")
    return "01KKNB5R00" + "".join(CROCKFORD[number >> shift & 31] for shift in range(75, -5, -5))


def commit(name: str) -> str:
    """A commit."""
    return hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()


def digest(name: str) -> str:
    """What a change is reviewed by."""
    return hashlib.sha256(name.encode()).hexdigest()


# --- plans -------------------------------------------------------------------------------------------------------------------


def step(
    name: str, state: str = "succeeded", *, title: str = "", began: float | None = None, ended: float | None = None,
    **other: Any,
) -> views.StepView:  # fmt: skip
    """A step of a plan; `began` and `ended` are so many seconds ago."""
    made = views.StepView(
        id=name, title=title or name, kind="run", state=state, attempt=0 if state == "pending" else 1,
        exit_code=0 if state == "succeeded" else None, started_at=None if began is None else ago(began),
        finished_at=None if ended is None else ago(ended), log=None, children=None,
    )  # fmt: skip
    return msgspec.structs.replace(made, **other)


def steps(*names: str, took: float = 4.0, until: float = 60.0) -> list[views.StepView]:
    """Steps that all went well, one after another, up to so many seconds ago."""
    ends = [until + took * after for after in reversed(range(len(names)))]
    return [step(name, began=end + took, ended=end) for name, end in zip(names, ends, strict=True)]


def diff(name: str, files: int, insertions: int, deletions: int) -> views.DiffStatView:
    """How big the change of a plan is."""
    return views.DiffStatView(digest=digest(name), files=files, insertions=insertions, deletions=deletions)


def error(code: str, message: str, *, step: str | None = None, **detail: Any) -> views.ErrorView:
    """Why a plan does not go on."""
    return views.ErrorView(code=code, message=message, step=step, detail=detail)


def plan(
    name: str, position: str, *, action: str = "local/annotate", projects: Sequence[str] = ("local/web",),
    updated: float = 60.0, began: float | None = None, ended: float | None = None, can: Sequence[str] = (), **other: Any,
) -> views.PlanView:  # fmt: skip
    """A plan; `position` is `phase/state`, and `can` names the verbs that make sense now."""
    phase, _, state = position.partition("/")
    made = views.PlanView(
        plan_id=identity(name), name=name, action=action, projects=list(projects), phase=phase, state=state,
        terminal=state in {"applied", "cancelled"}, recoverable=state in {"errored", "constrained"},
        automation_profile="supervised", profile_source="default", arguments={}, priority=0, parent_plan_id=None,
        root_plan_id=identity(name), depth=0, subplan=None, base={one: commit(one) for one in projects}, sandboxes=[],
        steps=[], children=NOBODY, diff=None, applied=None, error=None, reversions=0,
        job_id=identity(f"job of {name}") if state in {"processing", "queued"} else None, revision=1,
        created_at=ago(updated + 600), updated_at=ago(updated), started_at=None if began is None else ago(began),
        finished_at=None if ended is None else ago(ended), next=[f"ca plan {verb} {name}" for verb in can],
    )  # fmt: skip
    return msgspec.structs.replace(made, **other)


def child(parent: views.PlanView, item: str, position: int, state: str, **other: Any) -> views.PlanView:
    """A plan below another one, for one item of its last step."""
    part = views.SubplanView(
        step=parent.steps[-1].id, item=item, position=position, needs=[], paths=[item], starts=1, left_out=False,
        integrated_at=None,
    )  # fmt: skip
    made = plan(f"{parent.name}.{position + 1}", f"execute/{state}", action="local/modernise-one",
                projects=parent.projects, **other)  # fmt: skip
    return msgspec.structs.replace(
        made, parent_plan_id=parent.plan_id, root_plan_id=parent.plan_id, depth=1, subplan=part
    )


def decision(of: views.PlanView, kind: str, question: str, choice: str, **other: Any) -> views.DecisionView:
    """Something that was decided for a plan; the first one is above all others."""
    made = views.DecisionView(
        decision_id=identity(f"{of.name} {kind} {choice}"), parent_id=None, kind=kind, question=question, choice=choice,
        reason="", superseded=False, plan_id=of.plan_id, created_at=ago(600),
    )  # fmt: skip
    return msgspec.structs.replace(made, **other)


def tree(of: views.PlanView, decisions: Sequence[views.DecisionView], *below: views.PlanTreeView) -> views.PlanTreeView:
    """What was decided for a plan and for those below it."""
    return views.PlanTreeView(
        plan_id=of.plan_id, name=of.name, item=of.subplan.item if of.subplan else None, phase=of.phase, state=of.state,
        decisions=list(decisions), children=list(below),
    )  # fmt: skip


# --- jobs, locks, events -----------------------------------------------------------------------------------------------------


def job(of: views.PlanView, phase: str, status: str, *, queued: float, began: float | None = None,
        ended: float | None = None, **other: Any) -> views.JobView:  # fmt: skip
    """A phase of a plan, as the queue has it."""
    made = views.JobView(
        job_id=of.job_id if status in {"running", "queued"} and of.job_id else identity(f"{phase} of {of.name}"),
        plan_id=of.plan_id, phase=phase, status=status, priority=0, attempt=1, payload_json="{}", schema_version=1,
        timeout_s=0, worker_id=None, created_at=ago(queued), started_at=None if began is None else ago(began),
        last_heartbeat=None, cancel_requested_at=None, finished_at=None if ended is None else ago(ended), error_code=None,
        error_message=None,
    )  # fmt: skip
    return msgspec.structs.replace(made, **other)


def worker(
    number: int, on: views.JobView | None = None, *, done: int = 0, failed: int = 0, cancelled: int = 0
) -> views.WorkerView:
    """A worker, and the job that it has."""
    return views.WorkerView(
        worker_id=f"worker-{number}", state="idle" if on is None else "busy", job_id=on.job_id if on else None,
        last_heartbeat=ago(2), jobs_processed=done, jobs_failed=failed, jobs_cancelled=cancelled,
    )  # fmt: skip


def lock(resource: str, owner: str, *, held: float, left: float, fence: int = 1) -> views.LockView:
    """A lease; what is left of one that expired is negative."""
    kind, _, name = resource.partition(":")
    return views.LockView(
        resource_type=kind, resource_id=name, owner_id=owner, fence=fence, acquired_at=ago(held), expires_at=ago(-left),
        stale=left < 0,
    )  # fmt: skip


def event(seq: int, kind: str, past: float, *, of: views.PlanView | None = None, **detail: Any) -> views.EventView:
    """Something that happened so many seconds ago."""
    return views.EventView(
        seq=seq, time=ago(past), kind=kind, plan_id=of.plan_id if of else None, job_id=None, detail=detail
    )


# --- the team server ---------------------------------------------------------------------------------------------------------


def sync(**other: Any) -> sync_views.SyncView:
    """How the sync stands when no server is connected."""
    made = sync_views.SyncView(
        active=False, auto=True, interval=300, cursor=None, epoch=None, entities=0, last_pull_at=None, next_pull_at=None,
        last_error=None, pulls=0, conflicts=0, server_id=None, namespace=None, pending=0, streaming=False, running=False,
        invalid=[],
    )  # fmt: skip
    return msgspec.structs.replace(made, **other)


def server(stand: sync_views.SyncView, **other: Any) -> sync_views.ServerView:
    """What the server says when it is asked."""
    made = sync_views.ServerView(
        mode="disabled", url=None, namespace=stand.namespace, tls_verify=True, token_set=False, reason=None,
        server_version=None, sync=stand, host=sync_views.HostView(running=False, pid=None, url=None),
    )  # fmt: skip
    return msgspec.structs.replace(made, **other)


def version(
    content: str | None, *, by: str | None = None, revision: int | None = None, past: float | None = None
) -> sync_views.SharedVersionView:
    """One version of a shared definition."""
    return sync_views.SharedVersionView(
        content=content, revision=revision, changed_at=None if past is None else ago(past), changed_by=by
    )
