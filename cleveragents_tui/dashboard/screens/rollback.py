"""Which step's checkpoint the sandbox goes back to."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from cleveragents_tui import wording
from cleveragents_tui.dashboard.dialogs import Dialog
from cleveragents_tui.dashboard.widgets.toned import toned
from daemon import views


class StepChoice(Dialog[str | None]):
    """The steps that have a checkpoint; escape leaves everything as it is."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss(None)", "Leave it"),
        Binding("j", "app.simulate_key('down')", show=False),
        Binding("k", "app.simulate_key('up')", show=False),
    ]
    DEFAULT_CSS = """
    StepChoice OptionList { height: auto; max-height: 14; }
    """

    def __init__(self, plan: views.PlanView) -> None:
        super().__init__()
        self._steps = [step for step in plan.steps if step.state == "succeeded"]
        if len(self._steps) == len(plan.steps):
            self._steps.pop()  # the sandbox is there already
        self._plan = plan

    def compose(self) -> ComposeResult:
        """What it means, and the choice."""
        with Vertical(classes="dialog") as box:
            box.border_title = "Rollback"
            yield Static(Content(f"The sandbox of {self._plan.name} goes back to how it was after:"))
            yield OptionList(*(Option(_line(step), id=f"step-{number}") for number, step in enumerate(self._steps)))
            yield Static(
                Content.assemble(("What was done after it is kept under a ref. Esc leaves everything as it is.", "dim"))
            )

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """That step."""
        self.dismiss(self._steps[event.option_index].id)


def _line(step: views.StepView) -> Content:
    mood = wording.step_mood(step.state)
    title = "" if step.title == step.id else f"  {wording.one_line(step.title)}"
    return Content.assemble(toned(f"{mood.sign} ", mood.tone), (step.id, "bold"), title)
