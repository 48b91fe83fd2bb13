"""How the bases of a plan are looked at while its tree is resolved: the names in them, and commands that print items.

A command runs in a checkout of the base that is thrown away: nothing that it writes enters a plan.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from daemon import items, outline, processes, repositories, sandboxes
from daemon.phases import commands
from daemon.phases.context import Context, Services, sandbox_path
from daemon.phases.planner import Base
from daemon.snapshots import Project

STEM = "items"
"""How the files with what commands print are called."""

Runner = Callable[[processes.Command, float], Awaitable[commands.Result]]
"""Runs a command to its end, or until so many seconds have passed."""


class Place(msgspec.Struct, frozen=True):
    """A project of a plan at its base.

    Attributes:
        plan_id: The plan.
        repository: The project.
        commit: Its base.
        path: Where its checkout goes, or the project itself when that is where commands run.
        in_place: Whether it is.
    """

    plan_id: str
    repository: Project
    commit: str
    path: Path
    in_place: bool

    @property
    def name(self) -> str:
        """What the plan calls the project."""
        return self.repository.name


@contextlib.asynccontextmanager
async def of_phase(context: Context, bases: Sequence[Base], *, plans: int = 1) -> AsyncGenerator[outline.Ground]:
    """The ground of a plan in Strategize; its commands are ended and begun anew when the daemon dies meanwhile.

    Args:
        context: The phase.
        bases: The base of every project of the plan.
        plans: How many plans the whole tree has already.
    """
    job = context.claim.job
    places = [
        Place(
            context.plan.plan_id,
            context.repository_of(base.project),
            base.snapshot.commit,
            sandbox_path(context.services.paths, base.project),
            base.project.strategy == "none",
        )
        for base in bases
    ]
    variables = {
        **context.environment,
        "CA_PLAN_ID": context.plan.plan_id,
        "CA_JOB_ID": job.job_id,
        "CA_GUIDANCE": "\n".join(context.guidance),
    }

    async def run(command: processes.Command, seconds: float) -> commands.Result:
        return await commands.run_anew(context, command, seconds=seconds)

    directory = context.services.paths.jobs / job.job_id
    listing = Listing(
        places, run, variables=variables, umask=context.plan.umask, directory=directory, stem=f"{STEM}.{job.attempt}"
    )
    async with contextlib.aclosing(listing):
        yield ground(context.services, places, context.environment, listing, plans=plans)


async def end_earlier(context: Context) -> None:
    """End a command that an earlier daemon left, and forget what it printed."""
    directory = context.services.paths.jobs / context.claim.job.job_id
    for record in sorted(directory.glob("*.process")):
        await commands.end_earlier(context, directory, record.stem)
    for file in directory.glob(f"{STEM}.*"):
        file.unlink()


def ground(
    services: Services, places: Sequence[Place], environment: Mapping[str, str], look: items.Look, *, plans: int
) -> outline.Ground:
    """What a tree is to run on."""
    names = [place.name for place in places]
    return outline.Ground(
        projects=names,
        in_place=frozenset(place.name for place in places if place.in_place),
        environment=environment,
        max_depth=int(services.config.value(outline.DEPTH_KEY, names[0])),
        look=look,
        plans=plans,
    )


class Listing:
    """Looks at the bases of one plan; see `items.Look`. To be closed.

    Args:
        places: The plan's projects.
        run: How commands are run.
        variables: The environment of all commands, before what each adds.
        umask: The file mode mask of commands.
        directory: Where what they print goes, as long as they run.
        stem: How the files there are called.
    """

    def __init__(
        self,
        places: Sequence[Place],
        run: Runner,
        *,
        variables: Mapping[str, str],
        umask: int,
        directory: Path,
        stem: str,
    ) -> None:
        self._places = {place.name: place for place in places}
        self._variables = variables
        self._umask = umask
        self._directory = directory
        self._stem = stem
        self._run = run
        self._number = 0
        self._names: dict[str, list[str]] = {}
        self._made: dict[str, list[str]] = {}

    async def names(self, project: str) -> Sequence[str]:
        if project not in self._names:
            self._names[project] = await asyncio.to_thread(_names, self._places[project])
        return self._names[project]

    async def run(self, project: str, command: items.ItemCommand) -> items.Printed:
        place = self._places[project]
        await self._make(place, command.include)
        self._number += 1
        log = self._directory / f"{self._stem}.{self._number}.log"
        exit_file, output = log.with_suffix(".exit"), log.with_suffix(".output")
        variables = {**self._variables, "CA_PROJECT": project, "CA_SANDBOX": str(place.path), **command.variables}
        started = processes.Command(
            argv=command.argv,
            cwd=place.path,
            environment=variables,
            umask=self._umask,
            log=log,
            exit_file=exit_file,
            output=output,
        )
        try:
            result = await self._run(started, command.seconds)
            return await asyncio.to_thread(_printed, result, log, output)
        finally:
            for file in (log, exit_file, output):
                file.unlink(missing_ok=True)

    async def aclose(self) -> None:
        """Remove the checkouts."""
        for project in list(self._made):
            await asyncio.to_thread(_clear, self._places[project])
            del self._made[project]

    async def _make(self, place: Place, include: list[str]) -> None:
        """A checkout that is the base again, with these files beside it."""
        if place.in_place:
            return
        given = (place.repository, place.plan_id, place.path, place.commit)
        if self._made.get(place.name) == include:
            await asyncio.to_thread(sandboxes.restore, *given, discard=True)
            return
        await asyncio.to_thread(_clear, place)  # another one, or what an earlier daemon left
        self._made[place.name] = include
        await asyncio.to_thread(sandboxes.create, *given, include=include)


def _clear(place: Place) -> None:
    """Remove the checkout; put back to the base first, so that nothing of it is kept as if it were work."""
    if place.path.is_dir():
        sandboxes.restore(place.repository, place.plan_id, place.path, place.commit, discard=True)
    sandboxes.remove(place.repository, place.plan_id, place.path)


def _printed(result: commands.Result, log: Path, output: Path) -> items.Printed:
    with output.open("rb") as file:
        content = file.read(items.MAX_OUTPUT + 1)
    tail = commands.tail(log) or commands.tail(output)
    return items.Printed(code=result.code, timed_out=result.timed_out, output=content, tail=tail)


def _names(place: Place) -> list[str]:
    """The names in the base; a submodule is a directory."""
    listed = repositories.private(place.repository, ["ls-tree", "-r", "-z", place.commit])
    entries = listed.decode(errors="surrogateescape").split("\0")
    names = [f"{name}/" if mode.startswith("160000 ") else name for mode, _, name in map(_parted, entries) if name]
    return sorted({*names, *items.directories(names)})


def _parted(entry: str) -> tuple[str, str, str]:
    return entry.partition("\t")
