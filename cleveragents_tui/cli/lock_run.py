"""`ca lock run`: a lock that is held and renewed while a command runs."""

import sys
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from cleveragents_tui import client, wording
from cleveragents_tui.cli.foreground import Command
from cleveragents_tui.cli.session import Session
from cleveragents_tui.output import ErrorBody, Result
from daemon import protocol, views
from store import errors

ANSWER_SECONDS = 5.0
"""How long a renewal waits for a daemon that does not answer."""
RETRY_SECONDS = 1.0
"""Between two tries to renew when the daemon cannot be reached."""
NOT_EXECUTABLE, NOT_FOUND = 126, 127
"""The exit codes of a shell for a command that cannot be started."""


class LockRunView(msgspec.Struct, frozen=True):
    """A command that ran while the lock was held."""

    lock: views.LockView
    command: Sequence[str]
    exit_code: int


def run(session: Session, lock: views.LockView, ttl: float | None, words: Sequence[str]) -> Result[Any]:
    """Run a command under a lock that was just acquired, and give the lock back, whatever happens.

    Raises:
        LockExpiredError: the lock was lost; the command is over by then.
    """
    lease = Lease(session, lock, ttl)
    try:
        code = _run(session, lease, words)
    except errors.LockExpiredError:
        raise
    except OSError as error:
        lease.release()
        return _not_started(words[0], error)
    except BaseException:
        lease.release()
        raise
    lease.release(code)
    return Result(LockRunView(lease.lock, words, code), exit_code=code)


def _run(session: Session, lease: "Lease", words: Sequence[str]) -> int:
    grace = float(session.setting("async.cancel-grace"))
    lock = lease.lock
    environ = {
        **session.environ,
        "CA_LOCK_RESOURCE": f"{lock.resource_type}:{lock.resource_id}",
        "CA_LOCK_FENCE": str(lock.fence),
    }
    with Command(words, environ, stdout=sys.stderr.fileno() if session.out.structured else None) as command:
        while (code := command.wait(lease.renew_at)) is None:
            try:
                lease.renew()
            except errors.LockExpiredError as error:
                command.end(grace)
                raise errors.LockExpiredError(
                    f"{error.message}; {words[0]} was ended", detail=error.detail, suggestions=error.suggestions
                ) from error
        return code


def _not_started(word: str, error: OSError) -> Result[None]:
    missing = isinstance(error, FileNotFoundError)
    body = ErrorBody(
        "not_found" if missing else "permission_denied",
        f"{word} cannot be started: {error.strerror or error}",
        {"command": word},
        [f"command -v {word}"] if missing else [],
    )
    return Result(None, exit_code=NOT_FOUND if missing else NOT_EXECUTABLE, error=body)


class Lease:
    """A lock in the hands of a command, over the daemon's death and return.

    Attributes:
        lock: As the daemon last told it.
        renew_at: When it is to be renewed, on the monotonic clock: as the daemon's leases, it does not jump.
    """

    def __init__(self, session: Session, lock: views.LockView, ttl: float | None) -> None:
        self._session = session
        self._ttl = ttl
        self._connection: client.Client | None = None
        self._take_in(lock)

    def _take_in(self, lock: views.LockView) -> None:
        self.lock = lock
        now, left = time.monotonic(), wording.seconds(lock.expires_at) - time.time()
        self.renew_at, self._ends_at = now + left / 3, now + left

    def renew(self) -> None:
        """Extend the lock; when the daemon cannot be reached, note when to try again.

        Raises:
            LockExpiredError: somebody else has it, or it ended before it could be renewed.
        """
        request = protocol.LockRenew(
            resource=self._resource, owner=self.lock.owner_id, fence=self.lock.fence, ttl=self._ttl
        )
        try:
            self._take_in(self._ask(request))
        except errors.LockExpiredError:
            raise
        except errors.CleverAgentsError as error:
            if time.monotonic() >= self._ends_at:
                text = f"the lock on {self._resource} ended before it could be renewed: {error.message}"
                raise errors.LockExpiredError(
                    text, detail={"resource": self._resource}, suggestions=error.suggestions
                ) from error
            self.renew_at = min(time.monotonic() + RETRY_SECONDS, self._ends_at)

    def release(self, code: int | None = None) -> None:
        """Give it back; `code` is how the command ended.

        Raises:
            LockExpiredError: it was no longer held when the command ended.
        """
        request = protocol.LockRelease(resource=self._resource, owner=self.lock.owner_id, fence=self.lock.fence)
        try:
            self._ask(request)
        except errors.LockExpiredError as error:
            ended = "" if code is None else f"; the command exited with {code}, and ran without the lock in the end"
            raise errors.LockExpiredError(
                f"{error.message}{ended}", detail={**error.detail, "exit_code": code}, suggestions=error.suggestions
            ) from error
        except errors.CleverAgentsError as error:
            until = wording.local_time(self.lock.expires_at)
            self._session.say(f"the lock could not be released, and ends by itself at {until}: {error.message}")

    @property
    def _resource(self) -> str:
        return f"{self.lock.resource_type}:{self.lock.resource_id}"

    def _ask(self, request: protocol.LockRenew | protocol.LockRelease) -> views.LockView:
        """Ask the daemon, the next one when this one is gone."""
        try:
            return self._connected().call(request, timeout=ANSWER_SECONDS)
        except client.ConnectionLostError:
            self._hang_up()
            return self._connected().call(request, timeout=ANSWER_SECONDS)
        except errors.DaemonUnavailableError:
            self._hang_up()  # an answer that comes too late would be taken for the next one's
            raise

    def _connected(self) -> client.Client:
        if self._connection is None:
            session = self._session
            self._connection = session.connect()
        return self._connection

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
