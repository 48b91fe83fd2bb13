"""One command of a phase: started when that is durable, watched, and ended with all that it started."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from daemon import processes
from daemon.phases.context import Context
from daemon.tokens import Stop, Stopped
from store import crashpoints, errors

TAIL_LINES = 20
TAIL_BYTES = 16 * 1024


class Result(msgspec.Struct, frozen=True):
    """How a command ended: `code` is `None` when nobody saw it; `timed_out` when it was ended by its own deadline."""

    code: int | None
    timed_out: bool = False


async def watch(
    context: Context, process: processes.Process, *, seconds: float | None, outlives: bool = True
) -> Result:
    """Wait for a command; its own deadline or the phase's token ends it.

    Args:
        context: The phase.
        process: The command, released.
        seconds: Its own deadline, from now.
        outlives: Whether the daemon's graceful end leaves it running, for the next daemon to adopt.

    Raises:
        Stopped: the phase is to stop; nothing of the command is left, unless it outlives the daemon.
    """
    try:
        exit_ = await context.token.watch(process.exit, seconds=seconds)
    except TimeoutError:
        await end(process, _grace(context))
        return Result((await process.wait()).code, timed_out=True)
    except Stopped as stopped:
        if stopped.reason is not Stop.SHUTDOWN or not outlives:
            await end(process, _grace(context))
        raise
    return Result(exit_.code)


async def end(process: processes.Process, grace: float) -> None:
    """End a command with everything that it started.

    Raises:
        InternalError: something could not be ended; it is named.
    """
    _refuse_to_leave(await process.end(grace))


async def end_all(context: Context) -> None:
    """End what any step of this phase's job left running, also those that ended long ago.

    Raises:
        InternalError: something could not be ended; it is named.
    """
    _refuse_to_leave(await processes.end_job(context.claim.job.job_id, _grace(context)))


def _grace(context: Context) -> float:
    return float(context.services.config.value("async.cancel-grace"))


def _refuse_to_leave(survivors: list[int]) -> None:
    if survivors:
        raise errors.InternalError(
            f"these processes could not be ended: {processes.named(survivors)}",
            detail={"pids": survivors},
            suggestions=[f"kill -9 {' '.join(map(str, survivors))}"],
        )


async def run(
    context: Context,
    command: processes.Command,
    *,
    seconds: float | None,
    started: Callable[[processes.ProcessIdentity], Awaitable[None]],
    outlives: bool = True,
) -> Result:
    """Start a command, make that durable through `started`, then let it run and wait for it."""
    command.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    process = await processes.start(command)
    crashpoints.reach("command.spawned")
    try:
        await started(process.identity)
    except BaseException:
        await process.end(0)
        raise
    crashpoints.reach("command.recorded")
    process.release()
    crashpoints.reach("command.released")
    return await watch(context, process, seconds=seconds, outlives=outlives)


async def run_anew(context: Context, command: processes.Command, *, seconds: float | None) -> Result:
    """Run a command that is no step: after a crash it runs again, and what the earlier daemon left of it is ended."""
    await end_earlier(context, command.log.parent, command.environment["CA_STEP_ID"])
    record = _record(command.log.parent, command.environment["CA_STEP_ID"])

    async def started(identity: processes.ProcessIdentity) -> None:
        record.write_bytes(msgspec.json.encode(identity))

    result = await run(context, command, seconds=seconds, started=started, outlives=False)
    record.unlink(missing_ok=True)
    return result


async def end_earlier(context: Context, directory: Path, step_id: str) -> None:
    """End what an earlier daemon left of such a command; before the place where it works is made anew."""
    record = _record(directory, step_id)
    identity = _recorded(record)
    if identity is None:
        return
    cookie = {"CA_JOB_ID": context.claim.job.job_id, "CA_STEP_ID": step_id}
    found = await processes.adopt(identity, record.with_suffix(".none"), cookie)
    if isinstance(found, processes.Process):
        await end(found, _grace(context))
    record.unlink()


def _record(directory: Path, step_id: str) -> Path:
    return directory / f"{step_id}.process"


def _recorded(record: Path) -> processes.ProcessIdentity | None:
    try:
        return msgspec.json.decode(record.read_bytes(), type=processes.ProcessIdentity)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def keep_text(path: Path, text: str) -> None:
    """Write the text that a program is given, readable for this user only.

    Raises:
        CleverAgentsError: it cannot be written (`disk_full`, `permission_denied`).
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise errors.from_os_error(error, f"cannot write {path}") from error


def tail(log: str | Path | None, lines: int = TAIL_LINES) -> list[str]:
    """The last lines of a log; none when there is none."""
    if log is None:
        return []
    try:
        with Path(log).open("rb") as file:
            file.seek(0, os.SEEK_END)
            begin = max(0, file.tell() - TAIL_BYTES)
            file.seek(begin)
            text = file.read(TAIL_BYTES).decode(errors="replace")
    except OSError:
        return []
    found = text.splitlines()
    return found[1:][-lines:] if begin > 0 and len(found) > 1 else found[-lines:]
