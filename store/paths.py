"""Where things live: config, data, state and run directories, and the files in them.

`CLEVERAGENTS_HOME=DIR` puts all four under DIR; otherwise platformdirs decides.
"""

import os
import warnings
from collections.abc import Mapping
from pathlib import Path

import msgspec

from store import errors

SOCKET_PATH_LIMIT = 107 if os.uname().sysname == "Linux" else 103
"""Bytes that fit into `sockaddr_un.sun_path` beside its terminating NUL."""


class Paths(msgspec.Struct, frozen=True):
    """The four directories of one home."""

    config: Path
    data: Path
    state: Path
    run: Path

    @property
    def config_file(self) -> Path:
        return self.config / "config.toml"

    @property
    def actions(self) -> Path:
        return self.config / "actions"

    @property
    def actors(self) -> Path:
        return self.config / "actors"

    @property
    def database(self) -> Path:
        return self.data / "store.db"

    @property
    def pid_file(self) -> Path:
        return self.data / "daemon.pid"

    @property
    def lock_file(self) -> Path:
        return self.data / "daemon.lock"

    @property
    def sandboxes(self) -> Path:
        return self.data / "sandboxes"

    @property
    def repositories(self) -> Path:
        return self.data / "repos"

    @property
    def backups(self) -> Path:
        return self.data / "backups"

    @property
    def environments(self) -> Path:
        """One file a plan: the environment in which its action was used. It may hold the user's secrets."""
        return self.data / "environments"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def daemon_log(self) -> Path:
        return self.logs / "daemon.log"

    @property
    def dashboard_log(self) -> Path:
        return self.logs / "tui.log"

    @property
    def jobs(self) -> Path:
        return self.state / "jobs"

    @property
    def server_database(self) -> Path:
        """The team server's store, when this home hosts one."""
        return self.data / "server.db"

    @property
    def server_pid_file(self) -> Path:
        return self.data / "server.pid"

    @property
    def server_log(self) -> Path:
        return self.logs / "server.log"

    @property
    def socket(self) -> Path:
        """The daemon's socket; a short path in the system's temporary directory when this one would be too long."""
        wanted = self.run / "daemon.sock"
        if len(os.fsencode(wanted)) <= SOCKET_PATH_LIMIT:
            return wanted
        return _short_run_directory(self.run) / "daemon.sock"

    @property
    def directories(self) -> list[Path]:
        """Every directory of the home, all for its user alone."""
        return [
            self.config, self.actions, self.actors, self.data, self.sandboxes, self.repositories, self.backups,
            self.environments, self.state, self.logs, self.jobs, self.run, self.socket.parent,
        ]  # fmt: skip

    def create(self) -> None:
        """Make every directory, 0700.

        Raises:
            CleverAgentsError: a directory cannot be made (`permission_denied`, `disk_full`).
        """
        for directory in self.directories:
            try:
                make_private(directory)
                found = directory.stat()
                if found.st_uid != os.getuid():
                    raise errors.PermissionDeniedError(
                        f"{directory} belongs to another user",
                        suggestions=["set CLEVERAGENTS_HOME to a directory of yours"],
                    )
                if found.st_mode & 0o077:
                    directory.chmod(0o700)
            except OSError as error:
                raise errors.from_os_error(error, f"cannot create the directory {directory}") from error


def make_private(directory: Path) -> None:
    """Make a directory, and every one above it that is missing, for its user alone."""
    for one in reversed([directory, *directory.parents]):
        if not one.is_dir():
            one.mkdir(mode=0o700, exist_ok=True)  # with `parents` those above would have the mode that the umask leaves


def _short_run_directory(run: Path) -> Path:
    """Where the socket goes when `run` is too deep: stable for one home, private to one user."""
    import hashlib  # noqa: PLC0415  only a home with a very long path pays for these two
    import tempfile  # noqa: PLC0415

    digest = hashlib.sha256(os.fsencode(run)).hexdigest()[:16]
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    short = base / f"ca-{os.getuid()}-{digest}"
    if len(os.fsencode(short / "daemon.sock")) > SOCKET_PATH_LIMIT:
        short = Path("/tmp") / short.name  # noqa: S108  the last place that is short everywhere; 0700 and owner checked
    return short


def resolve(environ: Mapping[str, str] | None = None) -> Paths:
    """The directories of this user, or of `CLEVERAGENTS_HOME`; nothing is created.

    Raises:
        InvalidConfigError: `CLEVERAGENTS_HOME` is not absolute.
    """
    environ = os.environ if environ is None else environ
    home = environ.get("CLEVERAGENTS_HOME")
    if home:
        root = Path(home)
        if not root.is_absolute():
            raise errors.InvalidConfigError(
                f"CLEVERAGENTS_HOME is {home!r}; it must be an absolute path",
                suggestions=[f"export CLEVERAGENTS_HOME={Path.cwd() / home}"],
            )
        return Paths(config=root / "config", data=root / "data", state=root / "state", run=root / "run")
    import platformdirs  # noqa: PLC0415  it costs a fifth of a one-shot command, and a set home needs none of it

    dirs = platformdirs.PlatformDirs("cleveragents", appauthor=False)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # without XDG_RUNTIME_DIR it takes a directory below /tmp, which `create` checks
        run = dirs.user_runtime_path
    return Paths(config=dirs.user_config_path, data=dirs.user_data_path, state=dirs.user_state_path, run=run)
