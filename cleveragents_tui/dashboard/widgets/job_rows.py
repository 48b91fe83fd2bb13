"""The list of all jobs: those that run or wait, then those that are over. Only what is in view is at hand."""

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar, NamedTuple

from rich.style import Style
from textual.content import Content
from textual.message import Message

from cleveragents_tui import wording
from cleveragents_tui.dashboard.widgets.rows import Cells, Rows, fit
from cleveragents_tui.dashboard.widgets.toned import toned
from cleveragents_tui.wording import Mood, Tone
from daemon import protocol, views

PAGE = 64
"""Jobs of a list that are asked for before its length is known."""
WORKER_FROM = 90
"""Columns from which on there is room for the worker."""

_TITLES = {"open": (Mood.RUNNING, "QUEUE"), "finished": (Mood.DONE, "FINISHED")}


class Place(NamedTuple):
    """What stands on a line: a job of a list by its position, or the list's heading."""

    of: str
    position: int
    heading: bool = False


class JobRows(Rows):
    """The jobs, as far as they were looked at.

    Attributes:
        moment: When what is shown is so.
        totals: How many jobs each list has.
        plans: The names of the plans of the jobs that are known.
    """

    LISTS: ClassVar[tuple[str, ...]] = ("open", "finished")

    moment = 0.0

    class Wanted(Message):
        """Lines are in view whose jobs are not known yet."""

        def can_replace(self, message: Message) -> bool:
            """Only what is in view when it is asked for matters."""
            return isinstance(message, JobRows.Wanted)

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002  as every widget has it
        super().__init__(id=id, classes=classes)
        self.totals: dict[str, int] = {}
        self.plans: dict[str, str] = {}
        self._jobs: dict[tuple[str, int], views.JobView] = {}
        self._chosen: str | None = None
        self._longest = 0

    # --- what is where -----------------------------------------------------------------------------------------------------

    def place(self, row: int) -> Place:
        """What stands on a line; a list without jobs has no heading either."""
        for of in self.LISTS:
            size = self.totals.get(of, 0)
            if size and row <= size:
                return Place(of, row - 1, heading=row == 0)
            row -= size + 1 if size else 0
        return Place("", 0)

    def job_at(self, row: int) -> views.JobView | None:
        """The job on a line; None for a heading, and for one that was not fetched yet."""
        place = self.place(row)
        return None if place.heading else self._jobs.get((place.of, place.position))

    @property
    def chosen(self) -> views.JobView | None:
        """The job under the cursor, as it was when it was fetched."""
        return self.job_at(self.cursor) if self.cursor < self.count else None

    @property
    def names(self) -> Mapping[str, str]:
        """The plan of each open job that is known, by the job's id."""
        return {job.job_id: self.plans.get(job.plan_id, "") for (of, _), job in self._jobs.items() if of == "open"}

    def known(self, job_id: str) -> views.JobView | None:
        """A job, if it is at hand."""
        return next((job for job in self._jobs.values() if job.job_id == job_id), None)

    def selectable(self, row: int) -> bool:
        """Headings are jumped over."""
        return not self.place(row).heading

    # --- what is asked for, and what came ----------------------------------------------------------------------------------

    def request(self) -> protocol.JobBoard:
        """What is in view and what runs: as many lines above and below it as half the screen."""
        pages = [protocol.BoardPage("open", 0, PAGE)]
        if not self.totals:
            return protocol.JobBoard(pages=[*pages, protocol.BoardPage("finished", 0, PAGE)])
        height = max(1, self.size.height)
        top = self.scroll_offset.y
        lines = range(max(0, top - height // 2), min(self.count, top + height * 3 // 2))
        for of in self.LISTS:
            places = [place.position for line in lines if (place := self.place(line)).of == of and not place.heading]
            if places:
                pages.append(protocol.BoardPage(of, places[0], min(len(places), 512)))
        return protocol.JobBoard(pages=pages)

    @property
    def complete(self) -> bool:
        """Whether every line in view has its job."""
        return all(self.job_at(row) is not None or not self.selectable(row) for row in self.seen)

    def take(self, found: views.JobBoardView, *, anew: bool) -> None:
        """Show what the daemon answered; `anew` when what was fetched before may be wrong by now."""
        totals = {"open": found.open, "finished": found.finished}
        if anew or totals != self.totals or len(self._jobs) > 40 * PAGE:
            self._jobs.clear()
            self.plans.clear()
        self.totals = totals
        self.plans.update(found.plans)
        self._longest = max((wording.columns(wording.one_line(name)) for name in self.plans.values()), default=0)
        for page in found.pages:
            for index, job in enumerate(page.jobs):
                self._jobs[page.of, page.offset + index] = job
        self._arrange()

    def _arrange(self) -> None:
        """The cursor stays on its job, and that on its line of the screen, if it is still in view."""
        inset = self.cursor - self.scroll_offset.y
        self.count = sum(size + 1 for size in self.totals.values() if size)
        row = self._row_of(self._chosen)
        if row is not None and row != self.cursor:
            self.scroll_to(y=max(0, row - inset), animate=False, force=True, immediate=True)
            self.cursor = row
        self._note_chosen()
        self.refresh()
        self.post_message(self.Moved(self, self.cursor))

    def _row_of(self, job_id: str | None) -> int | None:
        of, position = next((place for place, job in self._jobs.items() if job.job_id == job_id), ("", 0))
        if not of:
            return None
        above = self.totals["open"] + 1 if of == "finished" and self.totals["open"] else 0
        return above + 1 + position

    def _note_chosen(self) -> None:
        if self.chosen is not None:
            self._chosen = self.chosen.job_id

    def watch_cursor(self, old: int, new: int) -> None:
        """The job under it is what verbs are about."""
        super().watch_cursor(old, new)
        if old != new:
            self._chosen = None
            self._note_chosen()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Lines that come into view are asked for."""
        super().watch_scroll_y(old_value, new_value)
        self._ask()

    def on_resize(self) -> None:
        """More lines may be in view."""
        self._ask()

    def _ask(self) -> None:
        if not self.complete:
            self.post_message(self.Wanted())

    # --- drawing -------------------------------------------------------------------------------------------------------------

    def cells(self, row: int, width: int) -> Cells:
        """A heading, a job, or nothing yet."""
        place = self.place(row)
        if place.heading:
            return self._heading(place.of, width)
        job = self.job_at(row)
        return [] if job is None else self._line(job, width)

    def _heading(self, of: str, width: int) -> Cells:
        mood, title = _TITLES[of]
        left, right = f" {mood.sign} {title}", f"{self.totals[of]:,} "
        gap = " " * max(1, width - wording.columns(left) - len(right))
        return [(left, self.tone(mood.tone, bold=True)), (gap, Style.null()), (right, self.tone(Tone.WAITING))]

    def _name_width(self, width: int) -> int:
        """As wide as the longest name that is known, so that there is room for what went wrong."""
        return max(10, min(width // 3, self._longest + 2))

    def _line(self, job: views.JobView, width: int) -> Cells:
        mood, dim = wording.job_mood(job.status), self.tone(Tone.WAITING)
        name = self.plans.get(job.plan_id) or wording.short_id(job.plan_id)
        worker = _column(job.worker_id or "", 10 if width >= WORKER_FROM else 0)
        ended = _ended(job.finished_at, self.moment) if job.finished_at else ""
        tried = f"try {job.attempt}  " if job.attempt > 1 else ""
        head = f" {mood.sign} "
        columns = [
            (head, self.tone(mood.tone)),
            (_column(wording.one_line(name), self._name_width(width)), Style(bold=mood is Mood.RUNNING)),
            (_column(job.phase, 11) + worker, dim),
            (_column(how_long(job, self.moment), 13), Style.null()),
            (tried, self.tone(Tone.NEEDS_YOU)),
        ]
        room = max(0, width - sum(wording.columns(text) for text, _ in columns) - len(ended))
        return fit([*columns, (_column(note(job), room), self.tone(_note_tone(job))), (ended, dim)], width)


def _ended(finished_at: str, moment: float) -> str:
    """When a job was over: the time of today, else the day."""
    ended, today = wording.local_time(finished_at), datetime.fromtimestamp(moment).astimezone().strftime("%Y-%m-%d")
    return f"{ended[11:] if ended.startswith(today) else ended[5:10]:>8} "


def how_long(job: views.JobView, moment: float) -> str:
    """How long a job waits, runs, or took."""
    if job.status == "queued":
        return f"waits {wording.clock(moment - wording.seconds(job.created_at))}"
    amount = wording.between(job.started_at, job.finished_at, moment)
    if amount is None:
        return "never ran"
    return f"took {wording.duration(amount)}" if job.finished_at else f"runs {wording.clock(amount)}"


def note(job: views.JobView) -> str:
    """What is to be known of a job beside its state."""
    if job.error_message:
        return wording.one_line(job.error_message)
    if job.cancel_requested_at and not job.finished_at:
        return "asked to stop"
    return job.error_code or ""


def whole(job: views.JobView, plan: str) -> Content:
    """Everything that is known of a job, its error whole."""
    mood = wording.job_mood(job.status)
    moments = [
        f"queued {wording.local_time(job.created_at)}",
        f"began {wording.local_time(job.started_at)}" if job.started_at else "",
        f"ended {wording.local_time(job.finished_at)}" if job.finished_at else "",
    ]
    stop = f"\nasked to stop at {wording.local_time(job.cancel_requested_at)}" if job.cancel_requested_at else ""
    error = wording.plain(job.error_message or job.error_code or "")
    return Content.assemble(
        toned(f"{mood.sign} {job.status}", mood.tone),
        f"  {job.phase} of {wording.one_line(plan)}, try {job.attempt}{f' on {job.worker_id}' if job.worker_id else ''}\n",
        toned(", ".join(filter(None, moments)), Tone.WAITING),
        toned(stop, Tone.WAITING),
        toned(f"\n{error}" if error else "", _note_tone(job)),
    )


def _note_tone(job: views.JobView) -> Tone:
    return Tone.FAILED if job.status == "failed" else Tone.WAITING


def _column(text: str, width: int) -> str:
    cut = wording.cut(text, max(0, width - 1))
    return cut + " " * (width - wording.columns(cut))
