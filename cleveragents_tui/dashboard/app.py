"""The dashboard's application: its rooms, its keys, and the feed that keeps them up with what happens. Nothing else.

What a verb does is in `acts`, what a room shows in `screens`.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, ClassVar, cast

from rich.traceback import Traceback
from textual import events
from textual.binding import BindingType
from textual.css.query import NoMatches
from textual.reactive import reactive
from textual.screen import Screen
from textual.worker import Worker, WorkerState

from cleveragents_tui import verbs, wording
from cleveragents_tui.dashboard import acts, defects, themes
from cleveragents_tui.dashboard.keyboard import Keyboard
from cleveragents_tui.dashboard.link import Link, LinkState, Status, Told
from cleveragents_tui.dashboard.pulse import Pulse
from cleveragents_tui.dashboard.room import Room, bindings
from cleveragents_tui.dashboard.screens.plans import PlansRoom
from cleveragents_tui.dashboard.screens.rooms import ROOMS
from cleveragents_tui.dashboard.terminal import keep_title, restore_title, set_title
from daemon import protocol, views
from store import errors
from store.config import Config
from store.paths import Paths


class Dashboard(Keyboard):
    """The whole of it.

    Attributes:
        paths: Where everything of this home is.
        environ: What plans that are made here get as their environment.
        link: The way to the daemon.
        read_only: Whether the verbs that change something are left out.
        pulse: What the frame of every screen shows.
        echoed: The command that the last verb stood for.
    """

    TITLE = "CleverAgents"
    CSS_PATH = "styles/app.tcss"
    BINDINGS: ClassVar[list[BindingType]] = bindings("app")
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = dict(ROOMS)
    ENABLE_COMMAND_PALETTE = False  # ours is a verb as the others are

    pulse: reactive[Pulse] = reactive(Pulse())
    echoed: reactive[str] = reactive("")

    def __init__(
        self,
        paths: Paths,
        environ: Mapping[str, str],
        *,
        read_only: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self.paths = paths
        self.environ = environ
        self.read_only = read_only
        self.now = clock
        self.link = Link(paths.socket, environ, self._told)
        self._happened: list[views.EventView] = []
        self._showing = False
        self._pause = 0.1
        self._noticed: set[str] = set()
        self._began = clock()

    # --- its life ------------------------------------------------------------------------------------------------------

    async def on_mount(self) -> None:
        """Look as configured, go to the first room, and find the daemon."""
        keep_title(self)
        for theme in themes.OURS:
            self.register_theme(theme)
        self.theme = themes.DARK.name
        await self.obey_settings()
        await self.switch_mode("plans")
        self.link.open()

    def on_unmount(self) -> None:
        """Hang up; the daemon goes on."""
        restore_title(self)
        self.link.close()

    def setting(self, key: str) -> Any:
        """The value of a configuration key, now; reads a file.

        Raises:
            InvalidConfigError: the file, or the value, cannot be understood.
        """
        return Config(self.paths.config_file, self.environ).get(key).value

    async def obey_settings(self) -> None:
        """Look and move as configured; what cannot be read is told, and stays as it was."""
        try:
            name, self._pause = await asyncio.to_thread(
                lambda: (self.setting("tui.theme"), self.setting("tui.refresh"))
            )
        except errors.CleverAgentsError as error:
            self.complain(error)
            return
        if name in self.available_themes:
            self.theme = name
        else:
            self.notify(f"tui.theme: there is no theme {name!r}; {', '.join(themes.NAMED)} are", markup=False)

    def look(self, theme: str) -> None:
        """Another theme, until the end; `tui.theme` is for good."""
        self.theme = theme
        self.notify(f"until the end; for good: ca config set tui.theme {theme}", title=theme, markup=False)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """The tones, for themes that are not ours."""
        return themes.tones(self.current_theme)

    # --- the feed ------------------------------------------------------------------------------------------------------

    def _told(self, told: Told) -> None:
        if isinstance(told, LinkState):
            self._link_changed(told)
        else:
            self._happened += told
            self._show_soon()

    def _link_changed(self, state: LinkState) -> None:
        self.pulse = self._stale_pulse(state)
        self._say_messages()
        if state.status is Status.UP:
            self._happened.clear()
            self._take_pulse()
        for screen in self.screen_stack:
            if isinstance(screen, Room):
                screen.keep_up([])
                screen.refresh_keys()

    def _stale_pulse(self, state: LinkState) -> Pulse:
        old = self.pulse
        return Pulse(state, old.needs_you, old.running, old.queued, as_of=old.as_of)

    def _show_soon(self) -> None:
        """What happens is shown at once, and then in batches: a flood is drawn ten times a second."""
        if not self._showing:
            self._showing = True
            self.call_later(self._show_happened)

    def _show_happened(self) -> None:
        if not self._happened:
            self._showing = False
            return
        happened, self._happened = self._happened, []
        self._take_pulse()
        for screen in self.screen_stack:
            if isinstance(screen, Room):
                screen.keep_up(happened)
        self.set_timer(self._pause, self._show_happened)

    def _take_pulse(self) -> None:
        self.run_worker(self._fetch_pulse, group="pulse", exclusive=True, exit_on_error=False)

    async def _fetch_pulse(self) -> None:
        try:
            status = await self.link.call(protocol.Status(limit=NOTICED))
        except errors.DaemonUnavailableError:
            return  # the banner tells that it is gone
        except errors.CleverAgentsError as error:
            self.complain(error)
            return
        self.pulse = Pulse.of(self.link.state, status, self.now())
        self._notice(status.needs_you)
        self._say_messages()

    def _notice(self, needing: Iterable[views.PlanView]) -> None:
        """Tell of plans that need somebody now and did not when the dashboard looked last."""
        now = {plan.plan_id: plan for plan in needing}
        known = self._noticed | {self._plan_in_view()}
        # Those that have waited for longer than anybody has looked are no news.
        news = [plan for plan in now.values()
                if plan.plan_id not in known and wording.seconds(plan.updated_at) >= self._began]  # fmt: skip
        failed = any(wording.plan_mood(plan) is wording.Mood.FAILED for plan in news)
        if news:
            title = "A plan needs you" if len(news) == 1 else f"{len(news)} plans need you"
            text = "\n".join([*map(self._news, news[:2]), *(["…"] if len(news) > 2 else [])])
            self.notify(text, title=title, severity="error" if failed else "information", markup=False)
        self._noticed = set(now) if len(now) < NOTICED else self._noticed | set(now)

    def _news(self, plan: views.PlanView) -> str:
        note = wording.one_line(wording.plan_note(plan, self.now()))
        return f"{wording.plan_mood(plan).sign} {plan.name}: {wording.position(plan)} · {note}".rstrip(" ·")

    def _plan_in_view(self) -> str | None:
        plan: views.PlanView | None = self.screen.subject("plan") if isinstance(self.screen, Room) else None
        return None if plan is None else plan.plan_id

    def watch_pulse(self, pulse: Pulse) -> None:
        """The terminal's title says what needs somebody, for those who look at another window."""
        need = f"{wording.Mood.NEEDS_YOU.sign} {pulse.needs_you} · " if pulse.needs_you else ""
        set_title(self, f"{need}CleverAgents")

    def select_plan(self, plan_id: str) -> None:
        """Go to the plans, with the cursor on one of them."""
        self.run_worker(partial(self._select_plan, plan_id), group="select", exclusive=True, exit_on_error=False)

    async def _select_plan(self, plan_id: str) -> None:
        await self.switch_mode("plans")
        room = self.screen_stack[0]  # a dialog from which it was chosen may still be on its way out
        assert isinstance(room, PlansRoom)
        room.select(plan_id)

    def _fatal_error(self) -> None:
        """A defect. What Textual would print has the local variables of every frame, and among them may be secrets."""
        error = self._exception
        assert error is not None, "this is called for an exception"
        if self.environ.get("CLEVERAGENTS_DEBUG") == "1":
            self.panic(Traceback.from_exception(type(error), error, error.__traceback__, show_locals=False))
        else:
            self.panic(f"✘ {_a_defect(error)}\n  → {defects.keep(self.paths.dashboard_log, error)}")

    def action_help_quit(self) -> None:
        """What ctrl+c means while nothing is marked: whoever presses it wants to leave."""
        self.notify("q leaves, ctrl+q from everywhere; the daemon and the plans go on", markup=False)

    # --- verbs ---------------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A verb that makes no sense now is not offered."""
        if action != "verb":
            return super().check_action(action, parameters)
        return self.offers(verbs.VERBS[str(parameters[0])])

    def offers(self, verb: verbs.Verb, screen: Screen[Any] | None = None) -> bool:
        """Whether a verb can be done now, to what is under the cursor of the screen in view, or of another one."""
        if verb.writes and (self.read_only or not self.pulse.up):
            return False
        return verb.makes_sense(self._subject(verb, screen or self.screen))

    def _subject(self, verb: verbs.Verb, screen: Screen[Any]) -> Any:
        if verb.area == "app":
            return self.pulse
        try:
            return screen.subject(verb.area) if isinstance(screen, Room) else None
        except NoMatches:  # a room is asked for its keys while it is still being put together
            return None

    def action_verb(self, name: str) -> None:
        """Do what a key or the palette stands for."""
        verb = verbs.VERBS[name]
        doing = partial(self._do, verb, self._subject(verb, self.screen))
        self.opens(self.run_worker(doing, name=name, group="verb", exit_on_error=False))

    def on_key(self, event: events.Key) -> None:
        """A key that would do something else than now is answered, so that nobody wonders whether it arrived."""
        room = self.screen if self.screen_stack else None  # none when it is about to end
        if isinstance(room, Room):
            named = [
                verb for area in ("app", *room.AREAS) for verb in verbs.of(area) if event.key in verb.key.split(",")
            ]
            if named and not any(self.offers(verb) for verb in named) and event.key not in room.active_bindings:
                self.notify(self._why_not(named[0]), timeout=3, markup=False)

    def _why_not(self, verb: verbs.Verb) -> str:
        if verb.writes and self.read_only:
            return f"{verb.title}: this dashboard only reads"
        if verb.writes and not self.pulse.up:
            return f"{verb.title}: {self.pulse.link.reason or 'no daemon'}"
        subject = self._subject(verb, self.screen)
        if isinstance(subject, views.PlanView):
            return f"{verb.title}: not now, {wording.plain(subject.name)} is {wording.position(subject)}"
        return f"{verb.title}: not now"

    async def _do(self, verb: verbs.Verb, subject: Any) -> None:
        try:
            await acts.ACTS[verb.id](self, subject)
        except errors.CleverAgentsError as error:
            self.complain(error)
        self._say_messages()

    def echo(self, command: str) -> None:
        """Show the `ca` command that was just carried out."""
        self.echoed = command

    def complain(self, error: errors.CleverAgentsError) -> None:
        """Say what went wrong, and what to do."""
        lines = [wording.plain(error.message), *(f"→ {one}" for one in error.suggestions)]
        self.notify("\n".join(lines), title=error.code.replace("_", " "), severity="error", timeout=10, markup=False)

    def own_up(self, event: Worker.StateChanged) -> None:
        """Say that something of ours failed that nobody expected to: it is not the daemon's answer, and not done."""
        worker = cast("Worker[Any]", event.worker)  # pyright: ignore[reportUnknownMemberType]  Textual leaves its result open
        if event.state is WorkerState.ERROR and worker.error is not None:
            where = defects.keep(self.paths.dashboard_log, worker.error)
            self.complain(errors.InternalError(_a_defect(worker.error), suggestions=[where]))

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """A verb that failed by a defect is not silent; what was typed while one was carried out comes now."""
        self.own_up(event)
        if event.state in {WorkerState.SUCCESS, WorkerState.ERROR, WorkerState.CANCELLED}:
            self.call_later(self.has_ended)

    def _say_messages(self) -> None:
        while self.link.messages:
            self.notify(wording.plain(self.link.messages.popleft()), markup=False)


def _a_defect(error: BaseException) -> str:
    return f"this is a defect of `ca`: {type(error).__name__}: {error}"


NOTICED = 20
"""Plans that need somebody and are looked at for news; those who have more have seen enough."""
