"""The dashboard in front of few plans and of many, at rest, and while much is printed: whole processes behind a terminal.

CPU time is that of the process, all its threads, as the scheduler counts it.
"""

import contextlib
import select
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterable
from pathlib import Path

from bench.dashboard_desk import Desk
from bench.dashboard_flood import Flood
from bench.dashboard_store import add_action, at_rest, copied, use
from bench.dashboard_views import CHANGES, Reader, Taken, first_row
from bench.idle import cpu
from bench.measure import Limit, Row, Sample, Settings, alternate, scratch, shown, timed
from cleveragents_tui.client import Client
from daemon import protocol

FEW = 100
_PLANS = (1_000, 10_000, 100_000)
_TEXTUAL = [sys.executable, "-c", "import textual.app"]
_EMPTY_APP = [sys.executable, "-c", "from textual.app import App; App().run()"]

Act = Callable[[Reader], Taken]


def _many(settings: Settings) -> int:
    return settings.sized(100_000, 10_000)


def _first_row(settings: Settings) -> Generator[Sample]:
    with scratch() as directory:
        many, few = copied(_many(settings), directory), copied(FEW, directory)
        with at_rest(many), at_rest(few):
            first_row(few)
            while True:
                yield alternate(lambda: first_row(many), lambda: first_row(few), settings.amount(5, 3))


def _start(settings: Settings) -> Generator[Sample]:
    with scratch() as directory:
        home = copied(FEW, directory)
        with at_rest(home):
            first_row(home)
            while True:
                yield alternate(
                    lambda: first_row(home),
                    lambda: timed(lambda: subprocess.run(_TEXTUAL, env=home.environ, check=True)),
                    settings.amount(5, 3),
                )


@contextlib.contextmanager
def reading(directory: Path, count: int) -> Generator[Reader]:
    """A dashboard in front of so many plans, and the daemon behind it."""
    home = copied(count, directory)
    with at_rest(home) as client, Desk(home) as desk:
        yield Reader(desk, client)


def _page_cpu(settings: Settings) -> Generator[Sample]:
    with scratch() as directory, reading(directory, _many(settings)) as reader:
        while True:
            taken = [reader.page_down() for _ in range(settings.amount(10, 5))]
            yield Sample(statistics.median(one.cpu for one in taken), 1)


def _beside(settings: Settings, name: str, act: Act) -> Generator[Sample]:
    """Seconds of something with many plans, and with few."""
    with scratch() as directory, reading(directory, _many(settings)) as many, reading(directory, FEW) as few:
        taken: list[Taken] = []
        while True:
            pairs = [(act(many), act(few)) for _ in range(settings.amount(10, 5))]
            taken += [ours for ours, _ in pairs]
            settings.notes[name] = [_costs(taken)]
            yield Sample(*(statistics.median(one.seconds for one in side) for side in zip(*pairs, strict=True)))


def _page(settings: Settings) -> Generator[Sample]:
    yield from _beside(settings, "dashboard-page", Reader.page_down)


def _filter(settings: Settings) -> Generator[Sample]:
    yield from _beside(settings, "dashboard-filter", Reader.filter)


def _tick(settings: Settings) -> Generator[Sample]:
    """The few are new ones in each round, for there are not many to move."""
    with scratch() as directory, reading(directory, _many(settings)) as many:
        taken: list[Taken] = []
        while True:
            with scratch() as other, reading(other, FEW) as few:
                peer = few.tick()
            taken.append(many.tick())
            settings.notes["dashboard-tick"] = [_costs(taken)]
            yield Sample(taken[-1].seconds, peer.seconds)


def _costs(taken: Iterable[Taken]) -> str:
    ours, daemon = (statistics.median(column) for column in zip(*((one.cpu, one.daemon) for one in taken), strict=True))
    return (
        f"with many plans it costs the dashboard {shown(ours / 1e3, 's')} of CPU, the daemon {shown(daemon / 1e3, 's')}"
    )


@contextlib.contextmanager
def _left_alone(settings: Settings, actions: Iterable[str] = ()) -> Generator[list[tuple[Desk, Desk, Client]]]:
    """Several dashboards that are left alone, each beside an empty application of Textual and with a daemon of its own."""
    with contextlib.ExitStack() as running:
        desks: list[tuple[Desk, Desk, Client]] = []
        for _ in range(settings.count):
            home = copied(FEW, running.enter_context(scratch()))
            client = running.enter_context(at_rest(home))
            for action in actions:
                add_action(client, "waits", action)
                running.callback(client.call, protocol.PlanCancel(plan=use(client, "waits", "trusted").plan_id))
            ours, peer = (running.enter_context(desk) for desk in (Desk(home), Desk(home, _EMPTY_APP)))
            desks.append((ours, peer, client))
        _listen(desks, 8)  # what is shown for some seconds after the start has gone
        yield desks


