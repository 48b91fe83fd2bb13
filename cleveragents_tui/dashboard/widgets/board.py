"""The list of all plans: what needs me, what runs, what waits, what is done; children fold under their parents."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from cleveragents_tui import wording
from cleveragents_tui.dashboard.here import dashboard_of
from cleveragents_tui.dashboard.outline import LISTS, Heading, Outline, Spot, outline, windows
from cleveragents_tui.dashboard.widgets.rows import Cells, Rows, fit
from cleveragents_tui.wording import Mood, Tone
from daemon import protocol, views

TITLES = {
    "needs_you": (Mood.NEEDS_YOU, "NEEDS YOU"),
    "running": (Mood.RUNNING, "RUNNING"),
    "queued": (Mood.QUEUED, "QUEUED"),
    "done": (Mood.DONE, "DONE"),
}
PAGE = 64
"""Plans of a list that are asked for before its length is known."""
AHEAD = 3
"""Screens that are fetched in the direction in which somebody scrolls; the next one is then there before it is seen."""
KEPT = 2_560
"""Plans that were looked at and are kept, as long as nothing happens."""
BOLD, PLAIN = Style(bold=True), Style.null()
BAR, SHORT_BAR = 8, 5
"""Columns of a progress bar, and of one where they are few."""


@dataclass(frozen=True)
class Layout:
    """The columns of a line, by how wide the board is; 0 leaves one out."""

    name: int
    project: int
    action: int
    bar: int

    @classmethod
    def of(cls, width: int) -> "Layout":
        """What fits into `width` columns."""
        if width < 56:
            return cls(name=16, project=0, action=0, bar=SHORT_BAR)
        if width < 90:
            return cls(name=max(18, width * 3 // 10), project=10, action=0, bar=BAR)
        return cls(name=30, project=14, action=18, bar=BAR)


@dataclass(frozen=True)
class Draft:
    """The board as it was at one moment, as far as it was fetched; drawn only when it covers what is in view.

    Attributes:
        seq: The event after which it was so; -1 before anything is known.
        filter: What it was filtered by.
        outline: Which plan is on which line.
        plans: Those that were fetched, by list and position.
        places: Where those of the plans in `asked` are that are shown at all.
    """

    seq: int = -1
    filter: str = ""
    outline: Outline = field(default_factory=Outline)
    plans: Mapping[tuple[str, int], views.PlanView] = field(default_factory=dict[tuple[str, int], views.PlanView])
    places: Mapping[str, views.BoardPlaceView] = field(default_factory=dict[str, views.BoardPlaceView])
    asked: frozenset[str] = frozenset()


class Board(Rows):
    """The plans, as far as they were looked at.

    Attributes:
        filter: Only plans whose name, action or project holds these words are shown.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Open", id="board.open", tooltip="Look at the plan, with the keyboard in it."),
        Binding("space,right", "fold", "Children", id="board.fold", show=False, tooltip="Show or hide the children."),
        Binding("left", "leave", "Parent", id="board.leave", show=False, tooltip="Hide the children, or go to the parent."),
    ]  # fmt: skip

    filter: reactive[str] = reactive("")

    class Wanted(Message):
        """Lines are in view whose plans are not known yet."""

        def can_replace(self, message: Message) -> bool:
            """Only what is in view when it is asked for matters."""
            return isinstance(message, Board.Wanted)

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002  as every widget has it
        super().__init__(id=id)
        self.tails: Mapping[str, str] = {}
        self._drawn = Draft()
        self._opened: set[str] = set()
        self._asked: frozenset[str] = frozenset()
        self._chosen: str | None = None
        self._way = 0

    # --- what is where -------------------------------------------------------------------------------------------------

    @property
    def known(self) -> bool:
        """Whether anything has been fetched yet."""
        return self._drawn.seq >= 0

    @property
    def plans(self) -> int:
        """How many there are, without the children of others."""
        return sum(section.count for section in self._drawn.outline.sections)

    @property
    def plan(self) -> views.PlanView | None:
        """The plan under the cursor, as it was when it was fetched."""
        return self.plan_at(self.cursor) if self.cursor < self.count else None

    def plan_at(self, row: int) -> views.PlanView | None:
        """The plan on a line; None for a heading, and for one that was not fetched yet."""
        spot = self._drawn.outline.at(row)
        return self._drawn.plans.get((spot.of, spot.position)) if isinstance(spot, Spot) else None

    def seen_plans(self) -> list[views.PlanView]:
        """The plans on the screen."""
        return [plan for row in self.seen if (plan := self.plan_at(row)) is not None]

    def selectable(self, row: int) -> bool:
        """Headings are jumped over."""
        return isinstance(self._drawn.outline.at(row), Spot)

    @property
    def changing(self) -> Sequence[int]:
        """The lines in view that change with each second: what runs, and what is not a minute old."""
        now = dashboard_of(self).now()
        return [row for row in self.seen if (plan := self.plan_at(row)) is not None and _changes(plan, now)]

    def redraw_changing(self) -> None:
        """For the time that has passed, and for what was printed last."""
        for row in self.changing:
            self.redraw(row)

    def choose(self, plan_id: str, above: Iterable[str] = ()) -> None:
        """Put the cursor on a plan as soon as it is known where that is; the plans `above` it show their children."""
        self._opened |= set(above)
        self._chosen = plan_id

    # --- what is asked for, and what came ------------------------------------------------------------------------------

    def request(self, draft: Draft | None = None) -> protocol.PlanBoard:
        """What has to be asked for to draw what is in view, and to know where the cursor and the opened plans are."""
        self._asked = frozenset(self._opened | ({self._chosen} if self._chosen else set()))
        pages = self._pages(draft if draft is not None else self._drawn)
        return protocol.PlanBoard(pages=pages, places=sorted(self._asked), filter=self.filter)

    def _pages(self, draft: Draft) -> list[protocol.BoardPage]:
        if draft.seq < 0:
            return [protocol.BoardPage(of, 0, PAGE) for of in LISTS]
        if draft.filter != self.filter:  # where what is is not known; most often it is among the first
            return [protocol.BoardPage(of, 0, max(1, self.size.height)) for of in LISTS]
        view, page, way, self._way = self._view(draft), max(1, self.size.height), self._way, 0
        above, below = (page * (AHEAD if way == side else 1) for side in (-1, 1))
        lines = range(max(0, view.start - above), min(draft.outline.size, view.stop + below))
        spots = [spot for line in lines if isinstance(spot := draft.outline.at(line), Spot)]
        if way:  # nothing has happened that is known of, so what was fetched is most likely still so
            spots = [spot for spot in spots if (spot.of, spot.position) not in draft.plans]
        pages = [protocol.BoardPage(of, first, min(number, 512)) for of, first, number in windows(spots)]
        chosen = self._spot_of_chosen(draft)  # what the keys are about, also when it is not in view
        if chosen is not None and chosen not in spots:
            pages.append(protocol.BoardPage(chosen.of, chosen.position, 1))
        return pages

    def _spot_of_chosen(self, draft: Draft) -> Spot | None:
        line = self._line_of_chosen(draft)
        spot = None if line is None else draft.outline.at(line)
        return spot if isinstance(spot, Spot) else None

    def draft(self, found: views.PlanBoardView, before: Draft | None) -> Draft:
        """The board as the daemon has answered; what was fetched at the same moment before is still so."""
        draft = before if before is not None else self._drawn
        same = draft.seq == found.seq and draft.filter == self.filter and len(draft.plans) <= KEPT
        plans = dict(draft.plans) if same else {}
        for page in found.pages:
            plans |= {(page.of, page.offset + index): plan for index, plan in enumerate(page.plans)}
        places = {place.plan_id: place for place in found.places}
        shown = [place for plan_id, place in places.items() if plan_id in self._opened]
        return Draft(found.seq, self.filter, outline(found.counts, shown), plans, places, self._asked)

    def covers(self, draft: Draft) -> bool:
        """Whether every line that would be in view has its plan, and the one that the cursor is on."""
        spots = [spot for line in self._view(draft) if isinstance(spot := draft.outline.at(line), Spot)]
        chosen = self._spot_of_chosen(draft)
        spots += [chosen] if chosen is not None else []
        return all((spot.of, spot.position) in draft.plans for spot in spots)

    def _view(self, draft: Draft) -> range:
        """The lines that would be in view: the cursor's plan stays where it is on the screen."""
        line, top = self._line_of_chosen(draft), self.scroll_offset.y
        if line is not None:
            top += line - self.cursor
        height = max(1, self.size.height)
        top = max(0, min(top, draft.outline.size - height))
        return range(top, min(draft.outline.size, top + height))

    def _line_of_chosen(self, draft: Draft) -> int | None:
        place = draft.places.get(self._chosen or "")
        return None if place is None else draft.outline.line_of(place.of, place.position)

    def draw(self, draft: Draft) -> None:
        """Show it. The cursor stays on its plan, and that on its line of the screen, wherever the plan has moved to."""
        line, chosen = self._line_of_chosen(draft), self._chosen
        inset = self.cursor - self.scroll_offset.y
        seen = [self._shown(row) for row in self.seen]
        self._drawn = draft
        self.count = draft.outline.size
        if line is None:
            self.cursor = self.cursor
        elif line != self.cursor:
            if 0 <= inset < self.size.height:
                self.scroll_to(y=max(0, line - inset), animate=False, force=True, immediate=True)
            self.cursor = line
        # What the steps on the way there noted was not what was chosen; and what was chosen while this was on its way has
        # not been asked about yet.
        self._chosen = chosen if line is not None or chosen not in draft.asked else None
        if self._chosen is None:
            self.note_cursor()
        self._redraw_changed(seen)
        self.post_message(self.Moved(self, self.cursor))

    def _redraw_changed(self, before: list[Heading | views.PlanView | None]) -> None:
        for row, old in zip_longest(self.seen, before):
            if row is None or old != self._shown(row):
                self.refresh() if row is None else self.redraw(row)

    def _shown(self, row: int) -> Heading | views.PlanView | None:
        """What a line shows, to tell whether it has to be drawn anew."""
        spot = self._drawn.outline.at(row)
        return spot if isinstance(spot, Heading) else self._drawn.plans.get((spot.of, spot.position))

    def _fetch_missing(self, rows: range) -> None:
        """Ask for the plans of some lines, if one of them is not known."""
        if not (self.known and all(self.plan_at(row) is not None or not self.selectable(row) for row in rows)):
            self.post_message(self.Wanted())

    def note_cursor(self) -> None:
        """Remember which plan the cursor is on."""
        plan = self.plan
        if plan is not None:
            self._chosen = plan.plan_id

    def watch_cursor(self, old: int, new: int) -> None:
        """The plan under it is what verbs are about."""
        super().watch_cursor(old, new)
        if old != new:
            self._chosen = None
            self.note_cursor()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Lines that come into view are asked for, and those that come next."""
        super().watch_scroll_y(old_value, new_value)
        seen = self.seen
        self._way = 1 if new_value > old_value else -1
        if self._way > 0:
            self._fetch_missing(range(seen.start, min(self.count, seen.stop + len(seen))))
        else:
            self._fetch_missing(range(max(0, seen.start - len(seen)), seen.stop))

    def on_resize(self) -> None:
        """More lines may be in view."""
        self._fetch_missing(self.seen)

    def watch_filter(self) -> None:
        """Another board."""
        self.post_message(self.Wanted())

    # --- folding -------------------------------------------------------------------------------------------------------

    def action_fold(self) -> None:
        """Show the children of the plan under the cursor, or hide them."""
        plan = self.plan
        if plan is not None and plan.children.total:
            self._opened ^= {plan.plan_id}
            self.post_message(self.Wanted())

    def action_leave(self) -> None:
        """Hide the children; from a child go to its parent."""
        plan = self.plan
        if plan is None:
            return
        if plan.plan_id in self._opened:
            self._opened.discard(plan.plan_id)
        elif plan.parent_plan_id is not None:
            self._chosen = plan.parent_plan_id
        self.post_message(self.Wanted())

    def render_line(self, y: int) -> Strip:
        """A filter that nothing fits is said where the plans would be."""
        if y or self.count or not self.filter or not self.known:
            return super().render_line(y)
        text = f" No plan has “{wording.one_line(self.filter)}” in its name, action or project; esc shows all."
        return (
            Strip([Segment(text, self.tone(Tone.WAITING))])
            .adjust_cell_length(self.size.width)
            .apply_style(self.rich_style)
        )

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Of no plans none can be opened."""
        return bool(self.count) if action == "open" else super().check_action(action, parameters)

    # --- drawing -------------------------------------------------------------------------------------------------------

    def cells(self, row: int, width: int) -> Cells:
        """A heading, a plan, or nothing yet."""
        spot = self._drawn.outline.at(row)
        if isinstance(spot, Heading):
            return self._heading(spot, width)
        plan = self._drawn.plans.get((spot.of, spot.position))
        return [] if plan is None else self._line(plan, spot.depth, width)

    def _heading(self, heading: Heading, width: int) -> Cells:
        mood, title = TITLES[heading.of]
        left, right = f" {mood.sign} {title}", f"{heading.count:,} "
        gap = " " * max(1, width - wording.columns(left) - len(right))
        return [(left, self.tone(mood.tone, bold=True)), (gap, Style.null()), (right, self.tone(Tone.WAITING))]

    def _line(self, plan: views.PlanView, depth: int, width: int) -> Cells:
        mood, layout, dim = wording.plan_mood(plan), Layout.of(width), self.tone(Tone.WAITING)
        now = dashboard_of(self).now()
        fold = ("▾" if plan.plan_id in self._opened else "▸") if plan.children.total else " "
        head = f" {'  ' * depth}{mood.sign}{fold}"
        name = plan.name if plan.subplan is None else plan.subplan.item
        age = wording.age(_since(plan), now)
        room = max(8, width - wording.columns(head) - layout.name - layout.project - layout.action - 8)
        return fit([
            (head, self.tone(mood.tone)),
            (_column(wording.plain(name), layout.name), BOLD if mood in {Mood.NEEDS_YOU, Mood.FAILED} else PLAIN),
            *[(_column(text, size), dim) for text, size in (
                (wording.short_name(plan.action), layout.action), (wording.projects(plan), layout.project)) if size],
            *fit(self._note(plan, mood, now, layout.bar), room),
            (f"{age:>6} ", dim),
        ], width)  # fmt: skip

    def _note(self, plan: views.PlanView, mood: Mood, now: float, columns: int) -> Cells:
        """How far it is while it runs, else the one thing worth knowing."""
        dim = self.tone(Tone.WAITING)
        if plan.state == "processing":
            return [*self._progress(plan, now, columns), (f" {self.tails.get(plan.plan_id, '')}", dim)]
        note = wording.one_line(wording.list_note(plan, now))
        if mood is Mood.FAILED:
            return [(note, self.tone(mood.tone))]
        if mood is Mood.NEEDS_YOU:
            return [(f"{_what_it_waits_for(plan)}  ", self.tone(mood.tone)), (note, dim)]
        word = "" if plan.state == "queued" else plan.state
        return [(word if note.startswith(word) else f"{word}  {note}", dim)]

    def _progress(self, plan: views.PlanView, now: float, columns: int) -> Cells:
        done, total = progress(plan)
        text = wording.progress_note(plan, now)
        if not total:
            return [(text, self.tone(Tone.RUNNING))]
        return [
            *bar(done, total, columns, self.tone(Tone.RUNNING), self.tone(Tone.WAITING)),
            (f" {text}", self.tone(Tone.RUNNING)),
        ]


