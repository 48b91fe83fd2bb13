"""Apply: the reviewed change enters the projects, all of them or none.

The merge is computed beside the project, the checks run on its result, the journal is durable, and only then is the first
file changed. After a crash the next daemon finds the journal and completes what it says, or takes it back.
"""

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from daemon import actions, applying, processes, views
from daemon.holding import owner_of
from daemon.phases import commands
from daemon.phases.context import Context, shown
from daemon.workers import ConstrainedError
from store import crashpoints, damage, errors, journals, locks
from store.database import Transaction
from store.records import JournalEntry, PlanProject
from store.states import State

SUBJECT = 72
"""Characters of a commit's subject; what is longer is cut by most of what shows it."""
TRIES = 5
"""How often Apply begins anew because the project moved while the checks ran."""


class Request(msgspec.Struct, frozen=True):
    """What was asked for; it travels in the job's payload."""

    schema_version: int
    mode: str
    allow_empty: bool = False


async def run(context: Context) -> None:
    """Merge, check, journal, write."""
    context.token.check()  # what is only to be stopped may ask for what this program does not know
    request = damage.document(context.claim.job, "payload_json", Request)
    await _lock_projects(context)
    entries = journals.entries(context.db.read, context.plan.plan_id)
    journal = journals.get(context.db.read, context.plan.plan_id)
    if journal is not None and journal.state == "writing":
        await _go_on(context, entries, journal.mode)
        return
    prepared = await _prepare_and_check(context, request)
    entries = [entry for one in prepared for entry in one.entries]
    await context.write(lambda tx: journals.begin(tx, context.plan.plan_id, request.mode, entries))
    crashpoints.reach("apply.journalled")
    await _write(context, entries)
    commit = next((one.commit for one in prepared if one.commit), None)
    moved = [project.project for project, one in zip(context.projects, prepared, strict=True) if one.moved]
    await _finish(context, request.mode, commit, moved)


async def _lock_projects(context: Context) -> None:
    """The project locks, waited for while another plan is being applied to one of them."""
    job = context.claim.job
    ttl = float(context.services.config.value("lock.ttl"))
    wanted = [("project", project.project) for project in context.projects]

    def held_by_another() -> bool | None:
        held = [locks.get(context.db.read, kind, name) for kind, name in wanted]
        return None if any(lock and not lock.stale(context.db.clock) for lock in held) else True

    while True:
        try:
            await context.write(lambda tx: locks.acquire_all(tx, wanted, owner_of(job), ttl))
        except errors.LockConflictError:
            await context.token.watch(context.services.feed.until(held_by_another, timeout=1.0))
        else:
            return


async def _prepare_and_check(context: Context, request: Request) -> list[applying.Prepared]:
    """The merged results, checked as they will be written."""
    checked: list[str] | None = None
    for _ in range(TRIES):
        prepared = await _prepare_all(context, request)
        trees = [one.tree for one in prepared]
        if trees == checked or not context.action.checks:
            return prepared
        await _check(context, prepared)
        checked = trees
    raise errors.ChangeMovedError(
        f"the project kept changing while the checks of {context.plan.name} ran",
        detail={"plan_id": context.plan.plan_id},
        suggestions=[f"ca plan apply {context.plan.name}"],
    )


async def _prepare_all(context: Context, request: Request) -> list[applying.Prepared]:
    """Every project's part; the conflicts of all of them are one error."""
    prepared: list[applying.Prepared] = []
    conflicts: list[errors.MergeConflictError] = []
    for project in context.projects:
        try:
            prepared.append(await _prepare(context, project, request))
        except errors.MergeConflictError as error:
            conflicts.append(error)
    if conflicts:
        first = conflicts[0]
        for other in conflicts[1:]:
            first.message = f"{first.message}; {other.message}"
            first.detail["files"] += other.detail["files"]
        first.suggestions = first.suggestions or [
            f"ca plan revert {context.plan.name}",
            f"ca plan cancel {context.plan.name}",
        ]
        raise ConstrainedError(first) from first
    return prepared


async def _prepare(context: Context, project: PlanProject, request: Request) -> applying.Prepared:
    assert project.base is not None and project.tip is not None, "Strategize stored them"  # noqa: PT018  one fact
    return await context.blocking(
        applying.prepare,
        context.repository_of(project),
        project.plan_id,
        project.base,
        project.tip,
        request.mode,
        message=_message(context),
        branch=f"ca/{context.plan.name}" if request.mode == "branch" else None,
        umask=context.plan.umask,
    )


async def _check(context: Context, prepared: Sequence[applying.Prepared]) -> None:
    """Run the action's checks in a scratch checkout of the merged result.

    Raises:
        ConstrainedError: one failed.
    """
    scratch = context.services.paths.sandboxes / context.plan.plan_id / ".checks"
    try:
        for project, one in zip(context.projects, prepared, strict=True):
            assert project.base is not None, "Strategize stored it"
            given = context.repository_of(project), one.tree, project.base, scratch / project.project
            await context.blocking(applying.scratch, *given)
        for number, check in enumerate(context.action.checks):
            await _run_check(context, check, number, scratch / context.projects[0].project)
    finally:
        await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)


