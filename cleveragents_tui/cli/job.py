"""`ca job`: phases of plans, as the daemon works on them."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from cleveragents_tui import client, wording
from cleveragents_tui.cli import logs
from cleveragents_tui.cli.commands import Noun
from cleveragents_tui.cli.following import TAIL_SECONDS, print_labelled
from cleveragents_tui.cli.session import Session
from cleveragents_tui.cli.several import each
from cleveragents_tui.cli.tables import Cell, Column, pairs, table
from cleveragents_tui.cli.watch import TIMED_OUT, staying_connected, to_its_end
from cleveragents_tui.output import ErrorBody, Look, Output, Result
from cleveragents_tui.wording import Mood, Tone
from daemon import protocol, views
from store import errors

command = Noun("job", help="Jobs: one phase of one plan each, queued for a worker.")

EXIT_CODES = {"failed": 1, "cancelled": 6}


@command.verb("list", examples=["ca job list", "ca job list --status running", "ca job list --plan fix-types"])
@click.option(
    "--status",
    type=click.Choice(["queued", "running", "succeeded", "failed", "cancelled"]),
    help="Only jobs with this status.",
)
@click.option("--plan", help="Only jobs of this plan.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many, the newest.")
@click.option("--all", "everything", is_flag=True, help="All of them, however many.")
def list_(
    session: Session, status: str | None, plan: str | None, *, limit: int, everything: bool
) -> Result[views.JobsView]:
    """The newest jobs."""
    return Result(session.call(protocol.JobList(status=status, plan=plan, limit=-1 if everything else limit)), _list)


@command.verb(examples=["ca job show 8QK2M3XZ"])
@click.argument("job")
def show(session: Session, job: str) -> Result[views.JobView]:
    """One job."""
    return Result(session.call(protocol.JobShow(job=job)), _show)


class LogFile(msgspec.Struct, frozen=True):
    name: str
    path: str
    text: str


class JobLogsView(msgspec.Struct, frozen=True):
    job_id: str
    logs: list[LogFile]


@command.verb("logs", examples=["ca job logs 8QK2M3XZ"])
@click.argument("job")
def logs_(session: Session, job: str) -> Result[JobLogsView]:
    """Everything that the commands of a job printed, every attempt, byte for byte."""
    found = session.call(protocol.JobShow(job=job))
    contents = [(path, logs.content(str(path)) or b"") for path in _log_files(session.paths.jobs / found.job_id)]
    if session.out.structured:
        shown = [LogFile(path.stem, str(path), content.decode(errors="backslashreplace")) for path, content in contents]
        return Result(JobLogsView(found.job_id, shown))
    for path, content in contents:
        if len(contents) > 1:
            session.out.say([f"==> {path.stem} <=="])
        session.out.raw(content)
    if not contents:
        session.say("this job printed nothing")
    return Result(JobLogsView(found.job_id, []))


def _log_files(directory: Path) -> list[Path]:
    """The logs of a job, the latest last."""
    return sorted(directory.glob("*.log"), key=lambda path: (path.stat().st_mtime_ns, path.name))


@command.verb(examples=["ca job follow 8QK2M3XZ"])
@click.argument("job")
def follow(session: Session, job: str) -> Result[views.JobView]:
    """What the commands of a job print, from its start until it is over; Ctrl-C stops following only."""
    found = session.call(protocol.JobShow(job=job))
    output = _Output(session.out, session.paths.jobs / found.job_id)
    again = f"ca job follow {wording.short_id(found.job_id)}"
    try:
        return _ended(staying_connected(session, lambda connection: _follow(connection, found.job_id, output), again))
    except KeyboardInterrupt:
        session.out.talk("", f"Stopped watching; the job goes on. Its plan: ca plan show {found.plan_id}")
        raise


def _follow(connection: client.Client, job_id: str, output: "_Output") -> views.JobView:
    waiting = connection.ask(protocol.JobWait(job=job_id))
    while not waiting.ready:
        connection.receive(TAIL_SECONDS)
        output.print_new()
    ended = waiting.result()
    output.print_new(last=True)
    return ended


class _Output:
    """The growing logs of a job."""

    def __init__(self, out: Output, directory: Path) -> None:
        self._out = out
        self._directory = directory
        self._logs: dict[Path, logs.Lines] = {}

    def print_new(self, *, last: bool = False) -> None:
        """Print the lines that were finished since the last call; with `last` also what has no end of line."""
        for path in _log_files(self._directory):
            lines = self._logs.setdefault(path, logs.Lines(str(path)))
            print_labelled(self._out, path.stem, lines.read(last=last))


@command.verb(examples=["ca job wait 8QK2M3XZ --timeout 60"])
@click.argument("jobs", metavar="JOB...", nargs=-1, required=True)
@click.option("--timeout", type=click.FloatRange(min=0), metavar="S", help="Give up after so many seconds (exit 124).")
def wait(session: Session, jobs: Sequence[str], timeout: float | None) -> Result[Any]:
    """Wait until a job is over; the exit code tells how it ended."""
    deadline = None if timeout is None else time.monotonic() + timeout
    return each(session, jobs, lambda job: _wait(session, job, deadline), noun="job")


def _wait(session: Session, job: str, deadline: float | None) -> Result[Any]:
    def until_over(connection: client.Client) -> views.JobView:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        return connection.call(protocol.JobWait(job=job, timeout=left), timeout=None)

    try:
        found = staying_connected(session, until_over, f"ca job wait {job}")
    except errors.TimedOutError as error:
        return Result(None, None, exit_code=TIMED_OUT, error=ErrorBody.of(error))
    return _ended(found)


def _ended(found: views.JobView) -> Result[views.JobView]:
    """A job that was waited for."""
    code = EXIT_CODES.get(found.status, 0)
    if code == 0:
        return Result(found, _show)
    detail = {"job_id": found.job_id, "plan_id": found.plan_id, "phase": found.phase, "status": found.status}
    message = found.error_message or f"job {wording.short_id(found.job_id)} {found.status}"
    ended = "cancelled" if found.status == "cancelled" else "internal"
    body = ErrorBody(found.error_code or ended, message, detail, [f"ca job logs {wording.short_id(found.job_id)}"])
    return Result(found, None, exit_code=code, error=body)


@command.verb(examples=["ca job cancel 8QK2M3XZ --yes"])
@click.argument("job")
@click.option("--reason", default="", help="Recorded with the plan.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def cancel(session: Session, job: str, reason: str, *, yes: bool) -> Result[views.JobView]:
    """Cancel the plan's phase that a job carries out."""
    if session.must_be_told(yes=yes):
        found = session.call(protocol.JobShow(job=job))
        session.confirm(*_show(found, session.out.talk_look), "Cancel this job, and with it its plan?")
    return Result(to_its_end(session, protocol.JobCancel(job=job, reason=reason), f"ca job cancel {job} --yes"), _show)


