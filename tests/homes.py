"""A user's whole world in a temporary directory: a home of the product with its daemon, a home for git, and `ca` as it is run.

Every JSON document that `ca` prints here is checked against its schema, whatever the test is about.
"""

import contextlib
import functools
import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

import psutil

from tests import forking
from tests.cli import schemas
from tests.waiting import PATIENCE, wait_until

T = TypeVar("T")

CA = (sys.executable, "-P", "-m", "cleveragents_tui")
SECONDS = 50.0
"""How long one command may take at most."""
Content = bytes | str | None

_GIT_CONFIG = "[user]\n\tname = Ada\n\temail = ada@example.org\n[init]\n\tdefaultBranch = main\n"


class Done(NamedTuple):
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


class Gate:
    """Holds every command that waits at it, until it is opened; no command ever sleeps."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.arrived = path.with_name(f"{path.name}.arrived")
        os.mkfifo(path)

    @property
    def command(self) -> str:
        """A shell command that says that it is here and waits."""
        return f"touch '{self.arrived}'; cat '{self.path}'"

    def wait(self) -> None:
        """Until somebody waits at the gate."""
        wait_until(self.arrived.exists)

    def open(self) -> None:
        """Let everybody through, now and from now on."""
        self.arrived.unlink(missing_ok=True)
        if not stat.S_ISFIFO(self.path.stat().st_mode):
            return
        # Whoever opens the pipe before it is replaced meets a writer that goes away, whoever comes later an empty file.
        writer = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)
        opened = self.path.with_name(f"{self.path.name}.open")
        opened.touch()
        opened.rename(self.path)
        os.close(writer)


EXECUTING = {("daemon", "run"), ("server", "serve")}
"""Commands that become another program."""

_shapes: set[object] = set()


def is_new(words: Sequence[str], code: int | None = 0) -> bool:
    """Whether the tests of this process gave no command yet that goes nearly the same way.

    That is one with the same verb, options, number of words and exit code.
    """
    shape = (*words[:2], len(words), frozenset(word for word in words if word.startswith("-")), code)
    new = shape not in _shapes
    _shapes.add(shape)
    return new


def unmeasured(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without what makes coverage look at a process."""
    return {name: value for name, value in environ.items() if not _is_of_coverage(name)}


def _is_of_coverage(variable: str) -> bool:
    return variable.startswith("COV")


@functools.cache
def _stem() -> forking.Stem:
    return forking.Stem(unmeasured({**os.environ, "LANG": "C.UTF-8", "TERM": "dumb"}))


