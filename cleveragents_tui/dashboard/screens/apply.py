"""Apply, before it happens: where the change goes, how, whether it fits, and what of one's own it will meet."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.markup import escape
from textual.widgets import Button, Static
from textual.worker import Worker

from cleveragents_tui import wording
from cleveragents_tui.dashboard.dialogs import Dialog
from cleveragents_tui.dashboard.here import dashboard_of
from cleveragents_tui.dashboard.pulse import Pulse
from cleveragents_tui.dashboard.widgets.toned import toned
from cleveragents_tui.wording import Tone
from daemon import views
from store import errors

MODES = {
    "worktree": "working tree{of}, nothing staged",
    "index": "working tree{of}, staged, nothing committed",
    "commit": "a commit on {branch}",
    "branch": "a new branch ca/{plan}, the checkout untouched",
}
KEYS = {"worktree": "w", "index": "s", "commit": "c", "branch": "b"}
OFFERS = {"worktree": "working tree", "index": "staged", "commit": "commit", "branch": "branch"}
"""The same on a button."""
AS = {"worktree": "in the working tree", "index": "staged", "commit": "as a commit", "branch": "as a branch"}
"""The same in a sentence."""
NAMED = 5
"""Files of one kind that are named."""
ON, OFF = "●", "○"
LINE = 70
"""Columns of a line in the dialog."""
NAME = 20
"""Columns of the name of a check."""


class ApplyDialog(Dialog[views.PlanPreviewView | None]):
    """What Apply would do now. Nothing else is applied: the digest that is shown goes with the request.

    Args:
        plan: What is to be applied.
        preview: What that would do as things are.
        look: What it would do in another mode; raises CleverAgentsError.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "apply", "Apply"),
        Binding("m", "next_mode", "Another mode", tooltip="Shows it in the next one."),
        *(Binding(key, f"mode('{mode}')", OFFERS[mode].capitalize()) for mode, key in KEYS.items()),
        Binding("escape,q,n", "leave", "Leave it"),
        Binding("left,h", "app.focus_previous", show=False),
        Binding("right,l", "app.focus_next", show=False),
    ]
    DEFAULT_CSS = """
    ApplyDialog VerticalScroll { height: auto; max-height: 16; }
    """

    def __init__(
        self,
        plan: views.PlanView,
        preview: views.PlanPreviewView,
        look: Callable[[str], Awaitable[views.PlanPreviewView]],
    ) -> None:
        super().__init__()
        self.preview = preview
        self._plan = plan
        self._look = look
        self._looking = False

    def compose(self) -> ComposeResult:
        """Project by project, how it could be done otherwise, then the answers."""
        with Vertical(classes="dialog") as box:
            box.border_title = f"Apply {escape(wording.plain(self._plan.name))}"
            box.border_subtitle = "a apply · w s c b how · esc leave it"
            with VerticalScroll():
                yield Static(id="facts")
            with Horizontal(classes="buttons"):
                for mode in MODES:
                    yield Button(_offer(mode, self.preview.mode), id=mode, compact=True)
            with Horizontal(classes="buttons"):
                yield Button("Apply", id="apply")
                yield Button("Leave it", id="leave")

    def on_mount(self) -> None:
        """Enter applies what is clean, and leaves what collides."""
        self._show(self.preview.mode)
        self.watch(dashboard_of(self), "pulse", self._may_apply)
        self.query_one("#leave" if self._collides else "#apply").focus()

    def _may_apply(self, pulse: Pulse) -> None:
        """Nobody can be asked to while the daemon is gone."""
        self.query_one("#apply", Button).disabled = not pulse.up

    @property
    def _collides(self) -> bool:
        return any(project.conflicts for project in self.preview.projects)

    def _show(self, mode: str) -> None:
        """What is known, and the mode that is chosen: what is known of another one counts no more."""
        facts = Content(f"looking how it would go {AS[mode]} …")
        if not self._looking:
            facts = Content("\n").join(lines(self.preview, self._plan))
        self.query_one("#facts", Static).update(facts)
        for button in self.query(Button):
            if button.id in MODES:
                button.label = _offer(button.id, mode)
        answer = self.query_one("#apply", Button)
        answer.label = "Try it all the same" if self._collides else "Apply"
        answer.variant = "warning" if self._collides else "success"

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """That button's answer."""
        match event.button.id:
            case "apply":
                self.action_apply()
            case "leave" | None:
                self.action_leave()
            case mode:
                self.action_mode(mode)

    def action_apply(self) -> None:
        """Apply what is shown; nothing is while it is being looked at."""
        if not self._looking and not self.query_one("#apply", Button).disabled:
            self.dismiss(self.preview)

    def action_mode(self, mode: str) -> None:
        """Be shown it in another mode."""
        if not self._looking and mode != self.preview.mode:
            self._looking = True
            self._show(mode)
            self.run_worker(partial(self._look_at, mode), exit_on_error=False)

    async def _look_at(self, mode: str) -> None:
        try:
            self.preview = await self._look(mode)
        except errors.CleverAgentsError as error:
            dashboard_of(self).complain(error)
        finally:
            self._looking = False
        self._show(self.preview.mode)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """What failed by a defect is not silent."""
        dashboard_of(self).own_up(event)

    def action_next_mode(self) -> None:
        """Be shown it in the next mode."""
        modes = list(MODES)
        self.action_mode(modes[(modes.index(self.preview.mode) + 1) % len(modes)])

    def action_leave(self) -> None:
        """Nothing is done."""
        self.dismiss(None)


