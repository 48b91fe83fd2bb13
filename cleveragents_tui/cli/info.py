"""`ca info`: what a bug report needs. Nothing is started, and of the environment only what is named here is printed."""

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Sequence

import msgspec

from cleveragents_tui import client, wording
from cleveragents_tui.cli.commands import make_verb
from cleveragents_tui.cli.session import Session
from cleveragents_tui.output import Look, Result
from cleveragents_tui.wording import Tone
from daemon import protocol, views
from store import config, errors
from store.config import Config, Level
from store.paths import Paths
from store.version import VERSION

DISTRIBUTION = "cleveragents-tui"
NARROW = 20
"""Columns that a value has beside its label, at least."""
SECONDS = 5.0
"""How long git, the interpreter and the daemon are waited for."""

_SQLITE = "import apsw; print(apsw.sqlite_lib_version())"


class SystemView(msgspec.Struct, frozen=True):
    """The machine and the programs; what could not be found out is None."""

    python: str
    executable: str
    platform: str
    kernel: str
    sqlite: str | None
    git: str | None


class TerminalView(msgspec.Struct, frozen=True):
    """`columns` is None where stdout is no terminal."""

    term: str | None
    terminal: bool
    columns: int | None
    colour: bool
    locale: str | None
    encoding: str


class SettingView(msgspec.Struct, frozen=True):
    """A key that is not at its default; a secret is masked."""

    key: str
    value: str
    level: str
    project: str | None


class DaemonInfoView(msgspec.Struct, frozen=True):
    running: bool
    pid: int | None
    version: str | None
    started_at: str | None
    workers: int | None
    problem: str | None


class CountsView(msgspec.Struct, frozen=True):
    """Plans that need somebody, run, wait and are over; jobs that run and wait."""

    needs_you: int
    running: int
    queued: int
    done: int
    jobs_running: int
    jobs_queued: int


class DiskView(msgspec.Struct, frozen=True):
    path: str
    free: int
    total: int


class InfoView(msgspec.Struct, frozen=True):
    """Everything; the home directory is written as `~`. `problems` says what is missing and why."""

    version: str
    system: SystemView
    packages: dict[str, str]
    terminal: TerminalView
    places: dict[str, str]
    settings: list[SettingView]
    daemon: DaemonInfoView
    counts: CountsView | None
    disk: DiskView | None
    problems: list[str]


@make_verb("info", examples=["ca info", "ca info --format json"])
def command(session: Session) -> Result[InfoView]:
    """What a bug report needs: versions, places, settings, the daemon. No secrets."""
    problems: list[str] = []
    paths = _paths(session, problems)
    daemon, counts = _daemon(session, paths)
    found = InfoView(
        version=VERSION,
        system=_system(),
        packages=_packages(),
        terminal=_terminal(session),
        places=_places(paths),
        settings=_settings(session, paths, problems),
        daemon=daemon,
        counts=counts,
        disk=_disk(paths),
        problems=problems,
    )
    return Result(found, _lines)


def _paths(session: Session, problems: list[str]) -> Paths | None:
    try:
        return session.paths
    except errors.InvalidConfigError as error:
        problems.append(_tilde(error.message))
        return None


def _tilde(text: str) -> str:
    """`text` without the name of the one whose home it is."""
    home = os.path.expanduser("~")  # noqa: PTH111  Path.home raises where there is none
    return re.sub(rf"{re.escape(home)}(?=/|$|\W)", "~", text) if home not in {"", "/", "~"} else text


def _system() -> SystemView:
    return SystemView(
        python=f"{platform.python_implementation()} {platform.python_version()}",
        executable=_tilde(sys.executable),
        platform=platform.platform(),
        kernel=f"{platform.system()} {platform.release()}",
        sqlite=_said(sys.executable, "-P", "-c", _SQLITE),
        git=_said("git", "--version"),
    )


