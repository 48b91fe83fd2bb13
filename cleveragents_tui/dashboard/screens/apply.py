"""Apply, before it happens: where the change goes, how, whether it fits, and what of one's own it will meet."""

from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.markup import escape
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from cleveragents_tui import wording
from cleveragents_tui.dashboard.widgets.toned import toned
from cleveragents_tui.wording import Tone
from daemon import views

MODES = {
    "worktree": "working tree, nothing staged",
    "index": "working tree, staged, nothing committed",
    "commit": "a commit on the branch",
    "branch": "a new branch, the checkout untouched",
}
OFFERS = {"worktree": "to the working tree", "index": "and stage it", "commit": "as a commit", "branch": "as a branch"}
"""The same on a button."""
NAMED = 5
"""Files of one kind that are named."""


@dataclass(frozen=True)
class Choice:
    """What was chosen: to apply what was shown, or to be shown it in another mode."""

    mode: str
    apply: bool


class ApplyDialog(ModalScreen[Choice | None]):
    """What Apply would do now. Nothing else is applied: the digest that is shown goes with the request."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "apply", "Apply"),
        Binding("m", "mode", "Another mode"),
        Binding("escape,q,n", "leave", "Leave it"),
        Binding("left,h", "app.focus_previous", show=False),
        Binding("right,l", "app.focus_next", show=False),
    ]
    DEFAULT_CSS = """
    ApplyDialog VerticalScroll { height: auto; max-height: 16; }
    """

    def __init__(self, plan: views.PlanView, preview: views.PlanPreviewView) -> None:
        super().__init__()
        self.preview = preview
        self._plan = plan

    def compose(self) -> ComposeResult:
        """Project by project, then the answers; nothing is chosen that collides."""
        collides = any(project.conflicts for project in self.preview.projects)
        with Vertical(classes="dialog") as box:
            box.border_title = f"Apply {escape(wording.plain(self._plan.name))}"
            box.border_subtitle = "a apply · m another mode · esc leave it"
            with VerticalScroll():
                yield Static(Content("\n").join(lines(self.preview)))
            with Horizontal(classes="buttons"):
                yield Button(
                    "Try it all the same" if collides else "Apply",
                    id="apply",
                    variant="warning" if collides else "success",
                )
                yield Button(OFFERS[_next_mode(self.preview.mode)], id="mode")
                yield Button("Leave it", id="leave")

    def on_mount(self) -> None:
        """Enter applies what is clean, and leaves what collides."""
        collides = any(project.conflicts for project in self.preview.projects)
        self.query_one("#leave" if collides else "#apply").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """That button's answer."""
        {"apply": self.action_apply, "mode": self.action_mode, "leave": self.action_leave}[event.button.id or "leave"]()

    def action_apply(self) -> None:
        """Apply what is shown."""
        self.dismiss(Choice(self.preview.mode, apply=True))

    def action_mode(self) -> None:
        """Be shown it in the next mode."""
        self.dismiss(Choice(_next_mode(self.preview.mode), apply=False))

    def action_leave(self) -> None:
        """Nothing is done."""
        self.dismiss(None)


def _next_mode(mode: str) -> str:
    modes = list(MODES)
    return modes[(modes.index(mode) + 1) % len(modes)]


def lines(preview: views.PlanPreviewView) -> list[Content]:
    """What the dialog says."""
    found: list[Content] = []
    for project in preview.projects:
        found += _project(project, preview.mode)
    if preview.checks:
        checks = wording.plain(", ".join(preview.checks))
        found.append(Content(f"checked first, on the merged result: {checks}"))
    found.append(Content.assemble("the change you reviewed: ", (wording.short_digest(preview.digest), "bold")))
    return found


def _project(project: views.ProjectPreviewView, mode: str) -> list[Content]:
    branch = f" of {wording.plain(project.branch)}" if project.branch else ""
    target = (
        MODES[mode]
        .replace("working tree", f"working tree{branch}")
        .replace("the branch", wording.plain(project.branch or "HEAD"))
    )
    found = [
        Content.assemble((wording.short_name(project.project), "bold"), f"  {target}"),
        Content.assemble((wording.plain(project.path), "dim")),
        Content(wording.change(project.files, project.insertions, project.deletions)),
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


def _verdict(project: views.ProjectPreviewView) -> Content:
    if project.conflicts:
        return Content.assemble(
            toned("✘ collides with what is there now; nothing would be written", Tone.FAILED, bold=True)
        )
    moved = " with what is there now; the project has moved on since" if project.moved else ""
    return Content.assemble(toned(f"✔ merges cleanly{moved}", Tone.DONE))
