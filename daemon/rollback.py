"""Rollback: the sandboxes of a plan back to the checkpoint of one of its steps, all projects together.

What the sandboxes hold is kept under refs first; then one transaction moves the plan; then the sandboxes follow. A crash
leaves the plan before that transaction or after it, and after it Execute restores what the crash kept from being restored.
"""

import asyncio
from collections.abc import Sequence

import msgspec

from daemon import changes, repositories, sandboxes, views
from daemon.lifecycle import Rollback
from daemon.phases.context import Services, project_of, sandbox_path
from store import crashpoints, errors, locks, plans
from store.records import Lock, Plan, PlanProject, Step
from store.states import State, StepState


async def roll_back(services: Services, plan_id: str, step_id: str) -> Plan:
    """Roll back to the checkpoint of a step; the plan stays where it is.

    Raises:
        InvalidTransitionError: the plan or the step is not where it can be rolled back to.
        NotFoundError: there is no such step, or its checkpoint is gone.
        LockConflictError: somebody works on the plan.
    """
    lock = await services.db.write(lambda tx: services.lifecycle.begin_rollback(tx, plan_id, step_id))
    try:
        await _carry_out(services, lock, step_id)
    except Exception:
        await services.db.write(lambda tx: locks.release_all_for_owner(tx, lock.owner_id))
        raise
    return await services.db.write(lambda tx: services.lifecycle.end_rollback(tx, lock))


async def _carry_out(services: Services, lock: Lock, step_id: str) -> None:
    plan_id = lock.resource_id
    plan = plans.get(services.db.read, plan_id)
    assert plan is not None, "a plan is never deleted"
    projects = plans.projects(services.db.read, plan_id)
    work = _Work(services, plan, projects, plans.steps(services.db.read, plan_id), step_id)
    rollback = await asyncio.to_thread(work.prepare)
    crashpoints.reach("rollback.kept")
    await services.db.write(lambda tx: services.lifecycle.rolled_back(tx, lock, rollback))
    crashpoints.reach("rollback.recorded")
    await asyncio.to_thread(work.restore, rollback)
    crashpoints.reach("rollback.restored")


class _History(msgspec.Struct, frozen=True):
    """What a private repository knows of a plan: its refs, and the place of each commit on the way to the tip."""

    refs: dict[str, str]
    places: dict[str, int]


class _Work:
    """The git work of one rollback; it blocks."""

    def __init__(
        self, services: Services, plan: Plan, projects: Sequence[PlanProject], steps: Sequence[Step], step_id: str
    ) -> None:
        self._paths = services.paths
        self._plan = plan
        self._all = projects
        self._projects = [project for project in projects if project.strategy == "clone"]
        self._done = [step for step in steps if step.state is StepState.SUCCEEDED]
        self._steps = steps
        self._target = next(step for step in steps if step.step_id == step_id)

    def prepare(self) -> Rollback:
        """Keep what the sandboxes hold, and find what the plan goes back to."""
        histories = [self._history(project) for project in self._projects]
        reached = self._turn(self._target, histories)
        earlier = {step.step_id for step in self._done if self._turn(step, histories) <= reached}
        commits = [history.refs[self._checkpoint_of(self._target)] for history in histories]
        kept = self._free_name(histories)
        for project in self._projects:
            self._keep(project, kept)
        tips = [
            (project, commit, changes.tree_of(project_of(self._paths, project), commit))
            for project, commit in zip(self._projects, commits, strict=True)
        ]
        return Rollback(
            step_id=self._target.step_id,
            later=[step.step_id for step in self._steps if step.step_id not in earlier],
            tips=tips,
            kept=kept,
            diff_json=self._diff(tips) if self._plan.state is State.COMPLETE else None,
        )

    def restore(self, rollback: Rollback) -> None:
        """Let each sandbox that is there hold the checkpoint."""
        for project, commit, _ in rollback.tips:
            path = sandbox_path(self._paths, project)
            if project.sandbox_status == "ready" and path.is_dir():
                sandboxes.restore(project_of(self._paths, project), project.plan_id, path, commit)

    def _history(self, project: PlanProject) -> _History:
        assert project.base is not None and project.tip is not None, "Strategize stored them"  # noqa: PT018  one fact
        repository = project_of(self._paths, project)
        line = repositories.line_of(repository, project.base, project.tip)
        places = {commit: place for place, commit in enumerate(line)}
        return _History(repositories.plan_refs(repository, project.plan_id), places)

    def _checkpoint_of(self, step: Step) -> str:
        """The ref with what a step did; steps that ended together have one, named after the last of them."""
        last = [other for other in self._done if other.finished_at == step.finished_at][-1]
        return f"{self._plan.reversions}/checkpoint/{last.step_id}"

    def _turn(self, step: Step, histories: Sequence[_History]) -> tuple[int, int]:
        """When a step ended, compared with others: by its commits, which no clock disturbs, then by its time."""
        name = self._checkpoint_of(step)
        places = [history.places.get(history.refs.get(name, "")) for history in histories]
        if None in places:
            raise errors.NotFoundError(
                f"the checkpoint of step {step.step_id} of {self._plan.name} is no longer in the private repository",
                detail={"plan_id": self._plan.plan_id, "step": step.step_id, "ref": name},
                suggestions=[f"ca plan revert {self._plan.name}"],
            )
        return sum(place or 0 for place in places), step.finished_at or 0

    def _free_name(self, histories: Sequence[_History]) -> str:
        prefix = f"{self._plan.reversions}/rollback/"
        names = {name for history in histories for name in history.refs if name.startswith(prefix)}
        return f"{prefix}{1 + max((int(name.removeprefix(prefix)) for name in names), default=0)}"

    def _keep(self, project: PlanProject, name: str) -> None:
        assert project.tip is not None, "Strategize stored it"
        repository, path = project_of(self._paths, project), sandbox_path(self._paths, project)
        if project.sandbox_status == "ready" and path.is_dir():
            sandboxes.checkpoint(repository, project.plan_id, path, name, project.tip)
        else:
            repositories.move_refs(repository, [(repositories.plan_ref(project.plan_id, name), project.tip)])

    def _diff(self, tips: Sequence[tuple[PlanProject, str, str]]) -> str:
        moved = {project.position: (commit, tree) for project, commit, tree in tips}
        results = [(project, *moved.get(project.position, (project.tip, project.tip_tree))) for project in self._all]
        diffs = [
            changes.diff(project_of(self._paths, project), project.base or "", tip or "") for project, tip, _ in results
        ]
        stat = views.DiffStatView(
            digest=changes.digest([(project.base_tree or "", tree or "") for project, _, tree in results]),
            files=sum(len(diff.files) for diff in diffs),
            insertions=sum(diff.insertions for diff in diffs),
            deletions=sum(diff.deletions for diff in diffs),
        )
        return msgspec.json.encode(stat).decode()
