"""Twenty steps that print a thousand lines a second each, and somebody who follows the log of one of them."""

import contextlib
import itertools
import shlex
import sys
from collections.abc import Generator
from pathlib import Path

from bench.dashboard_desk import Desk
from bench.dashboard_store import add_action, add_project, use
from bench.dashboard_views import a_plan
from bench.homes import Home
from bench.idle import memory
from cleveragents_tui import client as clients
from daemon import protocol

STEPS = 20
LINES = 1_000
"""Lines a second that each step prints."""

_PRINTER = f"""
import os, sys, time
for number in range(10**9):
    time.sleep(0.01)
    if os.path.exists(sys.argv[1]):
        print(*(f"{{number}} compiled src/module_{{line}}.c" for line in range({LINES // 100})), sep="\\n", flush=True)
"""


class Flood:
    """A dashboard that shows the log of one of them, the keyboard in the list of plans."""

    def __init__(self, client: clients.Client, desk: Desk, switch: Path) -> None:
        self._switch = switch
        self._desk = desk
        self._moves = itertools.cycle("jk")
        found = client.call(protocol.PlanBoard(pages=[protocol.BoardPage("running", 0, 2)])).pages[0].plans
        self._names = itertools.cycle([found[1].name, found[0].name])
        desk.until(a_plan)
        desk.settle()
        desk.answer("l", lambda screen: "attempt 1" in screen.right)
        desk.press("\x1b")
        desk.watch(1)

    @classmethod
    @contextlib.contextmanager
    def opened(cls, directory: Path) -> "Generator[Flood]":
        """It lasts as long as this does."""
        home = Home(directory / "home")
        home.directory.mkdir()
        home.environ |= {"CLEVERAGENTS_ASYNC_MAX_WORKERS": f"{STEPS}", "CLEVERAGENTS_PLAN_CONCURRENCY": f"{STEPS}"}
        client = home.start()
        try:
            switch = directory / "switch"
            _start(home, client, switch)
            with Desk(home) as desk:
                yield cls(client, desk, switch)
        finally:
            client.call(protocol.DaemonStop(kill=True))
            with contextlib.suppress(clients.ConnectionLostError):
                client.receive(60)

    def key(self, *, printing: bool) -> float:
        """Seconds from a key that goes to another plan until that is on the screen."""
        self._print("on" if printing else "off")
        name = next(self._names)
        return self._desk.answer(next(self._moves), lambda screen: f"─ {name} ─" in screen.right)

    def _print(self, how: str) -> None:
        if (how == "on") != self._switch.exists():
            self._switch.touch() if how == "on" else self._switch.unlink()
            self._desk.watch(1)

    def grow(self, seconds: float) -> tuple[float, float, float]:
        """MiB that the dashboard has before and after it has followed so long, and the share of a core that took.

        Before is when it has followed for half as long: by then its pages are full.
        """
        self._print("on")
        self._desk.watch(seconds / 2)
        before, spent = memory(self._desk.pid), self._desk.cpu
        self._desk.watch(seconds)
        return before, memory(self._desk.pid), (self._desk.cpu - spent) / 1e3 / seconds


def _start(home: Home, client: clients.Client, switch: Path) -> None:
    add_project(home, client)
    program = home.directory / "printer.py"
    program.write_text(_PRINTER)
    add_action(client, "prints", shlex.join([sys.executable, str(program), str(switch)]))
    for _ in range(STEPS):
        use(client, "prints", "trusted")
    clients_view = protocol.PlanList(state="processing", limit=-1)
    while sum(step.state == "running" for plan in client.call(clients_view).plans for step in plan.steps) < STEPS:
        pass