def _spent(settings: Settings, name: str, desks: list[tuple[Desk, Desk, Client]]) -> Iterable[tuple[float, float]]:
    """Seconds of CPU time that each dashboard and the one beside it take in the same half minute."""
    seconds = settings.amount(30, 10)
    before = [(ours.cpu, peer.cpu, cpu(client.hello.pid)) for ours, peer, client in desks]
    _listen(desks, seconds)
    after = [(ours.cpu, peer.cpu, cpu(client.hello.pid)) for ours, peer, client in desks]
    spent = [
        [(late - early) / 1e3 for early, late in zip(*one, strict=True)] for one in zip(before, after, strict=True)
    ]
    daemon = statistics.median(one[2] for one in spent)
    settings.notes[name] = [f"in {seconds} s; the daemon beside it takes {shown(daemon, 's')}"]
    return [(ours, peer) for ours, peer, _ in spent]


def _listen(desks: list[tuple[Desk, Desk, Client]], seconds: float) -> None:
    end = time.monotonic() + seconds
    terminals = [desk for ours, peer, _ in desks for desk in (ours, peer)]
    while (left := end - time.monotonic()) > 0:
        for desk in select.select(terminals, [], [], left)[0]:
            desk.listen(0)


def _idle(settings: Settings) -> Generator[Sample]:
    with _left_alone(settings) as desks:
        yield from (Sample(ours, peer) for ours, peer in _spent(settings, "dashboard-idle", desks))


def _idle_running(settings: Settings) -> Generator[Sample]:
    with _left_alone(settings, ["while sleep 1; do date; done"]) as desks:
        yield from (Sample(ours, peer) for ours, peer in _spent(settings, "dashboard-running", desks))


def _flood(settings: Settings) -> Generator[Sample]:
    with scratch() as directory, Flood.opened(directory) as flood:
        while True:
            yield alternate(
                lambda: flood.key(printing=True), lambda: flood.key(printing=False), settings.amount(20, 10)
            )


def _flood_memory(settings: Settings) -> Generator[Sample]:
    seconds = settings.amount(60, 10)
    with scratch() as directory, Flood.opened(directory) as flood:
        begin, end, busy = flood.grow(seconds)
        hour = (end - begin) * 3600 / seconds
        settings.notes["dashboard-memory"] = [
            f"{seconds} s of it took {busy:.0%} of a core; at this pace it would be {hour:+.0f} MiB in an hour"
        ]
        yield Sample(end, begin)


ROWS = [
    Row("dashboard-first-row", "dashboard: first data row with 100,000 plans", "the same with 100 plans", "s", _first_row,
        Limit(1.3), Limit(1.05), of="plans", sizes=_PLANS),
    Row("dashboard-page-cpu", "dashboard: one page down at 100,000 plans, CPU", "", "ms", _page_cpu,
        Limit(20, unit="ms"), Limit(8, unit="ms"), of="plans", sizes=_PLANS),
    Row("dashboard-page", "dashboard: one page down at 100,000 plans until it is seen", "the same with 100 plans", "s", _page,
        of="plans", sizes=_PLANS),
    Row("dashboard-filter", "dashboard: a letter of the filter until its plans are seen, 100,000 plans",
        "the same with 100 plans", "s", _filter, of="plans", sizes=_PLANS),
    Row("dashboard-tick", f"dashboard: another client moves {CHANGES} plans, until that is seen, 100,000 plans",
        "the same with 100 plans", "s", _tick, of="plans", sizes=_PLANS),
    Row("dashboard-start", "dashboard: start until the first plan is seen, 100 plans", '`python -c "import textual.app"`', "s",
        _start),
    Row("dashboard-idle", "dashboard idle, CPU time in half a minute", "an empty Textual application", "s", _idle),
    Row("dashboard-running", "dashboard with one plan that runs, CPU time in half a minute",
        "an empty Textual application", "s", _idle_running),
    Row("dashboard-flood", "dashboard: a key until it is seen while 20 steps print 1,000 lines a second each",
        "the same while they print nothing", "s", _flood),
    Row("dashboard-memory", "dashboard: resident memory after a minute of that", "before it", "MiB", _flood_memory),
]  # fmt: skip
