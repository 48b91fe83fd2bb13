"""The pulse: one frozen value with what the frame of every screen shows."""

from dataclasses import dataclass, field

from cleveragents_tui import wording
from cleveragents_tui.dashboard.link import LinkState, Status
from daemon import views


@dataclass(frozen=True)
class Pulse:
    """How the daemon and its work stand.

    Attributes:
        link: Whether the daemon is there.
        needs_you: Plans that go on only when somebody says so.
        running: Plans that run.
        queued: Plans that wait.
        workers: How many the daemon has.
        busy: How many of them work.
        draining: Whether it is about to stop.
        sync: How the team server stands, in a few words; empty when none is connected.
        sync_failed: Whether that is bad news.
        next_pull: When the next pull is due, in seconds since 1970; None when none is.
        as_of: When this was so, in seconds since 1970.
    """

    link: LinkState = field(default_factory=lambda: LinkState(Status.CONNECTING))
    needs_you: int = 0
    running: int = 0
    queued: int = 0
    workers: int = 0
    busy: int = 0
    draining: bool = False
    sync: str = ""
    sync_failed: bool = False
    next_pull: float | None = None
    as_of: float = 0.0

    @property
    def up(self) -> bool:
        """Whether what is shown is so now."""
        return self.link.status is Status.UP

    @property
    def gone(self) -> bool:
        """Whether there is no daemon that could be asked."""
        return self.link.status is Status.GONE

    @classmethod
    def of(cls, link: LinkState, status: views.StatusView, now: float) -> "Pulse":
        """What `ca status` says, for the frame."""
        sync, failed = _sync(status)
        return cls(
            link=link,
            needs_you=status.totals.needs_you,
            running=status.totals.running,
            queued=status.totals.queued,
            workers=len(status.daemon.workers),
            busy=sum(worker.job_id is not None for worker in status.daemon.workers),
            draining=status.daemon.draining,
            sync=sync,
            sync_failed=failed,
            next_pull=_next_pull(status),
            as_of=now,
        )


def _sync(status: views.StatusView) -> tuple[str, bool]:
    sync = status.sync
    if sync is None or not sync.active:
        return "", False
    if sync.conflicts:
        return f"↻ {wording.count(sync.conflicts, 'conflict')}", True
    if sync.last_error:
        return "↻ sync failed", True
    return "↻ team", False


def _next_pull(status: views.StatusView) -> float | None:
    at = None if status.sync is None else status.sync.next_pull_at
    return None if at is None else wording.seconds(at)
