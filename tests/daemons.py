"""Real daemons for tests: each a process of its own in a temporary home, talked to over its real socket."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import apsw
import msgspec
import psutil

from daemon import protocol, views
from store import paths
from store.database import Connection
from tests.homes import unmeasured
from tests.waiting import wait_until

V = TypeVar("V")

CA = Path(sys.executable).parent / "ca"
SECONDS = 30.0
"""How long anything here may take before the test fails."""

GIT = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "init.defaultBranch=main"]


class ConnectionEnded(Exception):  # noqa: N818  the fact that a test looks for
    """The daemon hung up."""


class Wire:
    """One raw connection: frames out, messages in. It keeps to no rule that the daemon must survive without."""

    def __init__(self, path: Path, *, hello: bool = True, seconds: float = SECONDS) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(seconds)
        try:
            self.socket.connect(str(path))
        except OSError:
            self.socket.close()
            raise
        self._buffer = b""
        self._last_id = 0
        if hello:
            self._greet()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.socket.close()

    def _greet(self) -> None:
        try:
            self.send(HELLO)
            answer = self.receive()
        except BaseException:
            self.socket.close()
            raise
        assert isinstance(answer, protocol.Hello)

    def send(self, message: protocol.Message) -> None:
        self.raw(protocol.frame(message))

    def raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.socket.sendall(data)

    def receive(self) -> protocol.FromDaemon:
        """The next message."""
        while True:
            if len(self._buffer) >= protocol.HEADER:
                end = protocol.HEADER + protocol.length(self._buffer[: protocol.HEADER], protocol.REPLY_LIMIT)
                if len(self._buffer) >= end:
                    body, self._buffer = self._buffer[protocol.HEADER : end], self._buffer[end:]
                    return protocol.decode_answer(body)
            try:
                chunk = self.socket.recv(1 << 16)
            except ConnectionError as error:
                raise ConnectionEnded from error
            if not chunk:
                raise ConnectionEnded
            self._buffer += chunk

    def until_closed(self) -> list[protocol.FromDaemon]:
        """Everything until the daemon hangs up."""
        found: list[protocol.FromDaemon] = []
        with contextlib.suppress(ConnectionEnded):
            while True:
                found.append(self.receive())
        return found

    def ask(self, request: protocol.Request[Any]) -> int:
        """Send a request; returns its id."""
        self._last_id += 1
        content: Any = request
        self.send(protocol.Ask(id=self._last_id, request=content))
        return self._last_id

    def call(self, request: protocol.Request[V]) -> V:
        """Ask and wait for the answer; a failure is raised as the error that it stands for."""
        wanted = self.ask(request)
        while True:
            answer = self.receive()
            if isinstance(answer, protocol.Failure) and answer.id in {0, wanted}:
                raise answer.error()
            if isinstance(answer, protocol.Reply) and answer.id == wanted:
                return msgspec.msgpack.decode(answer.data, type=protocol.answer_type(request))


HELLO = protocol.Hello(protocol=protocol.PROTOCOL_VERSION, version="test", pid=os.getpid())


class Home:
    """A temporary home; what was started in it is ended with it.

    Args:
        root: Its directory.
        measured: Whether coverage looks at its daemons. One that is killed takes with it what was found.
    """

    def __init__(self, root: Path, *, measured: bool = True) -> None:
        self.root = root
        self._measured = measured
        self.paths = paths.resolve({"CLEVERAGENTS_HOME": str(root)})
        self._daemons: list[Daemon] = []

    def environment(self, **extra: str) -> dict[str, str]:
        """The environment of a process in this home."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CLEVERAGENTS_")}
        return {**kept, "CLEVERAGENTS_HOME": str(self.root), "CLEVERAGENTS_WARM": "0", **extra}

    def start(self, *, crash_at: str = "", **extra: str) -> "Daemon":
        """A daemon in the foreground, serving."""
        started = self.launch(crash_at=crash_at, **extra)
        assert "ready" in started.first_word(), started.word
        return started

    def launch(self, *, crash_at: str = "", **extra: str) -> "Daemon":
        """A daemon that may or may not come to serve."""
        environment = self.environment(CLEVERAGENTS_CRASH_AT=crash_at, **extra)
        if crash_at or not self._measured:
            environment = unmeasured(environment)
        launched = Daemon(self, environment)
        self._daemons.append(launched)
        return launched

    def ca(self, *words: str, **extra: str) -> "subprocess.CompletedProcess[str]":
        """Run the real command in this home."""
        return subprocess.run(
            [str(CA), *words], env=self.environment(**extra), capture_output=True, text=True, check=False, timeout=40
        )

    def wire(self, *, hello: bool = True) -> Wire:
        """A raw connection to the daemon of this home."""
        return Wire(self.paths.socket, hello=hello)

    def log(self) -> str:
        """What the daemons wrote to their log."""
        return self.paths.daemon_log.read_text() if self.paths.daemon_log.exists() else ""

    def close(self) -> None:
        """End everything that was started here, steps included."""
        for daemon in self._daemons:
            daemon.kill()
        for pid in processes_of(self.root):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def processes_of(root: Path) -> list[int]:
    """The processes whose environment names this home or a place in it."""
    found: list[int] = []
    mark = f"={root}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            values = (entry / "environ").read_bytes().split(b"\0")
            if any(mark in value and value.startswith((b"CLEVERAGENTS_HOME=", b"CA_SANDBOX=")) for value in values):
                found.append(int(entry.name))
    return found