def _said(*words: str) -> str | None:
    """The first line that a program prints; None when it cannot be run."""
    try:
        done = subprocess.run(
            words, check=True, capture_output=True, timeout=SECONDS, stdin=subprocess.DEVNULL, cwd="/"
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace").partition("\n")[0].removeprefix("git version ") or None


def _packages() -> dict[str, str]:
    """The packages that this one is made of, with their versions."""
    try:
        needed = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return {}  # run from its sources, not installed
    names = [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in needed if "extra ==" not in line]
    return {name: importlib.metadata.version(name) for name in sorted(names)}


def _terminal(session: Session) -> TerminalView:
    environ, look = session.environ, session.out.look
    terminal = session.out.stdout.isatty()
    spoken = next((environ[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if environ.get(name)), None)
    return TerminalView(
        term=environ.get("TERM"),
        terminal=terminal,
        columns=look.width if terminal else None,
        colour=look.colour,
        locale=spoken,
        encoding=f"{session.out.stdout.encoding}, files {sys.getfilesystemencoding()}",
    )


def _places(paths: Paths | None) -> dict[str, str]:
    if paths is None:
        return {}
    found = {
        "configuration": paths.config_file,
        "data": paths.data,
        "state": paths.state,
        "socket": paths.socket,
    }
    return {name: _tilde(str(path)) for name, path in found.items()}


def _settings(session: Session, paths: Paths | None, problems: list[str]) -> list[SettingView]:
    if paths is None:
        return []
    file = Config(paths.config_file, session.environ)
    found: list[SettingView] = []
    try:
        for project in (None, *file.projects()):
            found += _changed(file, project, problems)
    except errors.CleverAgentsError as error:
        problems.append(_tilde(error.message))
    return found


def _changed(file: Config, project: str | None, problems: list[str]) -> Iterable[SettingView]:
    """The keys that are not at their default; of a project those that it sets itself."""
    for key in config.KEYS:
        try:
            resolved = file.get(key, project=project)
        except errors.InvalidConfigError as error:
            if project is None:
                problems.append(_tilde(error.message))
            continue
        own = resolved.level is Level.PROJECT if project else resolved.level is not Level.DEFAULT
        if own:
            yield SettingView(key, _tilde(config.show(key, resolved.value)), resolved.level, project)


def _daemon(session: Session, paths: Paths | None) -> tuple[DaemonInfoView, CountsView | None]:
    absent = DaemonInfoView(running=False, pid=None, version=None, started_at=None, workers=None, problem=None)
    if paths is None:
        return absent, None
    try:
        found = session.existing()
        if found is None:
            return absent, None
        status = found.call(protocol.Status(limit=1), timeout=SECONDS)
    except client.VersionSkewError as error:
        return msgspec.structs.replace(absent, running=True, pid=error.pid, problem=error.message), None
    except errors.CleverAgentsError as error:
        return msgspec.structs.replace(absent, problem=_tilde(error.message)), None
    shown = status.daemon
    daemon = DaemonInfoView(
        running=True,
        pid=shown.pid,
        version=shown.version,
        started_at=shown.started_at,
        workers=len(shown.workers),
        problem=None,
    )
    return daemon, _counts(status)


def _counts(status: views.StatusView) -> CountsView:
    return CountsView(
        needs_you=status.totals.needs_you,
        running=status.totals.running,
        queued=status.totals.queued,
        done=status.done,
        jobs_running=status.daemon.running_jobs,
        jobs_queued=status.daemon.queued,
    )


def _disk(paths: Paths | None) -> DiskView | None:
    """The room where the data is, or would be."""
    for place in (paths.data, *paths.data.parents) if paths is not None else ():
        try:
            found = os.statvfs(place)
        except OSError:
            continue
        return DiskView(_tilde(str(place)), found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)
    return None


def _lines(info: InfoView, look: Look) -> Iterable[str]:
    system, terminal = info.system, info.terminal
    yield look.bold(f"ca {info.version}")
    facts = [
        ("python", f"{system.python}  {system.executable}"),
        ("platform", system.platform),
        ("kernel", system.kernel),
        ("sqlite", system.sqlite or "unknown"),
        ("git", system.git or "not found"),
        ("packages", "  ".join(f"{name} {version}" for name, version in info.packages.items())),
        ("locale", f"{terminal.locale or 'none'}, output {terminal.encoding}"),
        ("terminal", _terminal_note(terminal)),
        *info.places.items(),
        ("disk", _disk_note(info.disk)),
        ("daemon", _daemon_note(info.daemon, look)),
        ("counts", _counts_note(info.counts)),
    ]
    yield from _wrapped(look, facts)
    if info.settings:
        yield look.bold("settings that are not at their default")
        yield from _wrapped(look, [(setting.key, _setting_note(setting)) for setting in info.settings])
    for problem in info.problems:
        first, *rest = textwrap.wrap(
            f"✘ {wording.plain(problem)}", look.width, subsequent_indent="  ", break_on_hyphens=False
        )
        yield first.replace("✘", look.paint("✘", Tone.FAILED), 1)
        yield from rest


def _wrapped(look: Look, facts: Sequence[tuple[str, str]]) -> Iterable[str]:
    """`label   value` lines that lose nothing: what is too long goes on below."""
    facts = [(label, value) for label, value in facts if value]
    width = max(len(label) for label, _ in facts)
    beside = look.width - width - 4
    for label, value in facts:
        if beside < NARROW:  # there is more room below
            yield f"  {look.dim(label)}"
            yield from (f"    {line}" for line in _lines_of(value, look.width - 4))
            continue
        for number, line in enumerate(_lines_of(value, beside)):
            yield f"  {look.dim(('' if number else label).ljust(width))}  {line}"


def _lines_of(value: str, columns: int) -> list[str]:
    return textwrap.wrap(wording.plain(value), columns, break_on_hyphens=False)


def _terminal_note(terminal: TerminalView) -> str:
    kind = f"{terminal.columns} columns" if terminal.terminal else "not a terminal"
    return f"{terminal.term or 'TERM unset'}, {kind}, {'colour' if terminal.colour else 'no colour'}"


def _disk_note(disk: DiskView | None) -> str:
    return f"{wording.size(disk.free)} free of {wording.size(disk.total)} at {disk.path}" if disk is not None else ""


def _daemon_note(daemon: DaemonInfoView, look: Look) -> str:
    if daemon.problem is not None:
        return daemon.problem
    if not daemon.running:
        return "not running"
    up = wording.age(daemon.started_at, look.now)
    return f"pid {daemon.pid}, version {daemon.version}, up {up}, {wording.count(daemon.workers or 0, 'worker')}"


def _counts_note(counts: CountsView | None) -> str:
    if counts is None:
        return ""
    plans = f"{counts.needs_you} need you, {counts.running} running, {counts.queued} queued, {counts.done} done"
    return f"plans: {plans}; jobs: {counts.jobs_running} running, {counts.jobs_queued} queued"


def _setting_note(setting: SettingView) -> str:
    where = f"{setting.level} {setting.project}" if setting.project else setting.level
    return f"{setting.value or '(empty)'}  ({where})"