def _offer(mode: str, chosen: str) -> str:
    return f"{ON if mode == chosen else OFF} {OFFERS[mode]}"


def lines(preview: views.PlanPreviewView, plan: views.PlanView) -> list[Content]:
    """What the dialog says."""
    found: list[Content] = []
    for project in preview.projects:
        found += _project(project, preview.mode, plan)
    if preview.checks:
        found.append(Content("checked first, on the merged result:"))
        found += _checks(preview.checks)
    found.append(Content.assemble("the change you reviewed: ", (wording.short_digest(preview.digest), "bold")))
    return found


def _checks(checks: Sequence[views.DryRunCheckView]) -> Iterator[Content]:
    """A line each: its name, and what it runs."""
    width = min(NAME, max(wording.columns(wording.one_line(check.name)) for check in checks))
    for check in checks:
        name = wording.cut(wording.one_line(check.name), width)
        gap = " " * (width - wording.columns(name) + 2)
        yield Content.assemble(f"  {name}{gap}", (wording.cut(wording.one_line(check.run), LINE - width - 4), "dim"))


def _project(project: views.ProjectPreviewView, mode: str, plan: views.PlanView) -> list[Content]:
    branch = wording.plain(project.branch) if project.branch else None
    target = MODES[mode].format(
        of=f" of {branch}" if branch else "", branch=branch or "HEAD", plan=wording.plain(plan.name)
    )
    found = [
        Content.assemble((wording.short_name(project.project), "bold"), f"  {target}"),
        Content.assemble((wording.plain(project.path), "dim")),
        Content(_change(project, plan)),
        _verdict(project),
    ]
    found += [
        Content.assemble(toned(f"  ✘ {wording.plain(one.path)}", Tone.FAILED), f" ({one.kind})")
        for one in project.conflicts
    ]
    if project.edited:
        named = ", ".join(wording.plain(path) for path in project.edited[:NAMED])
        more = f" and {len(project.edited) - NAMED} more" if len(project.edited) > NAMED else ""
        found.append(
            Content.assemble(toned("◆ yours: ", Tone.NEEDS_YOU), f"{named}{more} edited too; both changes are kept")
        )
    return [*found, Content("")]


def _change(project: views.ProjectPreviewView, plan: views.PlanView) -> str:
    """How much is written; of what collides, how much it would be."""
    if project.conflicts and plan.diff is not None:
        whole = " in all projects" if len(plan.projects) > 1 else ""
        return f"{wording.change(plan.diff.files, plan.diff.insertions, plan.diff.deletions)}{whole}"
    return wording.change(project.files, project.insertions, project.deletions)


def _verdict(project: views.ProjectPreviewView) -> Content:
    if project.conflicts:
        return Content.assemble(
            toned("✘ collides with what is there now; nothing would be written", Tone.FAILED, bold=True)
        )
    moved = "; the project has moved on since" if project.moved else ""
    return Content.assemble(toned(f"✔ merges cleanly{moved}", Tone.DONE))
