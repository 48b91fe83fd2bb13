"""Locks: who holds what, since when, and for how long still."""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, NamedTuple

from rich.style import Style
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from cleveragents_tui import verbs, wording
from cleveragents_tui.cli import lock_text
from cleveragents_tui.dashboard.room import bindings
from cleveragents_tui.dashboard.screens.timed import TimedRoom
from cleveragents_tui.dashboard.widgets.rows import Cells, Rows, fit
from cleveragents_tui.dashboard.widgets.toned import toned
from cleveragents_tui.wording import Mood, Tone
from daemon import protocol, views

EMPTY = """\
No locks.  Hold one while a command runs:

  ca lock run NAME -- CMD
  ca lock acquire project:NAME --ttl 600

Plans that run hold one of their own, and one of the project while they apply."""

OPEN = verbs.VERBS["lock.open"]
FENCE_FROM = 90
"""Columns from which on there is room for the fence."""
JOBS = 128
"""Open jobs that are asked for the names of their plans; those that run, and so hold locks, come first."""


class Holders(NamedTuple):
    """What is known of the jobs that hold locks: the names of their plans are what people know them by."""

    jobs: dict[str, views.JobView]
    plans: dict[str, str]

    @classmethod
    def of(cls, found: views.JobBoardView) -> "Holders":
        """The jobs of an answer, by their ids."""
        return cls({job.job_id: job for page in found.pages for job in page.jobs}, found.plans)

    def job(self, lock: views.LockView) -> views.JobView | None:
        """The job that holds a lock."""
        return self.jobs.get(lock.owner_id.removeprefix("job:"))

    def plan_id(self, lock: views.LockView) -> str | None:
        """The plan that a lock is of, or whose job holds it."""
        job = self.job(lock)
        return lock.resource_id if lock.resource_type == "plan" else None if job is None else job.plan_id

    def plan(self, lock: views.LockView) -> str:
        """The name of that plan; empty when it is not known."""
        return self.plans.get(self.plan_id(lock) or "", "")

    def resource(self, lock: views.LockView) -> str:
        """What is locked, as people call it."""
        plan = self.plan(lock) if lock.resource_type == "plan" else ""
        return f"plan:{plan}" if plan else lock_text.name(lock)

    def holder(self, lock: views.LockView) -> str:
        """Who holds it: of a job its phase and its plan."""
        job, plan = self.job(lock), self.plan(lock)
        return lock_text.holder(lock) if job is None or not plan else f"{job.phase} of {plan}"


