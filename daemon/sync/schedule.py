"""When the next run of a connection is due, and why the last one failed."""

from daemon.sync.pace import Moment, Pace
from store import errors
from store.clock import SECOND

_FIRST_BACK_OFF = 1.0
_LONGEST = 86_400.0
"""Seconds; no server can ask for a longer rest, and no interval is longer."""


class Schedule:
    """The timer's memory: the last pull, the failures since the last success, and the next run.

    Attributes:
        error: Why the last run failed; None when it did not.
        halted: The server does not know the token: nothing runs by itself until somebody does something about it.
    """

    def __init__(self, pace: Pace, interval: float) -> None:
        self.error: errors.CleverAgentsError | None = None
        self.halted = False
        self._pace = pace
        self._interval = interval
        self._failures = 0
        self._due: Moment = pace.moment()
        self._early: Moment | None = None
        self._failed: Moment | None = None
        self._pulled: Moment | None = None

    @property
    def last_pull(self) -> int | None:
        """When the last pull ended, by the wall clock."""
        return None if self._pulled is None else self._pulled.wall

    @property
    def next_run(self) -> int | None:
        """When the next run is due, by the wall clock as it now stands."""
        return None if self.halted else self._pace.now() + int(max(0.0, self._pace.left(self._due)) * SECOND)

    def left(self) -> float | None:
        """Seconds until there is something to do, 0 or less for now; None for never."""
        if self.halted:
            return None
        return min(self._pace.left(moment) for moment in (self._due, self._early) if moment is not None)

    def due(self) -> bool:
        """Whether a run has to begin, whatever there is to do."""
        return not self.halted and self._pace.left(self._due) <= 0

    def hurry(self, seconds: float) -> bool:
        """Look sooner, because something changed; after a failure only the back-off counts. Whether that is new."""
        if self.error is not None:
            return False
        wanted = self._pace.moment().later(seconds)
        if self._early is not None and self._pace.left(self._early) <= self._pace.left(wanted):
            return False
        self._early = wanted
        return True

    def calm(self) -> None:
        """What was to be looked at sooner is looked at now."""
        self._early = None

    def pulled(self) -> None:
        """A pull ended well; the run that it is a part of may still fail."""
        self._pulled = self._pace.moment()

    def succeeded(self) -> bool:
        """A run ended well; whether the one before it had failed."""
        recovered = self.error is not None
        self.error, self.halted, self._failures, self._failed = None, False, 0, None
        self._due = self._pace.moment() if self._pulled is None else self._after(self._pulled)
        return recovered

    def failed(self, error: errors.CleverAgentsError) -> bool:
        """A run failed; whether it is the first one that failed so."""
        first = self.error is None or self.error.code != error.code
        self.error = error
        self.halted = isinstance(error, errors.UnauthorizedError)
        self._failures += 1
        self._failed = self._pace.moment()
        self._early = None
        self._due = self._failed.later(self._back_off())
        return first

    def start(self) -> None:
        """The timer starts: at once, but not before the server wants to be asked again."""
        self.halted = False
        self._due = self._failed.later(self._rest()) if self._failed is not None else self._pace.moment()

    def change_interval(self, interval: float) -> None:
        """Go by another interval from now on, counted from the last pull."""
        self._interval = interval
        if self._failed is not None:
            self._due = self._failed.later(self._back_off())
        elif self._pulled is not None:
            self._due = self._after(self._pulled)

    def _after(self, pulled: Moment) -> Moment:
        return pulled.later(self._pace.jitter(self._interval))

    def _back_off(self) -> float:
        # beyond the twentieth doubling it is longer than any interval
        doubled = _FIRST_BACK_OFF * 2.0 ** min(self._failures - 1, 20)
        return max(min(doubled, self._interval), self._rest())

    def _rest(self) -> float:
        return rest(self.error)


def rest(error: errors.CleverAgentsError | None) -> float:
    """Seconds for which the server said that it does not want to be asked."""
    asked = error.detail.get("retry_after") if error is not None else None
    return min(max(float(asked), 0.0), _LONGEST) if isinstance(asked, (int, float)) else 0.0
