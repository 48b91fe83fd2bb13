"""The stage: a directory with a home of its own in which commands run, and which is gone afterwards.

Whatever ends the demo (its last command, a failure, Ctrl-C, a signal), `close` stops the daemon and removes what was
made, and nothing else.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

from cleveragents_tui.demo import sample
from store import errors, paths

_LAST_LINES = 20
_ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class Stage:
    """Where a demo plays.

    Args:
        directory: Made when it is missing, and must be empty otherwise; None is a temporary one.
        environ: The environment of the caller; nothing that it says about CleverAgents or git reaches the demo.
        form: The format in which commands print.

    Raises:
        CleverAgentsError: the directory is not empty or cannot be made, or there is no git.
    """

    def __init__(self, directory: Path | None, environ: Mapping[str, str], form: str) -> None:
        if shutil.which("git", path=environ.get("PATH")) is None:
            raise errors.NotFoundError("`ca demo` needs git, and there is none on PATH", suggestions=["install git"])
        self._made = directory is None or not directory.exists()
        self.directory = _directory(directory)
        self.project = self.directory / sample.PROJECT
        self.home = self.directory / "home"
        self._environment = _environment(environ, self.home, form)

    def build(self) -> None:
        """Make the sample, and start its daemon.

        Raises:
            CleverAgentsError: a file cannot be written, git refused, or the daemon did not start.
        """
        try:
            sample.make(self.directory, self._environment)
            self._start_daemon()
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode(errors="replace").strip()
            raise errors.InternalError(f"cannot make the sample repository: git said: {said}") from error
        except OSError as error:
            raise errors.from_os_error(error, f"cannot make the sample repository in {self.directory}") from error

    def run(self, command: Sequence[str], *, quiet: bool) -> tuple[int, str]:
        """Run a command in the sample repository; returns its exit code and, when `quiet`, its last lines."""
        program = _ca() if command[0] == "ca" else [command[0]]
        pipe = subprocess.PIPE if quiet else None
        done = subprocess.run(
            [*program, *command[1:]],
            cwd=self.project,
            env=self._environment,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=subprocess.STDOUT if quiet else None,
        )
        lines = (done.stdout or b"").decode(errors="replace").splitlines()
        return done.returncode, "\n".join(lines[-_LAST_LINES:])

    def close(self, *, keep: bool) -> None:
        """Stop the daemon and, unless `keep`, remove what was made.

        Raises:
            CleverAgentsError: the daemon does not stop, or a directory cannot be removed; both are named.
        """
        with _deferred_signals():
            if self.home.exists():
                self._stop_daemon()
                self._remove_short_run_directory()
            if not keep:
                self._remove()

    def _start_daemon(self) -> None:
        # A command that is interrupted while it starts the daemon could leave one behind that nobody knows of.
        with _deferred_signals():
            started = self._daemon("start")
        if started.returncode:
            raise errors.DaemonUnavailableError(f"the demo's daemon did not start: {_said(started)}")

    def _stop_daemon(self) -> None:
        stopped = self._daemon("stop", "--kill")
        if stopped.returncode:
            raise errors.InternalError(
                f"the demo's daemon did not stop: {_said(stopped)}",
                detail={"dir": str(self.directory)},
                suggestions=[f"CLEVERAGENTS_HOME={self.home} ca daemon stop --kill", f"rm -r {self.directory}"],
            )

    def _daemon(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*_ca(), "daemon", *words],
            cwd="/",
            env=self._environment,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            start_new_session=True,
        )

    def _remove_short_run_directory(self) -> None:
        """A very long path has its socket elsewhere."""
        directory = paths.resolve(self._environment).socket.parent
        if not directory.is_relative_to(self.directory):
            with contextlib.suppress(OSError):
                directory.rmdir()

    def _remove(self) -> None:
        try:
            for path in [self.directory] if self._made else list(self.directory.iterdir()):
                _delete(path)
        except OSError as error:
            raise errors.from_os_error(error, f"cannot remove {self.directory}") from error


def _delete(path: Path) -> None:
    """Remove a file or directory, also while something that ends just now removes files of its own there."""
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
    while path.exists():
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(path)


@contextlib.contextmanager
def ended_by_signals() -> Generator[None]:
    """Have SIGTERM and SIGHUP end the program as an exception does, so that what is open gets closed."""

    def leave(number: int, _frame: object) -> None:
        sys.exit(128 + number)

    before = {number: signal.signal(number, leave) for number in _ENDING_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _deferred_signals() -> Generator[None]:
    """What would end the program waits until the block is over."""
    came: list[int] = []
    numbers = (signal.SIGINT, *_ENDING_SIGNALS)
    before = {number: signal.signal(number, lambda got, _frame: came.append(got)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in came[:1]:
            signal.raise_signal(number)


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    return (done.stderr or done.stdout).decode(errors="replace").strip().removeprefix("✘ ")


def _directory(wanted: Path | None) -> Path:
    if wanted is None:
        return Path(tempfile.mkdtemp(prefix="ca-demo-")).resolve()
    try:
        wanted.mkdir(parents=True, exist_ok=True)
        if any(wanted.iterdir()):
            raise errors.InvalidArgumentError(
                f"{wanted} is not empty, and the demo removes its directory at the end",
                detail={"dir": str(wanted)},
                suggestions=["ca demo", "ca demo --dir NEW_DIRECTORY"],
            )
    except OSError as error:
        raise errors.from_os_error(error, f"cannot make the directory {wanted}") from error
    return wanted.resolve()


def _ca() -> list[str]:
    """This very program: the installed `ca`, or the module when it was started as one."""
    started = Path(sys.argv[0])
    if started.name == "ca" and os.access(started, os.X_OK):
        return [str(started.absolute())]
    return [sys.executable, "-P", "-m", "cleveragents_tui"]


def _environment(environ: Mapping[str, str], home: Path, form: str) -> dict[str, str]:
    kept = {name: value for name, value in environ.items() if not name.startswith(("CLEVERAGENTS_", "GIT_"))}
    person = {
        f"GIT_{role}_{part}": value
        for role in ("AUTHOR", "COMMITTER")
        for part, value in (("NAME", "Sam Sample"), ("EMAIL", "sam@example.com"))
    }
    own = {
        "CLEVERAGENTS_HOME": str(home),
        "CLEVERAGENTS_CORE_FORMAT": form,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "PAGER": "cat",
        "GIT_PAGER": "cat",
    }
    return {**kept, **person, **own}
