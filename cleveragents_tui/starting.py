"""Having a daemon: a new one is started when there is none, and one of an older version is replaced.

What a step does goes on while its daemon is replaced: the new one adopts it.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from cleveragents_tui.client import Client, ConnectionLostError, NoDaemonError, VersionSkewError, connect
from daemon import protocol, views
from store import errors
from store.paths import Paths, resolve
from store.version import VERSION

_TAKING_OVER = f"the daemon is version {{}}; {VERSION} takes over, and running steps go on"
DRAINING_SECONDS = 20.0
"""How long a command waits for a daemon that is about to go."""


def bring_up(found: Client | None, path: Path, environ: Mapping[str, str], announce: Callable[[str], None]) -> Client:
    """A daemon to talk to; `found` is the one that answered, if one did.

    Raises:
        DaemonUnavailableError: none runs, and none may be started.
        CleverAgentsError: why it could not start, in its own words.
    """
    deadline = time.monotonic() + DRAINING_SECONDS
    # The one that comes next may have been started by an older program that waited as we do.
    while found is None or time.monotonic() < deadline:
        if found is None and not _may_start(environ):
            found = _without_start(path, environ)
        elif found is None:
            found = start(path, environ, announce)
        elif found.hello.draining:
            announce(f"the daemon (pid {found.hello.pid}) is stopping; waiting until it is gone")
            found = _await_successor(found, path, deadline)
        elif _may_start(environ) and is_older(found.hello.version):
            announce(_TAKING_OVER.format(found.hello.version))
            _ask_to_stop(found)
            found = _await_successor(found, path, deadline)
        else:
            break
    return found


def take_over(
    skew: VersionSkewError, path: Path, environ: Mapping[str, str], announce: Callable[[str], None]
) -> Client:
    """A daemon of this version in the place of an older one that does not understand us.

    Raises:
        VersionSkewError: it is newer, or nothing may be started.
        CleverAgentsError: as `bring_up`.
    """
    if not skew.older or skew.pid is None or not _may_start(environ):
        raise skew
    announce(_TAKING_OVER.format(skew.version))
    deadline = time.monotonic() + DRAINING_SECONDS
    with contextlib.suppress(ProcessLookupError):
        os.kill(skew.pid, signal.SIGTERM)
    while True:
        with contextlib.suppress(ConnectionLostError):
            try:
                return bring_up(connect(path), path, environ, announce)
            except NoDaemonError:
                return bring_up(None, path, environ, announce)
            except VersionSkewError as still:
                if still.pid != skew.pid or time.monotonic() > deadline:
                    raise
        time.sleep(0.02)


def _may_start(environ: Mapping[str, str]) -> bool:
    return environ.get("CLEVERAGENTS_NO_AUTOSTART") != "1"


def _without_start(path: Path, environ: Mapping[str, str]) -> Client:
    found = recall(resolve(environ), environ)
    if found is None:
        raise errors.DaemonUnavailableError(
            "the daemon is not running, and CLEVERAGENTS_NO_AUTOSTART forbids starting it",
            detail={"socket": str(path)},
            suggestions=["ca daemon start"],
        )
    return found


def end(client: Client, path: Path) -> None:
    """Have a daemon end, and wait until it is gone; what its steps do goes on."""
    _ask_to_stop(client)
    successor = _await_successor(client, path, time.monotonic() + DRAINING_SECONDS)
    if successor is not None:
        successor.close()


def is_older(version: str) -> bool:
    """Whether a daemon of that version is to be replaced by this program's."""
    return _numbers(version) < _numbers(VERSION)


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def _ask_to_stop(client: Client) -> None:
    with contextlib.suppress(ConnectionLostError):  # somebody else was quicker
        client.call(protocol.DaemonStop())


def _await_successor(client: Client, path: Path, deadline: float) -> Client | None:
    """Wait until this daemon is gone; the one that is there then, None when there is none.

    At the deadline it is the same one still.
    """
    with contextlib.suppress(ConnectionLostError):
        while client.receive(max(0.001, deadline - time.monotonic())):
            pass
    client.close()
    while True:
        with contextlib.suppress(ConnectionLostError):
            try:
                found = connect(path)
            except NoDaemonError:
                return None
            if found.hello.pid != client.hello.pid or time.monotonic() > deadline:
                return found
            found.close()
        time.sleep(0.02)


