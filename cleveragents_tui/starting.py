"""Having a daemon: a new one is started when there is none, and one of an older version is replaced.

What a step does goes on while its daemon is replaced: the new one adopts it.
"""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from cleveragents_tui.client import Client, ConnectionLostError, NoDaemonError, connect
from daemon import protocol, views
from store import errors
from store.version import VERSION

DRAINING_SECONDS = 20.0
"""How long a command waits for a daemon that is about to go."""


def bring_up(found: Client | None, path: Path, environ: Mapping[str, str], announce: Callable[[str], None]) -> Client:
    """A daemon to talk to; `found` is the one that answered, if one did.

    Raises:
        DaemonUnavailableError: none runs, and none may be started.
        CleverAgentsError: why it could not start, in its own words.
    """
    may_start = environ.get("CLEVERAGENTS_NO_AUTOSTART") != "1"
    if found is not None and not found.hello.draining:
        if not (may_start and is_older(found.hello.version)):
            return found
        announce(f"the daemon is version {found.hello.version}; {VERSION} takes over, and running steps go on")
        found.call(protocol.DaemonStop())
    if found is not None:
        _wait_until_gone(found, path)
    if not may_start:
        raise errors.DaemonUnavailableError(
            "the daemon is not running, and CLEVERAGENTS_NO_AUTOSTART forbids starting it",
            detail={"socket": str(path)},
            suggestions=["ca daemon start"],
        )
    client = start(path, environ)
    announce(f"started the daemon (pid {client.hello.pid})")
    return client


def end(client: Client, path: Path) -> None:
    """Have a daemon end, and wait until it is gone; what its steps do goes on."""
    client.call(protocol.DaemonStop())
    _wait_until_gone(client, path)


def is_older(version: str) -> bool:
    """Whether a daemon of that version is to be replaced by this program's."""
    return _numbers(version) < _numbers(VERSION)


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def _wait_until_gone(client: Client, path: Path) -> None:
    deadline = time.monotonic() + DRAINING_SECONDS
    try:
        while client.receive(max(0.001, deadline - time.monotonic())):
            pass
    except ConnectionLostError:
        client.close()
    while time.monotonic() < deadline:
        try:
            connect(path).close()
        except (NoDaemonError, ConnectionLostError):
            return
        time.sleep(0.02)


def start(path: Path, environ: Mapping[str, str]) -> Client:
    """Start the daemon and connect to it.

    Raises:
        CleverAgentsError: why it could not start, in its own words.
        DaemonUnavailableError: it ended at once.
    """
    ready = _run_start(environ)
    try:
        return connect(path)
    except NoDaemonError as error:
        raise errors.DaemonUnavailableError(
            f"the daemon was started (pid {ready.get('pid')}) and ended at once", suggestions=["ca daemon logs"]
        ) from error


def _run_start(environ: Mapping[str, str]) -> dict[str, Any]:
    return _run("start", "ready", "the daemon could not be started", environ)


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
