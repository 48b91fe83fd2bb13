"""What an Apply would do now: the merge, computed beside the project as Apply itself computes it, and thrown away."""

import asyncio

from daemon import actions, applying, repositories, views
from daemon.phases.context import Services, project_of, shown
from store import damage, errors, names, plans
from store.records import Plan, PlanProject


async def preview(services: Services, plan: Plan, mode: str) -> views.PlanPreviewView:
    """Compute the merge of every project.

    Raises:
        CleverAgentsError: what Apply itself would refuse with, but for conflicts, which are part of the answer.
    """
    action = damage.document(plan, "definition_json", actions.Action)
    diff = damage.document(plan, "diff_json", views.DiffStatView)
    found = [
        await asyncio.to_thread(_look, services, plan, project, mode)
        for project in plans.projects(services.db.read, plan.plan_id)
    ]
    arguments = damage.document(plan, "arguments_json", actions.Values)
    checks = [views.DryRunCheckView(check.name, actions.render(check.run, arguments)) for check in action.checks]
    return views.PlanPreviewView(plan.plan_id, diff.digest, mode, found, checks)


def _look(services: Services, plan: Plan, project: PlanProject, mode: str) -> views.ProjectPreviewView:
    assert project.base is not None and project.tip is not None, "Strategize stored them"  # noqa: PT018  one fact
    repository = project_of(services.paths, project)
    aside = f"preview-{names.new_ulid()}"  # not among the refs of the plan, which an Apply may be writing
    prepared, conflicts = None, []
    try:
        prepared = applying.prepare(
            repository, aside, project.base, project.tip, mode,
            message=plan.name, branch=f"ca/{plan.name}" if mode == "branch" else None, umask=plan.umask,
        )  # fmt: skip
    except errors.MergeConflictError as error:
        conflicts = [views.ConflictView(file["path"], file["kind"]) for file in error.detail["files"]]
    finally:
        repositories.forget_plan(repository, aside)
    return views.ProjectPreviewView(
        project=project.project,
        path=project.path,
        branch=repositories.head(repository).branch if project.kind == "git" else None,
        files=prepared.files if prepared else 0,
        insertions=prepared.insertions if prepared else 0,
        deletions=prepared.deletions if prepared else 0,
        moved=prepared is None or prepared.moved,
        edited=[shown(path) for path in prepared.dirty] if prepared else [],
        conflicts=conflicts,
    )