class Home:
    """One user: a directory for the product (`home`), one for git (`user`), one for projects (`work`)."""

    def __init__(self) -> None:
        # A socket's path may have 107 bytes, so the directory is short.
        self.root = Path(tempfile.mkdtemp(prefix="ca", dir="/tmp"))
        self.home, self.user, self.work = (self.root / name for name in ("home", "user", "work"))
        self.bin = self.root / "bin"
        for directory in (self.user, self.work, self.bin):
            directory.mkdir()
        (self.user / ".gitconfig").write_text(_GIT_CONFIG)
        passed = {name: value for name, value in os.environ.items() if _is_of_coverage(name) or name == "PYTHONPATH"}
        path = f"{self.bin}:{os.environ.get('PATH', os.defpath)}"
        self.environ = {
            **passed,
            "PATH": path,
            "HOME": str(self.user),
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "CLEVERAGENTS_HOME": str(self.home),
            "CLEVERAGENTS_WARM": "0",  # what a test gives a command is carried out by the process that it looks at
        }
        self._number = 0
        self._gates: list[Gate] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the daemon and everything that was started in this home, and remove the directory."""
        for gate in self._gates:
            with contextlib.suppress(OSError):
                gate.open()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._ended(("daemon", "stop", "--kill"), None)
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGKILL)
                process.wait(5)
        shutil.rmtree(self.root, ignore_errors=True)

    def processes(self, *, having: str = "CLEVERAGENTS_HOME") -> list[psutil.Process]:
        """Whatever runs with this home, and the variable `having`, in its environment."""
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                environ = process.environ()
                if environ.get("CLEVERAGENTS_HOME") == str(self.home) and having in environ:
                    found.append(process)
        return found

    # --- commands ------------------------------------------------------------------------------------------------------

    def spawn(self, *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> "Spawned":
        """Start `ca` and go on."""
        return self._spawned(arguments, {**self.environ_of(*arguments), **(env or {})}, cwd)

    def _spawned(self, arguments: Sequence[str], environ: Mapping[str, str], cwd: Path | None) -> "Spawned":
        return Spawned(
            [*CA, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environ,
            cwd=cwd or self.work,
        )

    def run(
        self,
        *arguments: str,
        code: int | None = 0,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        feed: str | bytes | None = None,
    ) -> Done:
        """Run `ca` to its end; the exit code has to be `code`, and no traceback may be seen."""
        ended = self._ended(arguments, code, env, cwd, feed)
        done = Done(ended.code, *(stream.decode(errors="surrogateescape") for stream in (ended.out, ended.err)))
        assert "Traceback" not in done.err + done.out, done
        assert code is None or done.code == code, (arguments, done)
        return done

    def _ended(
        self,
        arguments: Sequence[str],
        code: int | None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        feed: str | bytes | None = None,
    ) -> forking.Ended:
        """What is new, or needs more than a directory, is started as a user starts it, and coverage looks at it."""
        forked, new = None, is_new(arguments, code)
        if not new and env is None and feed is None and tuple(arguments[:2]) not in EXECUTING:
            # A fork takes a fifth of the time. Its daemon is measured like all others.
            forked = _stem().run(arguments, self.environ, cwd or self.work, SECONDS)
        environ = self.environ if new else unmeasured(self.environ)
        return forked or self._started(arguments, {**environ, **(env or {})}, cwd, feed)

    def _started(
        self, arguments: Sequence[str], environ: Mapping[str, str], cwd: Path | None, feed: str | bytes | None
    ) -> forking.Ended:
        given = feed.encode() if isinstance(feed, str) else feed
        with self._spawned(arguments, environ, cwd) as process:
            try:
                out, err = process.communicate(given, timeout=SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return forking.Ended(process.returncode, out, err)

    def environ_of(self, *words: str) -> dict[str, str]:
        """The environment for a command, in which its lines are measured when it is new.

        Its start would take more than twice as long each time.
        """
        return self.environ if is_new(words) else unmeasured(self.environ)

    def run_shell(self, script: str, *arguments: str) -> Done:
        """Run a shell script whose arguments, `"$@"`, are a `ca` command."""
        command = ["/bin/sh", "-c", script, "sh", *CA, *arguments]
        found = subprocess.run(
            command,
            cwd=self.work,
            env=self.environ_of(script, *arguments),
            check=False,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        return Done(found.returncode, found.stdout, found.stderr)

    def document(self, *arguments: str, code: int | None = 0, **settings: Any) -> dict[str, Any]:
        """The one JSON document that `ca … --format json` prints, checked against its schema."""
        done = self.run(*arguments, "--format", "json", code=code, **settings)
        document: dict[str, Any] = json.loads(done.out)
        schemas.check(document)
        assert document["exit_code"] == done.code, done
        return document

    def document_of(self, *arguments: str) -> dict[str, Any]:
        """The document of a command whose arguments ask for the format themselves."""
        done = self.run(*arguments, code=None)
        document: dict[str, Any] = json.loads(done.out)
        schemas.check(document)
        assert document["exit_code"] == done.code, done
        return document

    def data(self, *arguments: str, code: int | None = 0, **settings: Any) -> Any:
        """The `data` of that document."""
        document = self.document(*arguments, code=code, **settings)
        assert document["status"] == "ok", document
        return document["data"]

    def error(self, *arguments: str, code: int, **settings: Any) -> dict[str, Any]:
        """The `error` of that document."""
        document = self.document(*arguments, code=code, **settings)
        assert document["status"] == "error", document
        return document["error"]

    def messages(self, *arguments: str, **settings: Any) -> list[str]:
        """The `messages` of that document."""
        return self.document(*arguments, **settings)["messages"]

    def git(self, where: Path, *arguments: str | bytes | Path) -> str:
        """Run git as this user."""
        done = subprocess.run(["git", *arguments], cwd=where, capture_output=True, env=self.environ, check=False)
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout.decode(errors="surrogateescape").strip()

    def run_program(self, *command: str | Path, cwd: Path | None = None) -> str:
        """What another program prints, run as this user."""
        found = subprocess.run(
            command, cwd=cwd or self.work, capture_output=True, env=self.environ, check=True, text=True
        )
        return found.stdout.strip()

    # --- things --------------------------------------------------------------------------------------------------------

    def fresh(self, stem: str) -> str:
        """A name that nothing in this home has yet."""
        self._number += 1
        return f"{stem}{self._number}"

    def gate(self) -> Gate:
        """A gate; it is opened at the end if nobody did before."""
        made = Gate(self.root / self.fresh("gate"))
        self._gates.append(made)
        return made

    def repository(self, files: Mapping[str | bytes, Content] | None = None, *, name: str | None = None) -> Path:
        """A registered git repository with one commit; its directory is called as the project."""
        root = self.work / (name or self.fresh("p"))
        root.mkdir()
        self.git(root, "init", "-q")
        put(root, files if files is not None else {"a.txt": "one\ntwo\nthree\n", "dir/b.txt": "b\n"})
        self.git(root, "add", "-A")
        self.git(root, "commit", "-q", "--allow-empty", "-m", "work")
        self.data("project", "add", str(root), "--name", root.name)
        return root

    def folder(self, files: Mapping[str | bytes, Content] | None = None) -> Path:
        """A registered directory that is no repository."""
        root = self.work / self.fresh("f")
        root.mkdir()
        put(root, files if files is not None else {"a.txt": "one\n"})
        self.data("project", "add", str(root), "--name", root.name)
        return root

    def commit(self, root: Path, message: str = "work") -> str:
        self.git(root, "add", "-A")
        self.git(root, "commit", "-q", "--allow-empty", "-m", message)
        return self.git(root, "rev-parse", "HEAD")

    def write_action(self, **keys: Any) -> Path:
        """An action file; JSON is YAML too."""
        path = self.work / f"{self.fresh('action')}.yaml"
        path.write_text(json.dumps(keys, ensure_ascii=False))
        return path

    def action(self, *commands: str, **keys: Any) -> str:
        """Register an action whose steps are `commands`, called s1, s2 and so on; its name."""
        keys.setdefault("name", self.fresh("local/act"))
        if commands:
            keys["steps"] = [{"id": f"s{number}", "run": run} for number, run in enumerate(commands, 1)]
        path = self.write_action(**keys)
        return self.data("action", "create", str(path))["name"]

    def use(
        self,
        action: str,
        *projects: Path,
        profile: str = "trusted",
        arguments: Mapping[str, str] | None = None,
        code: int | None = 0,
        options: Sequence[str] = (),
        **settings: Any,
    ) -> str:
        """Make a plan, wait until nothing more happens by itself with exit code `code`; its name."""
        given = [word for name, value in (arguments or {}).items() for word in ("--arg", f"{name}={value}")]
        names = [project.name for project in projects]
        plan = self.data("plan", "use", action, *names, "--profile", profile, *given, *options, **settings)
        if code is not None and profile != "manual":
            self.run("plan", "wait", plan["name"], code=code)
        return plan["name"]

    def executed(self, *commands: str, project: Path | None = None, code: int | None = 0, **keys: Any) -> str:
        """A plan whose steps ran, on `project` or a new repository; its name."""
        return self.use(self.action(*commands, **keys), project or self.repository(), code=code)

    def plan(self, plan: str) -> dict[str, Any]:
        """What `plan show` says."""
        return self.data("plan", "show", plan)

    def position(self, plan: str) -> str:
        """`phase/state`."""
        shown = self.plan(plan)
        return f"{shown['phase']}/{shown['state']}"

    def step(self, plan: str, step: str) -> dict[str, Any]:
        """One step of a plan."""
        return next(found for found in self.plan(plan)["steps"] if found["id"] == step)

    def step_states(self, plan: str) -> list[str]:
        """The states of a plan's steps, in order."""
        return [step["state"] for step in self.plan(plan)["steps"]]

    def log(self, plan: str, step: str) -> str:
        """What a step printed."""
        return self.run("plan", "logs", plan, "--step", step).out

    def apply(self, plan: str, *options: str, code: int = 0) -> dict[str, Any]:
        """Apply, wait for the end; the data or the error."""
        document = self.document("plan", "apply", plan, "--yes", "--wait", *options, code=code)
        return document["error"] if code else document["data"]

    def undo(self, plan: str, *options: str) -> dict[str, Any]:
        return self.data("plan", "undo", plan, "--yes", *options)

    def sandbox(self, plan: str) -> Path:
        """Where the steps of a plan on one project work."""
        return Path(self.plan(plan)["sandboxes"][0]["path"])

    def set(self, *pairs: str, project: str | None = None) -> None:
        """Set configuration keys."""
        self.data("config", "set", *pairs, *([] if project is None else ["--project", project]))

    def until(self, condition: Callable[[], T], seconds: float = PATIENCE) -> T:
        """The first true value of `condition`."""
        return wait_until(condition, seconds=seconds)


