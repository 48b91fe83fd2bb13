"""Which log of a plan is shown: of which of its steps, and of which of the step's attempts."""

import shlex
from collections.abc import Iterable
from typing import NamedTuple

from cleveragents_tui import verbs, wording
from daemon import views

BAD = {"failed", "timed_out", "lost"}


class Shown(NamedTuple):
    """One log, and what it is of.

    Attributes:
        step: The step.
        attempt: Which one of its attempts; 0 for a step that has not begun.
        path: The file; None when there is none.
    """

    step: views.StepView
    attempt: int
    path: str | None

    @property
    def latest(self) -> bool:
        """Whether it is the last attempt so far: that of the step's state."""
        return self.attempt == self.step.attempt

    @property
    def live(self) -> bool:
        """Whether it may still grow."""
        return self.latest and self.step.state == "running"

    @property
    def title(self) -> str:
        """`step test, attempt 2 of 3`, and of the last one how it ended."""
        parts = [f"step {wording.plain(self.step.id)}"]
        if self.attempt:
            many = self.step.attempt > 1
            parts.append(f"attempt {self.attempt}{f' of {self.step.attempt}' if many else ''}")
        if self.latest:
            parts.append(self.step.state.replace("_", " "))
            parts += [f"exit {self.step.exit_code}"] if self.step.exit_code else []
        return ", ".join(parts)

    def command(self, plan: views.PlanView) -> str:
        """The `ca` command that prints it."""
        attempt = "" if self.latest else f" --attempt {self.attempt}"
        return f"{verbs.VERBS['plan.logs'].command(plan=plan.name)} --step {shlex.quote(self.step.id)}{attempt}"


class Choice:
    """What somebody chose to see of a plan's logs; what runs, failed or was last while nothing was chosen.

    Attributes:
        step: The id of the step that was chosen.
        attempt: Which of its attempts; None for the last one, also when there comes another.
        paths: The logs of attempts before the last one, by step and attempt, as far as they are known.
    """

    def __init__(self) -> None:
        self.step: str | None = None
        self.attempt: int | None = None
        self.paths: dict[tuple[str, int], str] = {}

    def learn(self, found: views.PlanArtifactsView) -> None:
        """Where the logs are. They come oldest first, so that after a revert the later ones take the others' places."""
        self.paths = {
            (one.step, one.attempt): one.path
            for one in found.artifacts
            if one.kind == "log" and one.step is not None and one.attempt is not None
        }

    def choose(self, step: str | None, attempt: int | None = None) -> None:
        """Show the log of a step; None shows what is looked at most likely."""
        self.step, self.attempt = step, attempt

    def of(self, plan: views.PlanView) -> Shown | None:
        """The log to show; None while nothing has one."""
        step = next((step for step in plan.steps if step.id == self.step), None) or _likeliest(plan.steps)
        if step is None:
            return None
        if step.id == self.step and self.attempt is not None and self.attempt < step.attempt:
            return Shown(step, self.attempt, self.paths.get((step.id, self.attempt)))
        return Shown(step, step.attempt, step.log)

    def move_step(self, plan: views.PlanView, by: int) -> None:
        """The next step that has a log, or the one before; from the last one to the first."""
        shown = self.of(plan)
        having = [step for step in plan.steps if step.log is not None]
        if shown is None or not having:
            return
        places = {step.id: place for place, step in enumerate(plan.steps)}
        here = places[shown.step.id]
        on = [step for step in having if (places[step.id] - here) * by > 0]
        if by > 0:
            self.choose((on or having)[0].id)
        else:
            self.choose((on or having)[-1].id)

    def move_attempt(self, plan: views.PlanView, by: int) -> None:
        """The attempt after the one in view, or the one before, as far as there are logs of them."""
        shown = self.of(plan)
        if shown is None:
            return
        step, wanted = shown.step, shown.attempt + by
        while 0 < wanted < step.attempt and (step.id, wanted) not in self.paths:
            wanted += by
        if 0 < wanted < step.attempt:
            self.choose(step.id, wanted)
        elif wanted == step.attempt:
            self.choose(step.id)


def _likeliest(steps: Iterable[views.StepView]) -> views.StepView | None:
    """The step that runs, that failed, that was last."""
    having = [step for step in steps if step.log is not None]
    running = [step for step in having if step.state == "running"]
    failed = [step for step in having if step.state in BAD]
    return next(iter([*running, *failed, *reversed(having)]), None)
