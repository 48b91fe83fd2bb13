"""What it costs to keep: room on the disk, memory, and wake-ups, after a day's worth of plans that were applied."""

import atexit
import contextlib
import functools
import os
import resource
import shutil
import time
from collections.abc import Generator
from typing import cast

import apsw
import msgspec

from bench.dashboard_desk import Desk
from bench.dashboard_views import a_plan
from bench.git_work import repository
from bench.homes import Home, git
from bench.idle import memory, wakes
from bench.measure import Row, Sample, Settings, alternate, scratch, shown, timed
from cleveragents_tui import client as clients
from daemon import packing, protocol, repositories, sandboxes, snapshots
from daemon.disk import allocated
from store.database import Connection

FILES = 1_000
PLANS = 1_000
WARM = 20
"""Plans of the home that is compared with: what is made once is there."""
AT_ONCE = 4
MIB = 2**20
PRIVATE = "the private repository"

_ACTION = b"""\
name: local/change
arguments:
  - {name: target, type: path, required: true}
steps:
  - id: change
    run: echo "one more line" >> {target}
"""


class _Look(msgspec.Struct, frozen=True):
    """What a home takes at one moment: bytes by what has them, of a table with the number of its rows; MiB of the daemon."""

    places: dict[str, int]
    tables: dict[str, tuple[int, int]]
    memory: float


class _Lived(msgspec.Struct, frozen=True):
    """A home in which so many plans were applied, each committed afterwards; its daemon runs."""

    home: Home
    client: clients.Client
    look: _Look

    @property
    def private(self) -> snapshots.Project:
        (found,) = self.home.paths.repositories.glob("*.git")
        return snapshots.Project("bench", self.home.directory / "project", "git", found)


@functools.cache
def _lived(plans: int) -> _Lived:
    """Made once for all rows; it is there until the end of this process."""
    kept = contextlib.ExitStack()
    atexit.register(kept.close)
    home = Home(kept.enter_context(scratch()))
    client = kept.enter_context(home.daemon())
    _live(home, client, FILES, plans)
    return _Lived(home, client, _look(home, client))


def _few_and_many(settings: Settings) -> tuple[_Lived, _Lived]:
    return _lived(WARM), _lived(WARM + settings.sized(PLANS, 40))


def _live(home: Home, client: clients.Client, files: int, plans: int) -> None:
    """Plans that change a file each, some at a time, and are applied."""
    project = home.directory / "project"
    repository(project, files)
    client.call(protocol.ProjectAdd(path=str(project), name="project"))
    client.call(protocol.ActionCreate(content=_ACTION, source="change.yaml"))
    names = git(project, "ls-files").splitlines()
    for first in range(0, plans, AT_ONCE):
        wanted = [names[number % files] for number in range(first, min(first + AT_ONCE, plans))]
        _carry_out(client, wanted)
        git(project, "commit", "-qam", f"plans from {first}")


def _carry_out(client: clients.Client, targets: list[str]) -> None:
    environment = {"PATH": os.fsencode(os.environ["PATH"])}
    requests = [
        protocol.PlanUse(
            action="local/change", projects=["project"], arguments={"target": target}, profile="trusted",
            environment=environment,
        )
        for target in targets
    ]  # fmt: skip
    made = [client.call(request).plan_id for request in requests]
    for plan in made:
        client.call(protocol.PlanWait(plan=plan), timeout=None)
        client.call(protocol.PlanApply(plan=plan, environment=environment))
    for plan in made:
        done = client.call(protocol.PlanWait(plan=plan), timeout=None)
        if done.state != "applied":
            raise RuntimeError(f"the plan is {done.phase}/{done.state}: {done.error}")


def _look(home: Home, client: clients.Client) -> _Look:
    paths = home.paths
    return _Look(
        places={
            "the store": sum(map(allocated, paths.database.parent.glob(f"{paths.database.name}*"))),
            PRIVATE: allocated(paths.repositories),
            "logs": allocated(paths.jobs),
            "environments": allocated(paths.environments),
            "sandboxes": allocated(paths.sandboxes),
        },
        tables={name: _table(home, name) for name in ("async_jobs", "events")},
        memory=memory(client.hello.pid),
    )


def _table(home: Home, name: str) -> tuple[int, int]:
    """The bytes of a table with its indexes, and its rows."""
    connection = cast("Connection", apsw.Connection(str(home.paths.database), flags=apsw.SQLITE_OPEN_READONLY))
    size = connection.execute(
        "SELECT sum(pgsize) FROM dbstat WHERE name IN (SELECT name FROM sqlite_schema WHERE tbl_name = ?)", (name,)
    ).fetchone()
    count = connection.execute(f"SELECT count(*) FROM {name}").fetchone()
    connection.close()
    return cast("tuple[int]", size)[0], cast("tuple[int]", count)[0]


