"""The explanation of a plan at every position, from records alone."""

import msgspec
import pytest

from daemon import explaining, show, views
from store import states
from store.records import Step
from store.states import Phase, State, StepState
from tests.stores import new_plan

ERROR = msgspec.json.encode(
    views.ErrorView(code="step_failed", message="step s1 failed", step="s1", detail={})
).decode()
CHANGE = msgspec.json.encode(views.DiffStatView(digest="d" * 64, files=1, insertions=1, deletions=0)).decode()
ENDED = {State.ERRORED, State.CONSTRAINED, State.CANCELLED}
STANDING = {
    "strategize/queued": "Strategize waits for a free worker.",
    "strategize/processing": "Strategize is under way, in step s1.",
    "strategize/complete": "its steps are decided (s1), and profile manual waits for you before they run.",
    "strategize/errored": "Strategize ended in an error: step s1 failed. The project is untouched.",
    "strategize/cancelled": "it was given up: step s1 failed.",
    "execute/queued": "Execute waits for a free worker.",
    "execute/processing": "Execute is under way, in step s1.",
    "execute/complete": "its steps are done, and its change of 1 file waits for your review. The project is untouched.",
    "execute/errored": "Execute ended in an error: step s1 failed. The project is untouched.",
    "execute/cancelled": "it was given up: step s1 failed.",
    "apply/queued": "Apply waits for a free worker.",
    "apply/processing": "Apply is under way, in step s1.",
    "apply/applied": "its change of 1 file is in the project.",
    "apply/constrained": "Apply was held back: step s1 failed. The project is untouched.",
    "apply/errored": "Apply ended in an error: step s1 failed. The project is untouched.",
    "apply/cancelled": "it was given up: step s1 failed.",
}
POSITIONS = sorted((phase, state) for phase, found in states.STATES.items() for state in found)


def explained(phase: Phase, state: State, *, job_id: str | None = "j") -> views.PlanExplainView:
    """What is said of a plan there, with a step that runs."""
    error = ERROR if state in ENDED else None
    plan = new_plan("p", phase=phase, state=state, job_id=job_id, error_json=error, diff_json=CHANGE)
    step = Step(plan.plan_id, "s1", 0, "", "run", "{}", StepState.RUNNING, 1, *([None] * 9))
    return explaining.explain(
        plan,
        projects=[],
        steps=[step],
        decisions=[],
        failures=[],
        job=None,
        holders={},
        commands=show.next_commands(plan),
    )


@pytest.mark.parametrize(("phase", "state"), POSITIONS)
def test_every_position_is_told_in_words(phase: Phase, state: State) -> None:
    found = explained(phase, state)

    assert found.summary.endswith(f"It is {phase}/{state}: {STANDING[f'{phase}/{state}']}")
    assert all(one.effect for one in found.next)


def test_plan_that_waits_for_its_first_verb_says_so() -> None:
    found = explained(Phase.STRATEGIZE, State.QUEUED, job_id=None)

    assert found.summary.endswith("nothing was begun, for profile manual waits for you.")
    assert found.next[0].effect.startswith("starts Strategize")