def start(path: Path, environ: Mapping[str, str], announce: Callable[[str], None]) -> Client:
    """Start the daemon and connect to it; one that only had lost its socket is not started again.

    Raises:
        CleverAgentsError: why it could not start, in its own words.
        DaemonUnavailableError: it ended at once.
    """
    found, recalled = _start(path, environ)
    if found is not None and found.hello.draining:
        found, recalled = _await_successor(found, path, time.monotonic() + DRAINING_SECONDS), False
    if found is None:  # what answered was about to leave
        found, recalled = _start(path, environ)
    if found is None:
        raise errors.DaemonUnavailableError("the daemon was started and ended at once", suggestions=["ca daemon logs"])
    pid = found.hello.pid
    announce(
        f"found the daemon (pid {pid}) again: its socket was gone" if recalled else f"started the daemon (pid {pid})"
    )
    return found


def _start(path: Path, environ: Mapping[str, str]) -> tuple[Client | None, bool]:
    """The daemon that is there now, None when it has left again; and whether it had only lost its socket."""
    recalled = bool(_run("start", "ready", "the daemon could not be started", environ)["recalled"])
    try:
        return connect(path), recalled
    except (NoDaemonError, ConnectionLostError):
        return None, False


def recall(paths: Paths, environ: Mapping[str, str]) -> Client | None:
    """The daemon whose socket somebody removed: it has bound it again; None when none runs.

    Raises:
        DaemonUnavailableError: one runs, and nobody can talk to it.
    """
    # What is asked here costs as much as a start of the daemon, and who ended in order has removed the file.
    if paths.pid_file.exists() and _run("recall", "recalled", "the daemon is lost", environ)["there"]:
        with contextlib.suppress(NoDaemonError, ConnectionLostError):
            return connect(paths.socket)
    return None


class Examination(msgspec.Struct, frozen=True):
    """What can be said of a home without a daemon; `copy` would take the place of a damaged store."""

    diagnostics: views.DiagnosticsView
    copy: str | None


def examine(environ: Mapping[str, str]) -> Examination:
    """Check a home in which no daemon can run.

    Raises:
        CleverAgentsError: a daemon has it, or it cannot be entered.
    """
    return msgspec.convert(_run("examine", "examined", "the home could not be checked", environ), Examination)


def repair(environ: Mapping[str, str]) -> str:
    """Restore the damaged store of a home in which no daemon can run; what was done, in a sentence.

    Raises:
        CleverAgentsError: why it was not; nothing was changed.
    """
    return str(_run("repair", "repaired", "the store could not be restored", environ)["done"])


def _run(verb: str, answered: str, failing: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """What the daemon's own command says, in a process of its own."""
    command = [sys.executable, "-P", "-m", "daemon", verb]
    done = subprocess.run(command, env=dict(environ), check=False, stdin=subprocess.DEVNULL, capture_output=True)
    try:
        answer = msgspec.json.decode(done.stdout, type=dict[str, dict[str, Any]])
        if answered in answer:
            return answer[answered]
        refused = answer["error"]
    except (msgspec.DecodeError, KeyError) as error:
        said = (done.stderr + done.stdout).decode(errors="replace").strip().rpartition("\n")[2]
        raise errors.DaemonUnavailableError(
            f"{failing}: {said or f'exit {done.returncode}'}", suggestions=["ca daemon logs"]
        ) from error
    raise _refusal(refused, failing)


def _refusal(refused: dict[str, Any], failing: str) -> errors.CleverAgentsError:
    """The daemon's own reason, with its own code; for the one who asked, the daemon is not reachable."""
    code = refused.get("code", "internal")
    error = errors.from_code(
        "daemon_unavailable"
        if code in {"not_found", "internal"}
        else code,  # those would speak of the command's own words
        f"{failing}: {refused.get('message', 'it did not say why')}",
        refused.get("detail", {}),
        refused.get("suggestions") or ["ca daemon logs"],
    )
    error.exit_code = errors.DaemonUnavailableError.exit_code
    return error