def runs(pid: int) -> bool:
    """Whether a process does anything yet; what has ended and waits to be asked about does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Daemon:
    """One daemon process."""

    def __init__(self, home: Home, environment: Mapping[str, str]) -> None:
        self.home = home
        self.word: dict[str, Any] = {}
        self._said = home.root.parent / f"{home.root.name}.{os.urandom(4).hex()}.stderr"
        with self._said.open("ab") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "daemon", "run"],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd="/",
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def first_word(self) -> dict[str, Any]:
        """What it says: that it serves, or why it does not."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.word = json.loads(line) if line else {"error": self.complaint()}
        return self.word

    def complaint(self) -> str:
        """What it wrote on stderr until it ended."""
        self.wait_end()
        return self._said.read_text()

    def ask(self, request: protocol.Request[V]) -> V:
        """One request over a connection of its own."""
        with self.home.wire() as wire:
            return wire.call(request)

    def try_ask(self, request: protocol.Request[V]) -> V | None:
        """The answer, or None when the daemon died over it."""
        try:
            return self.ask(request)
        except (ConnectionEnded, ConnectionError, FileNotFoundError):
            return None

    def kill(self) -> None:
        """As a power cut: nothing is cleaned up."""
        if self.process.poll() is None:
            self.process.kill()
        self.wait_end()

    def wait_end(self) -> int:
        """Its exit code, once it ended."""
        code = self.process.wait(SECONDS)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    def died_of_crash(self) -> bool:
        """Whether it ended by SIGKILL, which in these tests is its own doing at a crash point."""
        return self.wait_end() == -signal.SIGKILL

    def stop(self) -> None:
        """The graceful end."""
        self.process.send_signal(signal.SIGTERM)
        assert self.wait_end() == 0

    def wait_for(self, plan: str, seconds: float = SECONDS) -> views.PlanView:
        """The plan once nothing more happens to it by itself."""
        return self.ask(protocol.PlanWait(plan=plan, timeout=seconds))

    def plan(self, plan: str) -> views.PlanView:
        return self.ask(protocol.PlanShow(plan=plan))

    def wait_for_step(self, plan: str, step: str, state: str = "running") -> views.StepView:
        """The step once it is in that state."""

        def there() -> views.StepView | None:
            return next((s for s in self.plan(plan).steps if s.id == step and s.state == state), None)

        found = wait_until(there, seconds=SECONDS)
        assert found is not None
        return found


@contextlib.contextmanager
def temporary_home(root: Path, *, measured: bool = True) -> Generator[Home]:
    """A home that takes its processes with it."""
    home = Home(root, measured=measured)
    try:
        yield home
    finally:
        home.close()


def repository(path: Path, files: Mapping[str, str]) -> Path:
    """A git repository with one commit of these files."""
    path.mkdir(parents=True)
    git(path, "init", "-q")
    with (path / ".git" / "config").open("a") as config:
        config.write("[user]\n\tname = Test\n\temail = test@example.com\n")
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(content)
    git(path, "add", "-A")
    git(path, "commit", "-q", "-m", "base")
    return path


def git(path: Path, *words: str) -> str:
    """Run git there."""
    done = subprocess.run([*GIT, *words], cwd=path, check=True, capture_output=True, text=True)
    return done.stdout


def contents(path: Path) -> dict[str, str]:
    """Every file of a project but git's own."""
    return {
        str(file.relative_to(path)): file.read_text()
        for file in sorted(path.rglob("*"))
        if file.is_file() and ".git" not in file.relative_to(path).parts
    }


def add_action(daemon: Daemon, name: str, steps: Sequence[Mapping[str, Any] | str], **keys: Any) -> None:
    """Register an action; a step that is a text is a command, named s1, s2, …"""
    spelled = [
        {"id": f"s{number}", "run": step} if isinstance(step, str) else dict(step)
        for number, step in enumerate(steps, start=1)
    ]
    content = json.dumps({"name": name, "steps": spelled, **keys}).encode()
    daemon.ask(protocol.ActionCreate(content=content, source="test"))


def add_project(daemon: Daemon, path: Path) -> str:
    """Register a project; returns its name."""
    return daemon.ask(protocol.ProjectAdd(path=str(path))).name


def use(action: str, projects: Sequence[str], *, profile: str = "trusted", name: str | None = None) -> protocol.PlanUse:
    """The request for a plan whose commands find their programs."""
    environment = {"PATH": os.environb[b"PATH"], "HOME": os.environb.get(b"HOME", b"/")}
    return protocol.PlanUse(action=action, projects=list(projects), profile=profile, name=name, environment=environment)


def raw_store(home: Home) -> Connection:
    """The store of a home whose daemon is gone."""
    return cast("Connection", apsw.Connection(str(home.paths.database), flags=apsw.SQLITE_OPEN_READWRITE))