def _since(plan: views.PlanView) -> str:
    """Since when it is what it is, or has been going on."""
    if plan.state == "processing":
        return plan.started_at or plan.created_at
    return plan.created_at if plan.state == "queued" else plan.finished_at or plan.updated_at


def _changes(plan: views.PlanView, now: float) -> bool:
    return plan.state == "processing" or now - wording.seconds(_since(plan)) < 62  # a second more draws `1 m`


def progress(plan: views.PlanView) -> tuple[int, int]:
    """How many of how many: children when it has some, else steps."""
    if plan.children.total:
        return plan.children.complete + plan.children.applied, plan.children.total
    return wording.finished_steps(plan.steps), len(plan.steps)


def bar(done: int, total: int, width: int, full: Style, rest: Style) -> Cells:
    """`━━━─────`: a share of `width` columns; the numbers stand beside it."""
    filled = min(width, width * done // total) if total else 0
    return [("━" * filled, full), ("─" * (width - filled), rest)]


def _what_it_waits_for(plan: views.PlanView) -> str:
    """The verb that somebody has to say, as a question."""
    return "apply?" if plan.phase == "execute" and plan.state == "complete" else "execute?"


def _column(text: str, width: int) -> str:
    cut = wording.cut(text, width - 1)
    return cut + " " * (width - wording.columns(cut))


def running_logs(plans: Iterable[views.PlanView]) -> dict[str, str]:
    """The log of the step that runs, by plan."""
    return {
        plan.plan_id: step.log
        for plan in plans
        for step in plan.steps
        if step.state == "running" and step.log is not None
    }