def _sandbox(project: snapshots.Project) -> float:
    """Seconds of base and sandbox of one more plan, which is forgotten again; the daemon has nothing to do meanwhile."""
    plan = "bench"
    path = project.repository.parent.parent / "sandboxes" / plan / "bench"

    def work() -> None:
        snapshots.prepare(project)
        base = snapshots.take(project, repositories.plan_ref(plan, "0/base"))
        sandboxes.create(project, plan, path, base.commit)

    took = timed(work)
    sandboxes.remove(project, plan, path)
    repositories.forget_plan(project, plan)
    return took


def _plan(settings: Settings) -> Generator[Sample]:
    few, many = _few_and_many(settings)
    plans = settings.sized(PLANS, 40)
    grown = {name: (size - few.look.places[name]) / plans / 1024 for name, size in many.look.places.items()}
    settings.notes["cost-plan"] = [", ".join(f"{name} {shown(size, 'KiB')}" for name, size in grown.items())]
    yield Sample(sum(grown.values()), 1)


def _row(settings: Settings, table: str) -> Generator[Sample]:
    (less, few), (more, many) = (lived.look.tables[table] for lived in _few_and_many(settings))
    yield Sample((more - less) / (many - few), 1)


def _memory(settings: Settings) -> Generator[Sample]:
    few, many = _few_and_many(settings)
    yield Sample(many.look.memory, few.look.memory)


def _later(settings: Settings) -> Generator[Sample]:
    few, many = _few_and_many(settings)
    while True:
        yield alternate(lambda: _sandbox(many.private), lambda: _sandbox(few.private), 9)


def _packed(settings: Settings) -> Generator[Sample]:
    """On a copy, since the others look at what the plans left."""
    _, many = _few_and_many(settings)
    with scratch() as directory:
        repository = directory / "copy.git"
        shutil.copytree(many.private.repository, repository, symlinks=True)
        size, loose, refs = allocated(repository), packing.loose(repository), packing.loose_refs(repository)
        before = _spent()
        packing.pack(repository)
        spent = _spent() - before
        packs = len(list((repository / "objects" / "pack").glob("*.pack")))
        settings.notes["cost-packed"] = [
            f"{loose:,} objects and {refs:,} refs of a file each became {packs} packs and a file, in {shown(spent, 's')} of CPU"
        ]
        yield Sample(allocated(repository) / MIB, size / MIB)


def _spent() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _wakes(settings: Settings) -> Generator[Sample]:
    """Of one daemon alone, and of one with a dashboard in front of it, in the same time."""
    seconds = settings.amount(60, 10)
    with scratch() as directory, contextlib.ExitStack() as running:
        daemons = [running.enter_context(Home(directory / name).daemon()) for name in ("alone", "watched")]
        for name, client in zip(("alone", "watched"), daemons, strict=True):
            _live(Home(directory / name), client, 10, 2)
        desk = running.enter_context(Desk(Home(directory / "watched")))
        desk.until(a_plan)
        desk.watch(8)  # what is shown for some seconds after the start has gone
        while True:
            before = [wakes(client.hello.pid) for client in daemons]
            begin = time.monotonic()
            desk.watch(seconds)
            minutes = (time.monotonic() - begin) / 60
            alone, watched = ((wakes(one.hello.pid) - was) / minutes for one, was in zip(daemons, before, strict=True))
            settings.notes["cost-wakes"] = [f"the one that nobody looks at: {alone:.3g}"]
            yield Sample(watched, 1)


ROWS = [
    Row("cost-plan", f"disk: one plan that was applied, mean of {PLANS:,}", "", "KiB", _plan),
    Row("cost-job", "disk: one finished job in the store, with its indexes", "", "bytes",
        lambda settings: _row(settings, "async_jobs")),
    Row("cost-event", "disk: one event in the store, with its indexes", "", "bytes",
        lambda settings: _row(settings, "events")),
    Row("cost-memory", f"daemon, resident memory, after {PLANS:,} plans that were applied", f"after {WARM}", "MiB", _memory),
    Row("cost-sandbox", f"base and sandbox of one more plan after {PLANS:,}", f"after {WARM}", "s", _later),
    Row("cost-packed", f"disk: private repository after {PLANS:,} plans, packed", "as the plans left it", "MiB", _packed),
    Row("cost-wakes", "daemon with an idle dashboard in front of it, wake-ups in a minute", "", "times", _wakes),
]  # fmt: skip
