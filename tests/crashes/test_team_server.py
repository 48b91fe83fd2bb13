"""The team server is killed while its members sync: they get in step with the next one, and each edit is there once."""

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from daemon import protocol
from daemon.team import orders
from store import errors
from tests import daemons
from tests.crashes import sharing
from tests.crashes.comparing import check_equal, check_idle, held, locked, revision_of, rows, still
from tests.crashes.sharing import NAMESPACE, Member
from tests.waiting import wait_until

COMMIT_OF_A_PUSH = 2
"""A process of the server looks for what is too old before it serves; that is its first commit."""


class Host:
    """A home that hosts a team server, again and again at the same address."""

    def __init__(self, home: daemons.Home) -> None:
        self.home = home
        self.database = home.paths.server_database
        self.port = 0
        self.url = ""
        self.process: subprocess.Popen[str]

    def serve(self, *, crash_at: str = "", workers: int = 1) -> None:
        """Have it run; it answers when this returns."""
        order = orders.Serve(
            host="127.0.0.1", port=self.port, workers=workers, log_level="warning", database=None, rate_limit=0
        )
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "daemon", "server", "serve", msgspec.json.encode(order).decode()],
            env=self.home.environment(CLEVERAGENTS_CRASH_AT=crash_at),
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
        )
        assert self.process.stdout is not None
        said: dict[str, Any] = json.loads(self.process.stdout.readline())
        self.url = said["ready"]["url"]
        self.port = int(self.url.rpartition(":")[2])

    def kill(self) -> None:
        self.process.kill()
        self.wait_end()

    def stop(self) -> None:
        self.process.terminate()
        assert self.wait_end() == 0

    def wait_end(self) -> int:
        """Its exit code, once it ended."""
        code = self.process.wait(daemons.SECONDS)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    def died_of_crash(self) -> bool:
        return self.wait_end() == -signal.SIGKILL

    def workers(self) -> set[int]:
        """The processes that answer."""
        found: set[int] = set()
        for child in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.Error):
                if "--multiprocessing-fork" in child.cmdline():
                    found.add(child.pid)
        return found

    @property
    def revision(self) -> int:
        return revision_of(self.database, NAMESPACE)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with daemons.temporary_home(tmp_path / "t") as home:
        made = Host(home)
        yield made
        if made.port:
            made.kill()


@pytest.fixture
def other_home(tmp_path: Path) -> Iterator[daemons.Home]:
    with daemons.temporary_home(tmp_path / "o") as made:
        yield made


@pytest.mark.parametrize(("when", "done"), [("before", 0), ("after", 1)])
def test_a_push_that_kills_the_server_is_carried_out_once(home: daemons.Home, host: Host, when: str, done: int) -> None:
    host.serve(crash_at=f"store.{when}-commit:{COMMIT_OF_A_PUSH}")
    daemon = home.start(**sharing.ALONE)
    member = Member(daemon.ask, host.url)
    member.connect()
    member.edit("x", "one")
    with pytest.raises(errors.UnreachableError):
        member.sync()
    assert host.died_of_crash()
    assert host.revision == done
    assert daemon.ask(protocol.SyncStatus()).pending == 1

    host.serve()
    member.sync()

    check_equal(host.database, [home], NAMESPACE, {"x": "one"}, revision=1)
    with still(host.database), still(home.paths.database):
        check_idle(daemon.ask(protocol.SyncRun()))


def test_workers_that_die_over_pushes_are_replaced(home: daemons.Home, host: Host) -> None:
    """Each worker dies once it has carried out its second push; no edit is lost or made twice, and the master stays."""
    host.serve(crash_at=f"store.after-commit:{COMMIT_OF_A_PUSH + 1}", workers=2)
    first = host.workers()
    daemon = home.start(**sharing.ALONE)
    member = Member(daemon.ask, host.url)
    member.connect()

    def synced() -> bool:
        with contextlib.suppress(errors.UnreachableError):
            member.sync()
        return daemon.ask(protocol.SyncStatus()).pending == 0

    for word in ("one", "two", "three"):
        member.edit("x", word)
        wait_until(synced, seconds=daemons.SECONDS)

    wait_until(lambda: len(host.workers()) == 2 and not first <= host.workers(), seconds=daemons.SECONDS)
    assert host.process.poll() is None
    check_equal(host.database, [home], NAMESPACE, {"x": "three"}, revision=3)
    assert daemon.ask(protocol.SyncConflicts(history=True)).history == []


def test_two_homes_and_a_server_stay_in_step_when_all_of_them_die(
    home: daemons.Home, other_home: daemons.Home, host: Host
) -> None:
    """Each dies in the middle of something, alone and with the others; what was edited travels once they are back."""
    words: dict[str, str] = {}
    revision = 0

    def edit(member: Member, name: str, word: str) -> None:
        nonlocal revision
        member.edit(name, word)
        words[name] = word
        revision += 1

    def check_in_step(*running: daemons.Daemon) -> None:
        for one in (*running, *running):
            one.ask(protocol.SyncRun())
        check_equal(host.database, [home, other_home], NAMESPACE, words, revision=revision)
        with still(host.database):
            for one in running:
                check_idle(one.ask(protocol.SyncRun()))

    host.serve(crash_at=f"store.after-commit:{COMMIT_OF_A_PUSH + 1}")
    ada, ben = home.start(crash_at="before:sync.pushed:2"), other_home.start(crash_at="before:sync.pulled:2")
    for daemon in (ada, ben):
        Member(daemon.ask, host.url).connect()
    # by itself: what ada makes is pushed and comes to ben, over the event stream
    edit(Member(ada.ask, host.url), "x", "one")
    wait_until(lambda: len(held(other_home, NAMESPACE)) == 1, seconds=daemons.SECONDS)

    # the server dies over ada's second push, has carried it out, and comes again
    edit(Member(ada.ask, host.url), "x", "two")
    assert host.died_of_crash()
    host.serve()
    # ada dies over the answer to it, ben over what he is told of it
    assert ada.died_of_crash()
    assert ben.died_of_crash()
    ada, ben = home.start(), other_home.start()
    check_in_step(ada, ben)

    # a push is on its way when everybody dies at once
    with locked(host.database):
        edit(Member(ben.ask, host.url), "y", "one")
        edit(Member(ada.ask, host.url), "z", "one")
        wait_until(lambda: unanswered(home) and unanswered(other_home), seconds=daemons.SECONDS)
        ada.kill()
        host.kill()
        ben.kill()
    # edits without a server, and a daemon that dies after them
    ada = home.start(crash_at="after:actor.stored:2")
    edit(Member(ada.try_ask, host.url), "x", "three")
    edit(Member(ada.try_ask, host.url), "w", "one")
    assert ada.died_of_crash()
    host.serve()
    ada, ben = home.start(), other_home.start()
    check_in_step(ada, ben)

    # and in order
    host.stop()
    ada.stop()
    ben.stop()
    host.serve()
    ada, ben = home.start(), other_home.start()
    edit(Member(ben.ask, host.url), "w", "two")
    wait_until(lambda: held(home, NAMESPACE) == held(other_home, NAMESPACE), seconds=daemons.SECONDS)
    check_in_step(ada, ben)


def unanswered(home: daemons.Home) -> bool:
    """Whether a push was prepared that nobody answered."""
    found = rows(home.paths.database, "SELECT push_json FROM sync_states WHERE namespace = ?", NAMESPACE)
    return any(push is not None for (push,) in found)
