"""The command palette: every verb that makes sense now, the plans, and the themes, by their names.

Enter takes what fits the text as it stands, however fast it was typed: many verbs act without asking again.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import ClassVar, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.fuzzy import Matcher
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import Worker

from cleveragents_tui import verbs, wording
from cleveragents_tui.dashboard.dialogs import Dialog
from cleveragents_tui.dashboard.here import dashboard_of
from cleveragents_tui.dashboard.outline import LISTS
from cleveragents_tui.dashboard.room import Room
from daemon import protocol
from store import errors

PLANS = 10
"""Plans of each list that are offered."""
SHOWN = 100


class Entry(NamedTuple):
    """Something that can be chosen: its title, what it does in a few words, how, and the key that does the same."""

    title: str
    note: str
    act: Callable[[], object]
    key: str = ""


class Palette(Dialog[Callable[[], object] | None]):
    """Type to find, the arrows to choose, enter to do it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Close"),
        Binding("down,ctrl+n", "move(1)", "Next", priority=True),
        Binding("up,ctrl+p", "move(-1)", "Previous", priority=True),
    ]
    DEFAULT_CSS = """
    Palette {
        .dialog { margin-top: 2; padding: 0 1; width: 90; }
        Input { border: none; height: 1; padding: 0; background: transparent; }
        OptionList { height: auto; max-height: 20; border: none; padding: 0; background: transparent; margin-top: 1; }
    }
    """

    def __init__(self, room: Room) -> None:
        super().__init__()
        self._room = room
        self._verbs: list[Entry] = []
        self._plans: list[Entry] = []
        self._found: list[Entry] = []
        self._moved = False

    def compose(self) -> ComposeResult:
        """The text, and what fits it."""
        with Vertical(classes="dialog") as box:
            box.border_subtitle = "enter does it · esc leaves"
            yield Input(placeholder="a verb, a plan, a theme", compact=True)
            yield OptionList(compact=True)
            yield Static("nothing is called that", classes="nothing")

    def on_mount(self) -> None:
        """Everything that can be done now, what is about the thing under the cursor first."""
        dashboard, here = dashboard_of(self), self._room.AREAS
        offered = [verb for verb in verbs.VERBS.values() if dashboard.offers(verb, self._room)]
        offered.sort(key=lambda verb: here.index(verb.area) if verb.area in here else len(here))
        act, look = dashboard.action_verb, dashboard.look
        plan = self._room.subject("plan")
        about = {} if plan is None else {"plan": f"{plan.name} · "}
        self._verbs = [
            Entry(
                f"{verb.area}: {verb.title}",
                (about.get(verb.area, "") if verb.when else "") + verb.help,
                partial(act, verb.id),
                self._key(verb),
            )
            for verb in offered
        ]
        self._verbs += [
            Entry(f"theme: {name}", "this one now" if name == dashboard.theme else "", partial(look, name))
            for name in sorted(dashboard.available_themes)
        ]
        self._show("")

    def _key(self, verb: verbs.Verb) -> str:
        key = verb.key.partition(",")[0]
        return dashboard_of(self).get_key_display(Binding(key, "")) if key else ""

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        text = event.value.strip()
        self._plans, self._moved = [], False
        self._show(text)
        self.run_worker(partial(self._find_plans, text), group="plans", exclusive=True, exit_on_error=False)

    async def _find_plans(self, text: str) -> None:
        """Plans by the daemon's own filter; they join what fits already."""
        dashboard = dashboard_of(self)
        pages = [protocol.BoardPage(of, 0, PLANS) for of in LISTS]
        try:
            found = await dashboard.link.call(protocol.PlanBoard(pages=pages, filter=text))
        except errors.DaemonUnavailableError:
            return  # the banner says so
        self._plans = [
            Entry(
                f"plan: {plan.name}",
                f"{wording.position(plan)} on {wording.projects(plan)}",
                partial(dashboard.select_plan, plan.plan_id),
            )
            for page in found.pages
            for plan in page.plans
        ]
        self._show(text)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """What failed by a defect is not silent."""
        dashboard_of(self).own_up(event)

    def _show(self, text: str) -> None:
        chosen = self._chosen if self._moved else None
        self._found = _fitting(text, self._verbs, self._plans)[:SHOWN]
        options = self.query_one(OptionList)
        options.clear_options()
        self.query_one(".nothing").display = not self._found
        options.add_options(Option(_line(entry)) for entry in self._found)
        if self._found:
            options.highlighted = self._found.index(chosen) if chosen is not None and chosen in self._found else 0

    @property
    def _chosen(self) -> Entry | None:
        marked = self.query_one(OptionList).highlighted
        return self._found[marked] if marked is not None and marked < len(self._found) else None

    def action_move(self, by: int) -> None:
        """Mark another one."""
        options = self.query_one(OptionList)
        if options.highlighted is not None:
            self._moved = True
            options.highlighted = (options.highlighted + by) % max(1, len(self._found))

    @on(Input.Submitted)
    @on(OptionList.OptionSelected)
    def _done(self) -> None:
        entry = self._chosen
        if entry is not None:
            self.dismiss(entry.act)


def _fitting(text: str, known: Iterable[Entry], plans: Iterable[Entry]) -> list[Entry]:
    """What fits, the best first: titles that hold the text as it is, plans, then titles that have its letters in order."""
    if not text:
        return [*known, *plans]
    matcher, words = Matcher(text), text.lower()
    whole = [entry for entry in known if words in entry.title.lower()]
    plans = sorted(plans, key=lambda entry: words not in entry.title.lower())  # the others have it elsewhere
    scored = [(matcher.match(entry.title), entry) for entry in known if entry not in whole]
    loose = [entry for score, entry in sorted(scored, key=lambda one: -one[0]) if score > 0]
    return [*whole, *plans, *loose]


def _line(entry: Entry) -> Content:
    name = (wording.plain(entry.title), "bold")
    return Content.assemble((f"{entry.key:>5}  ", "$primary"), name, (f"  {wording.plain(entry.note)}", "dim"))