class Spawned(subprocess.Popen[bytes]):
    """A `ca` that runs."""

    def interrupt(self) -> Done:
        """Press Ctrl-C and wait for the end."""
        self.send_signal(signal.SIGINT)
        out, err = self.communicate(timeout=20)
        return Done(self.returncode, *(stream.decode(errors="surrogateescape") for stream in (out, err)))


def put(root: Path, files: Mapping[str | bytes, Content]) -> None:
    """Write files; None removes one."""
    for name, content in files.items():
        path = root / os.fsdecode(name)
        if content is None:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def fingerprint(root: Path) -> dict[str, object]:
    """Every name below `root`, `.git` included, with mode and content."""
    return {str(path.relative_to(root)): _state(path) for path in sorted(root.rglob("*"))}


def tree(root: Path) -> dict[str, object]:
    """Every file and link below `root`, `.git` left out, with mode and content."""
    return {
        str(path.relative_to(root)): _state(path)
        for path in sorted(root.rglob("*"))
        if path.relative_to(root).parts[0] != ".git" and (path.is_symlink() or not path.is_dir())
    }


def _state(path: Path) -> object:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return ("link", os.readlink(path))  # noqa: PTH115  the text as it is
    if stat.S_ISREG(mode):
        return (oct(mode), hashlib.sha256(path.read_bytes()).hexdigest())
    return oct(mode)


@contextlib.contextmanager
def unchanged(root: Path) -> Generator[None]:
    """Whatever happens inside changes nothing below `root`, not even in its `.git`."""
    before = fingerprint(root)
    yield
    after = fingerprint(root)
    differing = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert not differing, f"changed below {root}: {sorted(differing)}"