class LockRows(Rows):
    """A line a lock.

    Attributes:
        moment: When what is shown is so.
        holders: What is known of the jobs among the holders.
    """

    locks: Sequence[views.LockView] = ()
    holders = Holders({}, {})
    moment = 0.0

    def show(self, locks: Sequence[views.LockView], holders: Holders) -> None:
        """Other locks; the cursor stays on its lock."""
        chosen = _key(self.chosen) if self.chosen else None
        self.locks, self.holders = locks, holders
        self.count = len(locks)
        self.cursor = next((row for row, lock in enumerate(locks) if _key(lock) == chosen), self.cursor)
        self.refresh()

    @property
    def chosen(self) -> views.LockView | None:
        """The lock under the cursor."""
        return self.locks[self.cursor] if self.cursor < len(self.locks) else None

    def cells(self, row: int, width: int) -> Cells:
        """Resource and holder share what the numbers leave."""
        lock = self.locks[row]
        mood = Mood.CANCELLED if lock.stale else Mood.RUNNING
        fence = f"{f'fence {lock.fence}':>10}  " if width >= FENCE_FROM else ""
        numbers = f"{fence}held {wording.age(lock.acquired_at, self.moment):>5}  {left(lock, self.moment):>14} "
        room = max(0, width - 3 - len(numbers))
        cells = [
            (f" {mood.sign} ", self.tone(mood.tone)),
            (_cell(self.holders.resource(lock), room // 2), Style(bold=not lock.stale)),
            (_cell(self.holders.holder(lock), room - room // 2), Style.null()),
            (numbers, self.tone(Tone.NEEDS_YOU if lock.stale else Tone.WAITING)),
        ]
        return fit(cells, width)


def _key(lock: views.LockView) -> tuple[str, str]:
    return lock.resource_type, lock.resource_id


def _cell(text: str, width: int) -> str:
    text = wording.cut(wording.one_line(text), max(0, width - 2))
    return text + " " * (width - wording.columns(text))


def left(lock: views.LockView, moment: float) -> str:
    """How long a lock still holds; one that has just run out is asked about."""
    return "expired" if lock.stale else f"{wording.clock(wording.seconds(lock.expires_at) - moment)} left"


class LocksRoom(TimedRoom):
    """The list, and the lock under the cursor whole."""

    TITLE = "Locks"
    HELP = """\
Who holds what: plans that run, projects and files that they apply to, and whatever people and their scripts have locked.
▶ is held, ⊘ has expired: it keeps nobody out, anybody may take it over. The fence grows with every new holder.
Release gives a lock back in its holder's name; clean removes those that have expired.
Enter goes to the plan whose job holds the lock."""
    BINDINGS: ClassVar[list[BindingType]] = bindings("lock")
    DEFAULT_CSS = """
    LocksRoom #lock { height: auto; }
    LocksRoom #told { padding: 0 1; }
    """

    _locks: Sequence[views.LockView] = ()
    _holders = Holders({}, {})

    def body(self) -> Iterable[Widget]:
        """The list above the lock."""
        rows = LockRows(id="locks", classes="pane")
        rows.border_title = "Locks"
        lock = Vertical(Static(id="told"), id="lock", classes="pane")
        yield Vertical(Static(id="nothing", classes="empty"), rows, lock)

    # --- what is there -------------------------------------------------------------------------------------------------------

    async def refill(self, happened: list[views.EventView]) -> None:
        """Locks come and go with what plans do, and by hand."""
        if happened and not any(event.kind.partition(".")[0] in {"lock", "job", "plan"} for event in happened):
            return
        link = self.dashboard.link
        self._locks = (await link.call(protocol.LockList())).locks
        if any(lock_text.of_a_job(lock) for lock in self._locks):
            self._holders = Holders.of(await link.call(protocol.JobBoard(pages=[protocol.BoardPage("open", 0, JOBS)])))
        self.filled = True
        self.show()
        self.attend()

    def subject(self, area: str) -> Any:
        """The lock under the cursor."""
        return self.query_one(LockRows).chosen if area == "lock" else None

    # --- time ----------------------------------------------------------------------------------------------------------------

    def changes_with_time(self) -> bool:
        """Ages and what is left."""
        return bool(self._locks)

    def tick(self) -> None:
        """Count down; nobody tells when a lock expires, so that is asked."""
        self._draw()
        if any(not lock.stale and wording.seconds(lock.expires_at) <= self.moment for lock in self._locks):
            self.keep_up([])

    # --- drawing -------------------------------------------------------------------------------------------------------------

    def show(self) -> None:
        """The list, or what stands for it."""
        rows = self.query_one(LockRows)
        rows.moment = self.moment
        rows.show(self._locks, self._holders)
        rows.display = bool(self._locks)
        rows.border_subtitle = _summary(self._locks)
        self.say_instead("#nothing", "" if self._locks else EMPTY if self.filled else self.nothing_yet())
        if rows.display and self.focused is None:
            rows.focus()
        self._show_chosen()

    def _draw(self) -> None:
        rows = self.query_one(LockRows)
        rows.moment = self.moment
        rows.refresh()
        self._show_chosen()

    def on_rows_moved(self) -> None:
        """Another lock is shown whole, and other verbs may make sense."""
        self._show_chosen()
        self.refresh_bindings()

    def on_rows_opened(self) -> None:
        """Enter goes to the plan whose job holds it."""
        if self.dashboard.offers(OPEN):
            self.dashboard.action_verb(OPEN.id)

    def _show_chosen(self) -> None:
        place = self.query_one("#lock")
        chosen = self.query_one(LockRows).chosen
        place.display = chosen is not None
        if chosen is not None:
            place.border_title = Content(wording.one_line(self._holders.resource(chosen))).markup
            self.query_one("#told", Static).update(_whole(chosen, self._holders, self.moment))


def _whole(lock: views.LockView, holders: Holders, moment: float) -> Content:
    plan = f", {holders.holder(lock)}" if holders.job(lock) is not None else ""
    lines = [
        ("holder    ", lock.owner_id + plan),
        ("resource  ", f"{lock.resource_type}:{lock.resource_id}"),
        ("since     ", f"{wording.local_time(lock.acquired_at)}, fence {lock.fence}"),
        ("until     ", f"{wording.local_time(lock.expires_at)}, {left(lock, moment)}"),
    ]
    return Content("\n").join(
        Content.assemble(toned(name, Tone.WAITING), wording.one_line(value)) for name, value in lines
    )


def _summary(locks: Sequence[views.LockView]) -> str:
    stale = sum(lock.stale for lock in locks)
    expired = f", {stale} expired" if stale else ""
    return f"{len(locks) - stale} held{expired}"