async def _run_check(context: Context, check: actions.CheckSpec, number: int, directory: Path) -> None:
    job = context.claim.job
    log = context.services.paths.jobs / job.job_id / f"check.{number}.{job.attempt}.log"
    command = processes.Command(
        argv=actions.shell_argv(actions.render(check.run, context.arguments), check.shell or context.action.shell),
        cwd=directory,
        environment={**context.variables(context.projects[0], directory, check.env), "CA_STEP_ID": f"check.{number}"},
        umask=context.plan.umask,
        log=log,
        exit_file=log.with_suffix(".exit"),
    )
    result = await commands.run_anew(context, command, seconds=check.timeout)
    if result.code == 0 and not result.timed_out:
        return
    named = check.name if check.name == f"check {number + 1}" else f"the check {check.name}"
    how = f"did not end within {check.timeout:g} s" if result.timed_out else f"failed: exit {result.code}"
    raise ConstrainedError(
        errors.ChecksFailedError(
            f"{named} {how} on the merged result; the project is untouched",
            detail={"check": check.name, "exit_code": result.code, "log": str(log), "tail": commands.tail(log)},
            suggestions=[f"read {log}", f"ca plan apply {context.plan.name}", f"ca plan revert {context.plan.name}"],
        )
    )


async def _write(context: Context, entries: Sequence[JournalEntry]) -> None:
    """Write every project; when one fails, those before it are taken back and the journal with them."""
    done: list[PlanProject] = []
    try:
        for project in context.projects:
            mine = [entry for entry in entries if entry.project == project.project]
            await asyncio.to_thread(applying.write, context.repository_of(project), mine)
            done.append(project)
    except errors.CleverAgentsError:
        await _take_back(context, done, entries)
        raise


async def _take_back(context: Context, projects: Sequence[PlanProject], entries: Sequence[JournalEntry]) -> None:
    for project in projects:
        mine = [entry for entry in entries if entry.project == project.project]
        await asyncio.to_thread(applying.retreat, context.repository_of(project), mine)
    crashpoints.reach("apply.taken-back")
    await context.write(lambda tx: journals.remove(tx, context.plan.plan_id))


async def _go_on(context: Context, entries: Sequence[JournalEntry], mode: str) -> None:
    """A crash cut the writing: complete it, unless somebody changed one of the files since; then take it back."""
    foreign: list[str] = []
    for project in context.projects:
        mine = [entry for entry in entries if entry.project == project.project]
        mixed = await asyncio.to_thread(applying.mixed, context.repository_of(project), mine)
        foreign += [shown(path) for path in mixed]
    if foreign:
        await _take_back(context, context.projects, entries)
        raise errors.ChangeMovedError(
            f"Apply was cut by a crash, and these files were changed since: {', '.join(foreign[:5])}; all others were restored",
            detail={"files": foreign},
            suggestions=[f"ca plan apply {context.plan.name}"],
        )
    for project in context.projects:
        mine = [entry for entry in entries if entry.project == project.project]
        await asyncio.to_thread(applying.advance, context.repository_of(project), mine)
    commit = next((entry.new for entry in entries if entry.target == "ref"), None)
    await _finish(context, mode, commit, [])


async def _finish(context: Context, mode: str, commit: str | None, moved: Sequence[str]) -> None:
    diff = damage.document(context.plan, "diff_json", views.DiffStatView)
    applied = views.AppliedView(
        plan_id=context.plan.plan_id,
        digest=diff.digest,
        mode=mode,
        files=diff.files,
        insertions=diff.insertions,
        deletions=diff.deletions,
        commit=commit,
        moved=list(moved),
        undo=f"ca plan undo {context.plan.name}",
    )

    def note(tx: Transaction) -> None:
        journals.set_state(tx, context.plan.plan_id, "written")
        for project in moved:
            tx.event("apply.project-moved", plan_id=context.plan.plan_id, project=project)
        applied_json = msgspec.json.encode(applied).decode()
        plan = context.services.lifecycle.complete(tx, context.claim, applied_json=applied_json)
        assert plan.state is State.APPLIED, "a cancel does not reach what is in the project"

    await context.write(note)


def _message(context: Context) -> str:
    """What the commit says: a subject that fits, and the whole of it below when that was cut."""
    what = context.action.description or context.action.name
    subject = " ".join(what.split())
    whole = [] if len(subject) <= SUBJECT and subject == what else [what]
    subject = subject if len(subject) <= SUBJECT else f"{subject[: SUBJECT - 1].rstrip()}…"
    return "\n\n".join([subject, *whole, f"Plan: {context.plan.plan_id} ({context.plan.name})"]) + "\n"
