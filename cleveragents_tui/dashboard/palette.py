"""The command palette: every verb that makes sense now, the plans, and the themes."""

from functools import partial

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.types import IgnoreReturnCallbackType

from cleveragents_tui import verbs, wording
from cleveragents_tui.dashboard.app import Dashboard
from cleveragents_tui.dashboard.outline import LISTS
from cleveragents_tui.dashboard.room import Room
from daemon import protocol, views
from store import errors

PLANS = 10
"""Plans of each list that are offered."""
Found = tuple[str, IgnoreReturnCallbackType, str]
"""A title, what it does, and a sentence on it."""


class Everything(Provider):
    """What can be found by its name."""

    @property
    def dashboard(self) -> Dashboard:
        """The application, as what it is."""
        app = self.app
        assert isinstance(app, Dashboard)
        return app

    def _offered(self) -> list[verbs.Verb]:
        """Those about what is under the cursor first."""
        offered = [verb for verb in verbs.VERBS.values() if self.dashboard.offers(verb, self.screen)]
        here = self.screen.AREAS if isinstance(self.screen, Room) else ()
        return sorted(offered, key=lambda verb: here.index(verb.area) if verb.area in here else len(here))

    async def discover(self) -> Hits:
        """What there is before anything was typed."""
        for verb in self._offered():
            yield DiscoveryHit(
                f"{verb.area}: {verb.title}", partial(self.dashboard.action_verb, verb.id), help=verb.help
            )

    async def search(self, query: str) -> Hits:
        """What fits what was typed: verbs and themes by any of their letters, plans by the daemon's own filter."""
        matcher = self.matcher(query)
        for title, act, note in [*self._verbs(), *self._themes()]:
            score = matcher.match(title)
            if score > 0:
                yield Hit(score, matcher.highlight(title), act, help=note)
        for plan in await self._plans(query):
            select = partial(self.dashboard.select_plan, plan.plan_id)
            title = Content(f"plan: {wording.plain(plan.name)}")
            score = 0.9 if query.lower() in plan.name.lower() else 0.5
            yield Hit(
                score, title, select, text=plan.name, help=f"{wording.position(plan)} on {wording.projects(plan)}"
            )

    def _verbs(self) -> list[Found]:
        act = self.dashboard.action_verb
        return [(f"{verb.area}: {verb.title}", partial(act, verb.id), verb.help) for verb in self._offered()]

    def _themes(self) -> list[Found]:
        look = self.dashboard.look
        return [
            (f"theme: {name}", partial(look, name), "Until the end") for name in sorted(self.dashboard.available_themes)
        ]

    async def _plans(self, query: str) -> list[views.PlanView]:
        pages = [protocol.BoardPage(of, 0, PLANS) for of in LISTS]
        try:
            found = await self.dashboard.link.call(protocol.PlanBoard(pages=pages, filter=query))
        except errors.CleverAgentsError:
            return []  # the banner says that the daemon is gone
        return [plan for page in found.pages for plan in page.plans]
