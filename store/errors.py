"""Every error that a person or a script can meet, with its code and its exit code.

CleverAgentsError
├── UsageError              usage               2   the command line or a request is malformed
├── InvalidActionError      invalid_action      2   an action file is not what the schema asks for
├── InvalidArgumentError    invalid_argument    2   a value does not fit where it was given
├── InvalidConfigError      invalid_config      2   the configuration file or a key's value
├── InvalidTtlError         invalid_ttl         2   a lock's time to live outside 5 s to 3,600 s
├── AmbiguousError          ambiguous           2   a short id or name fits several things
├── NotFoundError           not_found           3   the named thing does not exist
├── InvalidTransitionError  invalid_transition  4   a move that the tables of states do not have
├── LockConflictError       lock_conflict       4   another owner holds the lock
├── LockExpiredError        lock_lost           4   the lock expired, was taken over or released
├── AlreadyRunningError     already_running     4   one instance is allowed, and it runs
├── ChangeMovedError        change_moved        4   the change is no longer the one reviewed
├── MergeConflictError      merge_conflict      4   the change and the project's own edits collide
├── ChecksFailedError       checks_failed       4   a check failed on the merged result
├── NothingToApplyError     nothing_to_apply    1   the change set is empty
├── StepFailedError         step_failed         1   a step's command failed
├── TimedOutError           timed_out           1   a deadline passed (`wait` itself exits with 124)
├── LostError               lost                1   a process ended and nobody saw how
├── StuckError              stuck               1   a job's worker gave no sign of life any more
├── PlanCancelledError      cancelled           6   the work was cancelled
├── PayloadVersionError     payload_version     1   a job's payload is of a newer schema
├── StoreDamagedError       store_damaged       1   the store is damaged, or of a newer version
├── DiskFullError           disk_full           1   no space left
├── PermissionDeniedError   permission_denied   1   the system refused access
├── DaemonUnavailableError  daemon_unavailable  5   no daemon answers
├── ProtocolError           protocol_error      5   the two ends of the socket do not understand each other (a team server's: 1)
├── UnreachableError        unreachable         1   the team server does not answer, or not as one
├── UnauthorizedError       unauthorized        1   the team server does not know the token
├── ForbiddenError          forbidden           1   the token does not allow that
├── VersionMismatchError    version_mismatch    1   the team server speaks another version of the protocol
├── TlsError                tls                 1   the team server's certificate is not trusted
├── SyncConflictError       sync_conflict       4   a definition was changed here and on the team server
└── InternalError           internal            1   a defect of this program
"""

import errno
from collections.abc import Mapping, Sequence
from typing import Any


class CleverAgentsError(Exception):
    """Something went wrong that the user must hear about.

    Attributes:
        message: What happened, to what, in one or two sentences.
        detail: The same for programs; JSON values only.
        suggestions: Commands or actions that help now, best first.
    """

    code: str = "internal"
    exit_code: int = 1

    def __init__(
        self, message: str, *, detail: Mapping[str, Any] | None = None, suggestions: Sequence[str] = ()
    ) -> None:
        super().__init__(message)
        self.message = message
        self.detail: dict[str, Any] = dict(detail or {})
        self.suggestions: list[str] = list(suggestions)


class UsageError(CleverAgentsError):
    code = "usage"
    exit_code = 2


class InvalidActionError(CleverAgentsError):
    code = "invalid_action"
    exit_code = 2


class InvalidArgumentError(CleverAgentsError):
    code = "invalid_argument"
    exit_code = 2


class InvalidConfigError(CleverAgentsError):
    code = "invalid_config"
    exit_code = 2


class InvalidTtlError(CleverAgentsError):
    code = "invalid_ttl"
    exit_code = 2


class AmbiguousError(CleverAgentsError):
    code = "ambiguous"
    exit_code = 2


class NotFoundError(CleverAgentsError):
    code = "not_found"
    exit_code = 3


class InvalidTransitionError(CleverAgentsError):
    code = "invalid_transition"
    exit_code = 4


class InvalidJobTransitionError(InvalidTransitionError):
    """A job was asked to make a move that `VALID_JOB_TRANSITIONS` does not have."""


