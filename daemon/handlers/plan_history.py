"""Plans: what they made, and why they stand where they stand."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

from daemon import explaining, lookup, protocol, repositories, show, views
from daemon.calls import Call, Table
from daemon.holding import owner_of
from daemon.phases.context import project_of
from store import jobs, locks, plans
from store.records import AsyncJob, Plan, PlanProject
from store.states import Phase

EVERY = -1
"""As a limit."""
_FILES = {".log": "log", ".prompt": "prompt"}


async def artifacts(call: Call, request: protocol.PlanArtifacts) -> views.PlanArtifactsView:
    db = call.services.db.read
    plan = lookup.plan(db, request.plan)
    projects = plans.projects(db, plan.plan_id)
    steps = {step.step_id for step in plans.steps(db, plan.plan_id)}
    found = [_sandbox(project) for project in projects if project.sandbox_status == "ready"]
    for project in projects:
        found += await asyncio.to_thread(_commits, call, project)
    directories = [
        call.services.paths.jobs / job.job_id for job in reversed(jobs.latest(db, plan_id=plan.plan_id, limit=EVERY))
    ]
    found += await asyncio.to_thread(lambda: [file for one in directories for file in _files(one, steps)])
    return views.PlanArtifactsView(plan.plan_id, found, len(found))


def _sandbox(project: PlanProject) -> views.ArtifactView:
    return views.ArtifactView("sandbox", project.project, None, None, project.sandbox_path or "", None, None, None)


def _commits(call: Call, project: PlanProject) -> list[views.ArtifactView]:
    """What the refs of the plan keep in one private repository."""
    repository = project_of(call.services.paths, project)
    return [
        _commit(project, repository.repository, name, commit)
        for name, commit in repositories.plan_refs(repository, project.plan_id).items()
    ]


def _commit(project: PlanProject, repository: Path, name: str, commit: str) -> views.ArtifactView:
    ref = repositories.plan_ref(project.plan_id, name)
    within = name.partition("/")[2] if name.partition("/")[0].isdigit() else name
    kind, _, rest = within.partition("/")
    step, attempt = None, None
    if kind in {"checkpoint", "before", "integrated"}:
        step = rest
    elif kind in {"partial", "edited"}:
        step, _, number = rest.rpartition("-")
        attempt = int(number)
    return views.ArtifactView(
        kind=kind.partition("-")[0],
        project=project.project,
        step=step,
        attempt=attempt,
        path=str(repository),
        ref=ref,
        commit=commit,
        bytes=None,
    )


def _files(directory: Path, steps: Iterable[str]) -> list[views.ArtifactView]:
    """What the commands of one job wrote, and what was written for them, oldest first."""
    if not directory.is_dir():
        return []
    found = [(path.stat().st_mtime_ns, path) for path in directory.iterdir() if path.suffix in _FILES]
    return [_file(path, steps) for _, path in sorted(found)]


def _file(path: Path, steps: Iterable[str]) -> views.ArtifactView:
    step, _, number = path.stem.rpartition(".")
    is_step = step in steps and number.isdigit()
    return views.ArtifactView(
        kind=_FILES[path.suffix],
        project=None,
        step=step if is_step else None,
        attempt=int(number) if is_step else None,
        path=str(path),
        ref=None,
        commit=None,
        bytes=path.stat().st_size,
    )


def explain(call: Call, request: protocol.PlanExplain) -> views.PlanExplainView:
    db = call.services.db.read
    plan = lookup.plan(db, request.plan)
    steps = plans.steps(db, plan.plan_id)
    own = jobs.open_of_plan(db, plan.plan_id)
    return explaining.explain(
        plan,
        projects=plans.projects(db, plan.plan_id),
        steps=steps,
        decisions=plans.decisions(db, plan.plan_id),
        failures=plans.failures(db, plan.plan_id),
        job=own,
        holders=_holders(call, plan, own),
        commands=show.plan(db, plan, call.services.config).next,
    )


def _holders(call: Call, plan: Plan, own: AsyncJob | None) -> dict[str, str]:
    """Who holds the projects that an Apply under way waits for."""
    db = call.services.db.read
    if plan.phase is not Phase.APPLY or own is None:
        return {}
    held = [
        (project.project, locks.get(db, "project", project.project)) for project in plans.projects(db, plan.plan_id)
    ]
    return {
        name: _holder(call, lock.owner_id) for name, lock in held if lock is not None and lock.owner_id != owner_of(own)
    }


def _holder(call: Call, owner: str) -> str:
    """The plan behind a lock, where it is a job's."""
    db = call.services.db.read
    job: AsyncJob | None = jobs.get(db, owner.removeprefix("job:"))
    other = plans.get(db, job.plan_id) if job is not None else None
    return f"plan {other.name}" if other is not None else owner


TABLE: Table = {protocol.PlanArtifacts: artifacts, protocol.PlanExplain: explain}
