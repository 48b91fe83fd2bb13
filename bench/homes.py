"""A home of its own for each row, the daemon in it, and plans to look at."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import cast

import apsw
import msgspec

from bench.measure import ROOT, NotMeasuredError
from cleveragents_tui import client as clients
from daemon import protocol
from store import names, records, states
from store import paths as places
from store.database import Connection, Value

SCRIPTS = Path(sys.executable).parent

_INHERITED = ("PATH", "LANG", "LC_ALL", "TMPDIR", "USER")


class Home:
    """A home of ours, and the environment that leads to it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environ = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        # The tree that is measured comes before the installed one, for every process, the bare interpreter too.
        self.environ |= {
            "CLEVERAGENTS_HOME": str(directory),
            "HOME": str(directory),
            "PYTHONPATH": str(ROOT),
            "GIT_CONFIG_NOSYSTEM": "1",
        }
        self.paths = places.resolve(self.environ)

    def start(self) -> clients.Client:
        """Start the daemon and connect."""
        return clients.connect_or_start(self.paths.socket, self.environ, lambda _line: None)

    def stop(self, client: clients.Client) -> None:
        """Stop the daemon and wait until its process is gone."""
        with contextlib.suppress(ProcessLookupError):
            watch = os.pidfd_open(client.hello.pid)
            client.close()
            signal.pidfd_send_signal(watch, signal.SIGTERM)
            _wait_for_end(client.hello.pid)
            os.close(watch)

    @contextlib.contextmanager
    def daemon(self) -> Generator[clients.Client]:
        """A running daemon, as its client."""
        client = self.start()
        try:
            yield client
        finally:
            self.stop(client)


def _wait_for_end(pid: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.002)


def compiled(name: str, to: Path) -> Path:
    """The C program `peers/NAME.c`, compiled into the directory `to`.

    Raises:
        NotMeasuredError: there is no C compiler.
    """
    program = to / name
    source = Path(__file__).parent / "peers" / f"{name}.c"
    try:
        subprocess.run(["cc", "-O2", "-o", program, source], check=True, capture_output=True)
    except FileNotFoundError:
        raise NotMeasuredError("no cc") from None
    return program


def git(where: Path, *arguments: str, feed: bytes | None = None) -> str:
    """Run git as a user would, with no configuration of the machine's."""
    environ = {name: os.environ[name] for name in _INHERITED if name in os.environ} | {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
    }
    environ |= {
        f"GIT_{role}_{part}": value
        for role in ("AUTHOR", "COMMITTER")
        for part, value in (("NAME", "bench"), ("EMAIL", "bench@localhost"))
    }
    done = subprocess.run(["git", *arguments], cwd=where, env=environ, input=feed, check=True, capture_output=True)
    return done.stdout.decode().strip()


_ACTION = b"""\
name: local/bench
description: A step that does nothing
definition_of_done: It ended
steps:
  - id: nothing
    run: "true"
"""


def make_plans(home: Home, client: clients.Client, count: int) -> None:
    """So many plans that were strategized and wait for the next verb."""
    project = home.directory / "project"
    project.mkdir()
    git(project, "init", "-q")
    (project / "file").write_text("content\n")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "first")
    client.call(protocol.ProjectAdd(path=str(project), name="project"))
    client.call(protocol.ActionCreate(content=_ACTION, source="bench.yaml"))
    request = protocol.PlanUse(action="local/bench", projects=["project"])
    for plan in [client.call(request) for _ in range(count)]:
        client.call(protocol.PlanWait(plan=plan.plan_id))


def add_finished_plans(home: Home, count: int) -> None:
    """So many plans beside those that are there, long applied: copies of one of them, written past the daemon.

    It must not be running.
    """
    connection = cast("Connection", apsw.Connection(str(home.paths.database)))
    connection.execute("BEGIN")
    plan = msgspec.convert(connection.execute("SELECT * FROM plans LIMIT 1").fetchone(), records.Plan)
    projects = connection.execute("SELECT * FROM plan_projects WHERE plan_id = ?", (plan.plan_id,)).fetchall()
    steps = connection.execute("SELECT * FROM steps WHERE plan_id = ?", (plan.plan_id,)).fetchall()
    for number in range(count):
        plan_id = names.new_ulid(plan.created_at - number * 1_000_000)
        copy = msgspec.structs.replace(
            plan, plan_id=plan_id, root_plan_id=plan_id, name=f"old-{number}", phase=states.Phase.APPLY,
            state=states.State.APPLIED, finished_at=plan.updated_at,
        )  # fmt: skip
        _insert(connection, "plans", msgspec.to_builtins(copy))
        for row in projects:
            _insert(connection, "plan_projects", [plan_id, *row[1:]])
        for row in steps:
            _insert(connection, "steps", [plan_id, *row[1:]])
    connection.execute("COMMIT")
    connection.close()


def _insert(connection: Connection, table: str, row: Sequence[Value]) -> None:
    connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