@command.verb(examples=["ca job prune"])
def prune(session: Session) -> Result[views.JobPruneView]:
    """Remove finished jobs that are older than async.retention, with their logs; the newest job of each plan stays."""
    return Result(session.call(protocol.JobPrune(), timeout=None), _pruned)


_COLUMNS = (
    Column(), Column("JOB"), Column("PLAN", drop=1), Column("PHASE"), Column("STATUS"), Column("ATTEMPT", right=True, drop=3),
    Column("WORKER", drop=4), Column("TOOK", right=True, drop=2), Column("AGE", right=True, drop=5),
    Column("ERROR", minimum=12, drop=6),
)  # fmt: skip


def _pruned(pruned: views.JobPruneView, look: Look) -> Iterable[str]:
    if pruned.jobs == 0:
        yield look.dim(
            "No finished job is older than async.retention.  How long that is: ca config get async.retention"
        )
        return
    yield f"{look.mood(Mood.DONE)} removed {wording.count(pruned.jobs, 'job')}, {wording.size(pruned.freed)} of logs"


def _list(jobs: views.JobsView, look: Look) -> Iterable[str]:
    if not jobs.jobs:
        yield look.dim("No jobs.  A plan makes one for each phase: ca plan use ACTION PROJECT")
        return
    yield from table(look, _COLUMNS, [_row(job, look.now) for job in jobs.jobs])
    if jobs.total > len(jobs.jobs):
        yield look.dim(f"{len(jobs.jobs)} of {jobs.total}.  All: ca job list --all")


def _row(job: views.JobView, now: float) -> list[Cell | str]:
    mood = wording.job_mood(job.status)
    took = wording.between(job.started_at, job.finished_at, now)
    return [
        Cell(mood.sign, mood.tone),
        Cell(wording.short_id(job.job_id), bold=True),
        wording.short_id(job.plan_id),
        job.phase,
        Cell(job.status, mood.tone),
        str(job.attempt),
        job.worker_id or "",
        wording.duration(took) if took is not None else "",
        Cell(wording.age(job.created_at, now), Tone.WAITING),
        wording.plain(job.error_message or "").replace("\n", " "),
    ]


def _show(job: views.JobView, look: Look) -> Iterable[str]:
    mood = wording.job_mood(job.status)
    took = wording.between(job.started_at, job.finished_at, look.now)
    yield f"{look.mood(mood)} job {look.bold(wording.short_id(job.job_id))}  {look.paint(job.status, mood.tone)}"
    facts: list[tuple[str, str | Cell]] = [
        ("id", job.job_id),
        ("plan", job.plan_id),
        ("phase", job.phase),
        ("attempt", str(job.attempt)),
        ("worker", job.worker_id or ""),
        ("created", wording.local_time(job.created_at)),
        ("took", wording.duration(took) if took is not None else ""),
        ("cancel", f"asked for at {wording.local_time(job.cancel_requested_at)}" if job.cancel_requested_at else ""),
        ("error", Cell(wording.plain(job.error_message or job.error_code or ""), Tone.FAILED)),
    ]
    yield from pairs(look, facts)