class LockConflictError(CleverAgentsError):
    code = "lock_conflict"
    exit_code = 4


class LockExpiredError(CleverAgentsError):
    code = "lock_lost"
    exit_code = 4


class AlreadyRunningError(CleverAgentsError):
    code = "already_running"
    exit_code = 4


class ChangeMovedError(CleverAgentsError):
    code = "change_moved"
    exit_code = 4


class MergeConflictError(CleverAgentsError):
    code = "merge_conflict"
    exit_code = 4


class ChecksFailedError(CleverAgentsError):
    code = "checks_failed"
    exit_code = 4


class NothingToApplyError(CleverAgentsError):
    code = "nothing_to_apply"


class StepFailedError(CleverAgentsError):
    code = "step_failed"


class TimedOutError(CleverAgentsError):
    code = "timed_out"


class LostError(CleverAgentsError):
    code = "lost"


class StuckError(CleverAgentsError):
    code = "stuck"


class PlanCancelledError(CleverAgentsError):
    code = "cancelled"
    exit_code = 6


class PayloadVersionError(CleverAgentsError):
    code = "payload_version"


class StoreDamagedError(CleverAgentsError):
    code = "store_damaged"


class DiskFullError(CleverAgentsError):
    code = "disk_full"


class PermissionDeniedError(CleverAgentsError):
    code = "permission_denied"


class DaemonUnavailableError(CleverAgentsError):
    code = "daemon_unavailable"
    exit_code = 5


class ProtocolError(CleverAgentsError):
    code = "protocol_error"
    exit_code = 5


class TeamProtocolError(ProtocolError):
    """It is the team server that is not understood, or does not understand; the daemon is well."""

    exit_code = 1
    MARK = ("peer", "team_server")
    """In the detail, so that it is the same error at the other end of the socket."""

    def __init__(
        self, message: str, *, detail: Mapping[str, Any] | None = None, suggestions: Sequence[str] = ()
    ) -> None:
        super().__init__(message, detail=dict([self.MARK], **(detail or {})), suggestions=suggestions)


class UnreachableError(CleverAgentsError):
    code = "unreachable"


class UnauthorizedError(CleverAgentsError):
    code = "unauthorized"


class ForbiddenError(CleverAgentsError):
    code = "forbidden"


class VersionMismatchError(CleverAgentsError):
    code = "version_mismatch"


class TlsError(CleverAgentsError):
    code = "tls"


class SyncConflictError(CleverAgentsError):
    code = "sync_conflict"
    exit_code = 4


class InternalError(CleverAgentsError):
    code = "internal"


def _descendants(cls: type[CleverAgentsError]) -> list[type[CleverAgentsError]]:
    return [cls, *(found for child in cls.__subclasses__() for found in _descendants(child))]


# The first class of a code is its general one: a subclass that only narrows does not replace it.
BY_CODE: dict[str, type[CleverAgentsError]] = {cls.code: cls for cls in reversed(_descendants(CleverAgentsError)[1:])}


def from_code(code: str, message: str, detail: Mapping[str, Any], suggestions: Sequence[str]) -> CleverAgentsError:
    """The error that the other end of the socket raised; an unknown code is an `InternalError` that names it."""
    cls = BY_CODE.get(code)
    if cls is ProtocolError and TeamProtocolError.MARK in detail.items():
        cls = TeamProtocolError
    if cls is None:
        return InternalError(f"{message} (unknown error code {code!r})", detail=detail, suggestions=suggestions)
    return cls(message, detail=detail, suggestions=suggestions)


def from_os_error(error: OSError, doing: str) -> CleverAgentsError:
    """An `OSError` as ours: a full disk and a refusal have codes of their own; `doing` says what we were at."""
    reason = error.strerror or str(error)
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFullError(f"{doing}: {reason}", suggestions=["free some space and run the same command again"])
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return PermissionDeniedError(f"{doing}: {reason}", suggestions=["check the owner and mode of the path"])
    if error.errno in {errno.ENOENT, errno.ENOTDIR}:
        return NotFoundError(f"{doing}: {reason}")
    if error.errno == errno.EISDIR:
        return InvalidArgumentError(f"{doing}: {reason}", suggestions=["name a file"])
    return InternalError(f"{doing}: {reason}")
