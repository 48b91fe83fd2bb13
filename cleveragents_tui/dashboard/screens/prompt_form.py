"""A word of advice for the next attempt of a plan."""

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static, TextArea

from cleveragents_tui import wording
from cleveragents_tui.dashboard.screens.form import Form
from cleveragents_tui.dashboard.widgets.fields import Field
from daemon import protocol, views


class AdviceField(Field):
    """Some lines of text; it is as high as what was typed, within bounds."""

    DEFAULT_CSS = """
    AdviceField {
        margin-top: 1;
        & > Horizontal > .label { display: none; }
        & > .refusal { padding-left: 0; }
        TextArea { height: auto; min-height: 5; max-height: 34vh; border: round $border-blurred; padding: 0; }
        TextArea:focus { border: round $border; }
    }
    """

    def control(self) -> Iterable[Widget]:
        """Enter begins a new line; tab goes on."""
        yield TextArea(placeholder="What to do differently the next time.", tab_behavior="focus")

    @property
    def text(self) -> str:
        """What was typed."""
        return self.query_one(TextArea).text.strip()

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """What was wrong is put right."""
        event.stop()
        if self.has_class("-refused"):
            self.recheck()


class PromptForm(Form[str | None]):
    """What went wrong, and below it what to do about it; the result is the advice that was given."""

    SEND: ClassVar[str] = "Send"
    DEFAULT_CSS = """
    PromptForm {
        .lines { height: auto; max-height: 30vh; scrollbar-size-vertical: 1; color: $text-muted; }
        .lines > Static { text-wrap: nowrap; text-overflow: ellipsis; }
        .hint { display: none; }
    }
    """

    def __init__(self, plan: views.PlanView, lines: Sequence[str]) -> None:
        """`lines` are the last ones of the step that failed."""
        super().__init__()
        self._plan = plan
        self._lines = lines

    def heading(self) -> str:
        """Whom it is for."""
        return f"Advice for {self._plan.name}"

    def fields(self) -> Iterable[Widget]:
        """The reason, the end of the log, the advice."""
        if self._plan.error is not None:
            note = wording.one_line(wording.error_note(self._plan.error))
            yield Static(Content.assemble(("✘ ", "$tone-failed"), note))
        with VerticalScroll(classes="lines", can_focus=False):
            yield Static(Content("\n".join(wording.plain(line) for line in self._lines)))
        agents = any(step.kind == "prompt" for step in self._plan.steps)
        reader = (
            "an agent reads it in its next prompt"
            if agents
            else "no step is an agent's; commands find it in CA_GUIDANCE"
        )
        yield Static(Content.styled(reader, "dim"), classes="reader")
        yield AdviceField("advice", required=True)

    def on_mount(self) -> None:
        """The end of the log is what tells most."""
        self.query_one(".lines", VerticalScroll).scroll_end(animate=False)

    async def send(self) -> str:
        """Give it to the plan."""
        text = self.text("advice")
        await self.dashboard.link.call(protocol.PlanPrompt(plan=self._plan.plan_id, text=text))
        return text
