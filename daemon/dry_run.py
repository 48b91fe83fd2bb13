"""What `plan use` would make: the whole tree, found as Strategize finds it; nothing of it is stored or left behind."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path

import msgspec

from daemon import (
    actions,
    checking,
    checkouts,
    inclusions,
    outline,
    planning,
    processes,
    repositories,
    show,
    snapshots,
    views,
)
from daemon.phases import commands, listing
from daemon.phases.context import Services, shown
from daemon.snapshots import Project, Snapshot, Uncarried
from daemon.tokens import Stop, Stopped, Token
from store import names

PREFIX = "dry-run-"
"""How the directory is called in which one works; after a crash it is of no use to anybody."""
UMASK = 0o077


async def dry_run(services: Services, draft: planning.Draft, environment: Mapping[str, str]) -> views.DryRunView:
    """Look at the projects, resolve the tree, and say what it is.

    Raises:
        CleverAgentsError: what Strategize itself would refuse with.
    """
    token = Token()
    work = asyncio.create_task(_Rehearsal(services, draft, environment, token).run(), name="dry run")
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        token.stop(Stop.CANCELLED)  # not in the middle of something that would be left behind
        await asyncio.wait([work])
        work.exception()  # of one that nobody waits for, nobody is told
        raise


class _Base(msgspec.Struct, frozen=True):
    """A project as a plan would find it now."""

    repository: Project
    snapshot: Snapshot
    uncarried: list[Uncarried]


class _Rehearsal:
    """One dry run. What it keeps in the private repositories has a name that no plan has, and goes with it."""

    def __init__(self, services: Services, draft: planning.Draft, environment: Mapping[str, str], token: Token) -> None:
        self._services = services
        self._draft = draft
        self._environment = environment
        self._token = token
        self._aside = names.new_ulid(services.db.clock.now())
        self._directory = services.paths.state / f"{PREFIX}{self._aside}"
        self._repositories = [
            Project(found.name, Path(found.path), found.kind, services.paths.repositories / f"{found.project_id}.git")
            for found in draft.projects
        ]

    async def run(self) -> views.DryRunView:
        db, draft = self._services.db.read, self._draft
        actor = checking.check_actors(db, draft.action, self._environment)
        self._directory.mkdir(mode=0o700)
        try:
            bases = [await self._base(repository) for repository in self._repositories]
            async with self._ground(bases) as ground:
                if actor is None:
                    node = await outline.resolve(
                        db, draft.action, draft.arguments, draft.action.steps, depth=0, ground=ground
                    )
                else:
                    node = outline.undecided(draft.action, draft.arguments)
            return await asyncio.to_thread(_shown, draft, bases, node)
        finally:
            await asyncio.to_thread(self._leave)

    async def _base(self, repository: Project) -> _Base:
        self._token.check()
        return await asyncio.to_thread(_taken, repository, f"{snapshots.PLAN_REFS}/{self._aside}/base")

    @contextlib.asynccontextmanager
    async def _ground(self, bases: Sequence[_Base]) -> AsyncGenerator[outline.Ground]:
        places = [
            listing.Place(
                self._aside,
                base.repository,
                base.snapshot.commit,
                base.repository.path if strategy == "none" else self._directory / "files" / base.repository.name,
                strategy == "none",
            )
            for base, strategy in zip(bases, self._draft.strategies, strict=True)
        ]
        variables = {**self._environment, "CA_PLAN_ID": "", "CA_GUIDANCE": ""}
        found = listing.Listing(
            places, self._run, variables=variables, umask=UMASK, directory=self._directory, stem=listing.STEM
        )
        async with contextlib.aclosing(found):
            yield listing.ground(self._services, places, self._environment, found, plans=1)

    async def _run(self, command: processes.Command, seconds: float) -> commands.Result:
        """Run a command to its end; there is no job, and nobody would adopt it."""
        self._token.check()
        process = await processes.start(command)
        process.release()
        grace = float(self._services.config.value("async.cancel-grace"))
        try:
            exit_ = await self._token.watch(process.wait(), seconds=seconds)
        except TimeoutError:
            await commands.end(process, grace)
            return commands.Result((await process.wait()).code, timed_out=True)
        except Stopped:
            await commands.end(process, grace)
            raise
        return commands.Result(exit_.code)

    def _leave(self) -> None:
        for repository in self._repositories:
            repositories.forget_plan(repository, self._aside)
        checkouts.delete(self._directory)


def _taken(repository: Project, ref: str) -> _Base:
    uncarried = snapshots.preflight(repository)
    snapshots.prepare(repository)
    return _Base(repository, snapshots.take(repository, ref), uncarried)


def _shown(draft: planning.Draft, bases: Sequence[_Base], node: outline.Node) -> views.DryRunView:
    action = draft.action
    return views.DryRunView(
        action=action.name,
        projects=[project.name for project in draft.projects],
        automation_profile=draft.profile,
        profile_source=draft.profile_source,
        arguments=show.arguments(draft.arguments),
        include=action.sandbox.include,
        steps=msgspec.to_builtins(action.steps),
        base=[_base_view(base, strategy) for base, strategy in zip(bases, draft.strategies, strict=True)],
        checks=[
            views.DryRunCheckView(check.name, actions.render(check.run, draft.arguments)) for check in action.checks
        ],
        plans=_size(node),
        tree=_Shower([base.repository for base in bases]).plan(node, [project.name for project in draft.projects]),
    )


def _base_view(base: _Base, strategy: str) -> views.DryRunBaseView:
    snapshot = base.snapshot
    return views.DryRunBaseView(
        project=base.repository.name,
        path=str(base.repository.path),
        strategy=strategy,
        head=snapshot.head,
        branch=snapshot.branch,
        modified=snapshot.modified,
        base=snapshot.commit,
        uncarried=[f"{shown(entry.path)}: {entry.reason}" for entry in base.uncarried],
    )


def _size(node: outline.Node) -> int:
    return 1 + sum(_size(child.node) for children in node.children.values() for child in children)


class _Shower:
    """Nodes as they are shown; whether the included files are there is looked up once for each action."""

    def __init__(self, repositories_: Sequence[Project]) -> None:
        self._repositories = {repository.name: repository for repository in repositories_}
        self._missing: dict[tuple[str, str], list[str]] = {}

    def plan(self, node: outline.Node, projects: list[str]) -> views.DryRunPlanView:
        action = node.action
        setup = action.sandbox.setup
        return views.DryRunPlanView(
            action=action.name,
            projects=projects,
            arguments=show.arguments(node.arguments),
            decided_by=node.decided_by,
            read_only=action.read_only,
            include=action.sandbox.include,
            missing={name: missing for name in projects if (missing := self._missing_in(name, action))},
            setup=None if setup is None else actions.render(setup, node.arguments),
            steps=[self._step(step, node, projects) for step in node.steps],
        )

    def _missing_in(self, project: str, action: actions.Action) -> list[str]:
        key = (project, action.name)
        if key not in self._missing:
            repository, wanted = self._repositories[project], action.sandbox.include
            self._missing[key] = [
                name
                for name, relative in zip(wanted, inclusions.checked(repository, wanted), strict=True)
                if not (repository.path / relative).exists() and not (repository.path / relative).is_symlink()
            ]
        return self._missing[key]

    def _step(self, step: actions.StepSpec, node: outline.Node, projects: list[str]) -> views.DryRunStepView:
        return views.DryRunStepView(
            id=step.id,
            title=step.title,
            kind=step.kind,
            needs=step.needs,
            project=step.project or projects[0],
            run=None if step.run is None else actions.render(step.run, node.arguments),
            prompt=None if step.prompt is None else actions.render_text(step.prompt, node.arguments),
            timeout=step.timeout,
            retries=step.retries,
            subplans=None if step.subplans is None else self._subplans(step, step.subplans, node, projects),
        )

    def _subplans(
        self, step: actions.StepSpec, spec: actions.SubplansSpec, node: outline.Node, projects: list[str]
    ) -> views.DryRunSubplansView:
        children = node.children[step.id]
        below = projects if step.project is None else [step.project]
        return views.DryRunSubplansView(
            action=spec.action,
            mode=spec.mode,
            max_parallel=spec.max_parallel,
            fail_fast=spec.fail_fast,
            merge=spec.merge,
            retries=spec.retries,
            timeout=spec.timeout,
            overlaps=[
                views.OverlapView(
                    path=overlap.path,
                    items=[children[position].item for position in overlap.children],
                    below=[children[position].item for position in overlap.below],
                )
                for overlap in (
                    outline.overlaps([child.paths for child in children]) if spec.mode != "sequential" else ()
                )
            ],
            children=[
                views.DryRunChildView(
                    item=child.item,
                    needs=[children[position].item for position in child.needs],
                    paths=child.paths,
                    plan=self.plan(child.node, below),
                )
                for child in children
            ],
        )
