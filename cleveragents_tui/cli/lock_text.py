"""How a lock is said to people."""

from cleveragents_tui import wording
from daemon import views


def name(lock: views.LockView) -> str:
    """A resource as a person types it."""
    match lock.resource_type:
        case "plan":
            return f"plan:{wording.short_id(lock.resource_id)}"
        case "project" | "file":
            return f"{lock.resource_type}:{wording.short_name(lock.resource_id)}"
        case _:
            return f"{lock.resource_type}:{lock.resource_id}"


_JOB = "job:"


def of_a_job(lock: views.LockView) -> bool:
    """Whether a running job holds it."""
    return lock.owner_id.startswith(_JOB)


def holder(lock: views.LockView) -> str:
    """An owner as short as it can be."""
    return f"job {wording.short_id(lock.owner_id.removeprefix(_JOB))}" if of_a_job(lock) else lock.owner_id


def note(lock: views.LockView, now: float) -> str:
    """A lock in a few words, for a line with several of them."""
    return f"{name(lock)} {holder(lock)} {left(lock, now)}"


def left(lock: views.LockView, now: float) -> str:
    return "expired" if lock.stale else f"{wording.duration(max(0.0, wording.seconds(lock.expires_at) - now))} left"
