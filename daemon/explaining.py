"""Why a plan stands where it stands, in sentences: from its records alone, nothing is asked or changed here."""

from collections.abc import Mapping, Sequence

from daemon import profiles, sandboxes, show, views
from daemon.decisions import GUIDANCE
from store import damage, jobs
from store.clock import rfc3339
from store.records import AsyncJob, Decision, Failure, Plan, PlanProject, Step
from store.states import Phase, State, StepState

_OVER = {StepState.SUCCEEDED, StepState.SKIPPED}
_STRATEGY = {"strategy_choice", "invariant_enforced"}
_PEOPLE = {"user_intervention", "reversion", "error_recovery"}


def explain(
    plan: Plan,
    *,
    projects: Sequence[PlanProject],
    steps: Sequence[Step],
    decisions: Sequence[Decision],
    failures: Sequence[Failure],
    job: AsyncJob | None,
    holders: Mapping[str, str],
    commands: Sequence[str],
) -> views.PlanExplainView:
    """Explain a plan.

    Args:
        plan: The plan.
        projects: What it works on.
        steps: Its steps in order.
        decisions: Everything that was decided, oldest first.
        failures: Every error in which one of its phases ended, oldest first.
        job: The one that is not over.
        holders: For each project whose lock keeps its Apply waiting, who has it.
        commands: What makes sense now.
    """
    where = ", ".join(project.project for project in projects)
    left_out = _left_out(projects)
    told = [
        _profile(plan),
        *_decided(decisions),
        *_happened(decisions, failures),
        *(_step(step) for step in steps),
        *left_out,
        *(f"its Apply waits for project {project}, which {holder} holds" for project, holder in holders.items()),
    ]
    return views.PlanExplainView(
        plan_id=plan.plan_id,
        phase=plan.phase,
        state=plan.state,
        summary=f"{plan.name} uses {plan.action} on {where}{_goal(plan, decisions)}. "
        f"It is {plan.position}: {_standing(plan, steps, job, left_out)}",
        reasons=told,
        decisions=[show.decision(one) for one in decisions if not one.superseded],
        next=[views.NextView(command, _effect(command.split(" ")[2], plan, steps)) for command in commands],
    )


def _goal(plan: Plan, decisions: Sequence[Decision]) -> str:
    """What the plan is for, when its action says more than its name."""
    found = [one.choice for one in decisions if one.kind == "prompt_definition" and not one.superseded]
    goal = found[-1].strip().partition("\n")[0].rstrip(".") if found else ""
    return f" ({goal})" if goal and goal != plan.action else ""


def _left_out(projects: Sequence[PlanProject]) -> list[str]:
    """What neither the sandbox nor the change can carry."""
    named = [(project, damage.document(project, "uncarried_json", list[str])) for project in projects]
    return [f"not in the change of {project.project}: {entry}" for project, entries in named for entry in entries]


def _awaited(job: AsyncJob | None) -> str:
    """What a queued job needs."""
    if job is None or job.schema_version <= jobs.PAYLOAD_VERSION:
        return "a free worker"
    return f"the newer program that queued it (payload version {job.schema_version})"


def _standing(  # noqa: PLR0911  a table, one line a position
    plan: Plan, steps: Sequence[Step], job: AsyncJob | None, left_out: Sequence[str]
) -> str:
    profile = f"profile {plan.automation_profile}"
    match plan.phase, plan.state:
        case Phase.STRATEGIZE, State.QUEUED if plan.job_id is None:
            return f"nothing was begun, for {profile} waits for you."
        case phase, State.QUEUED:
            return f"{_title(phase)} waits for {_awaited(job)}."
        case phase, State.PROCESSING:
            running = [step.step_id for step in steps if step.state is StepState.RUNNING]
            return f"{_title(phase)} is under way{f', in step {running[0]}' if running else ''}."
        case Phase.STRATEGIZE, State.COMPLETE:
            names = ", ".join(step.step_id for step in steps)
            return f"its steps are decided ({names}), and {profile} waits for you before they run."
        case Phase.EXECUTE, State.COMPLETE if _changed(plan) == 0:
            besides = " that can be carried" if any(entry.endswith(sandboxes.MADE) for entry in left_out) else ""
            return f"its steps ran and changed nothing{besides}, so there is nothing to apply."
        case Phase.EXECUTE, State.COMPLETE:
            return (
                f"its steps are done, and its change of {_files(plan)} waits for your review. The project is untouched."
            )
        case phase, State.CONSTRAINED:
            return f"{_title(phase)} was held back: {_error(plan)} The project is untouched."
        case phase, State.ERRORED:
            return f"{_title(phase)} ended in an error: {_error(plan)} The project is untouched."
        case _, State.APPLIED:
            return f"its change of {_files(plan)} is in the project."
        case _:
            return f"it was given up: {_error(plan)}"


def _title(phase: Phase) -> str:
    return phase.capitalize()


def _changed(plan: Plan) -> int:
    return 0 if plan.diff_json is None else damage.document(plan, "diff_json", views.DiffStatView).files


def _files(plan: Plan) -> str:
    number = _changed(plan)
    return f"{number} file" if number == 1 else f"{number} files"


def _error(plan: Plan) -> str:
    if plan.error_json is None:
        return "no reason was recorded."
    return _sentence(damage.document(plan, "error_json", views.ErrorView).message)


def _sentence(text: str) -> str:
    line = text.strip().partition("\n")[0]
    return line if line.endswith((".", "!", "?")) else f"{line}."


def _profile(plan: Plan) -> str:
    found = profiles.PROFILES[plan.automation_profile]
    by_itself = [
        name
        for name, happens in (
            ("Strategize", found.strategizes),
            ("Execute", found.executes),
            ("Apply", found.applies),
        )
        if happens
    ]
    starts = " and ".join(by_itself) or "nothing"
    return f"profile {plan.automation_profile} (from {plan.profile_source}): by itself it starts {starts}"


def _decided(decisions: Sequence[Decision]) -> list[str]:
    return [
        f"decided: {one.question} {one.choice}{f' ({one.reason})' if one.reason else ''}"
        for one in decisions
        if one.kind in _STRATEGY and not one.superseded
    ]


def _happened(decisions: Sequence[Decision], failures: Sequence[Failure]) -> list[str]:
    """Errors, and what was done about them, in the order of time."""
    people = [(one.created_at, _intervention(one)) for one in decisions if one.kind in _PEOPLE]
    errors = [(one.created_at, _failure(one)) for one in failures]
    return [f"{rfc3339(time)}: {text}" for time, text in sorted(errors + people, key=lambda pair: pair[0])]


def _intervention(decision: Decision) -> str:
    if decision.kind == "reversion":
        return f"reverted, {decision.choice}: {decision.reason}"
    if decision.kind == "error_recovery":
        return f"{decision.choice}, after: {decision.reason}"
    if decision.question == GUIDANCE:
        return f"guidance: {decision.choice} (for {decision.reason})"
    return f"rolled {decision.choice} ({decision.reason})"


def _failure(failure: Failure) -> str:
    error = damage.document(failure, "error_json", views.ErrorView)
    attempt = f", attempt {failure.attempt}" if failure.attempt else ""
    step = f" in step {failure.step_id}{attempt}" if failure.step_id else ""
    return f"{failure.phase} failed{step}: {error.message.strip()}"


def _step(step: Step) -> str:
    said = f"step {step.step_id}: {step.state.replace('_', ' ')}"
    if step.exit_code is not None and step.state is not StepState.PENDING:
        said += f", exit {step.exit_code}"
    if step.attempt > 1:
        said += f", attempt {step.attempt}"
    return said


def _effect(verb: str, plan: Plan, steps: Sequence[Step]) -> str:
    """What a command that makes sense now would do."""
    effects = {
        "follow": "shows what the steps print, from the start; leaving it stops nothing",
        "wait": "stays until nothing more happens by itself; the exit code tells how it ended",
        "tree": "shows what was decided, and why",
        "diff": "shows the change; nothing happens to it",
        "show": "shows its parent, whose matter it is now",
        "conflicts": "shows the files in which a child and its parent do not fit together, with their versions",
        "resolve": "settles one of these files; starts nothing",
        "errors": "shows what went wrong, with the last lines of the step's log",
        "execute": _execute_effect(plan, steps),
        "apply": "checks the change on the project as it is now and lets it in, whole or not at all",
        "prompt": "records guidance that the next attempt is given; starts nothing",
        "rollback": _rollback_effect(plan),
        "revert": "starts over from Strategize on the project as it is now; what was done is kept under refs",
        "cancel": "gives the plan up; nothing of it reaches the project",
        "undo": "takes the change out of the project again; the plan can be applied once more",
    }
    return effects[verb]


def _execute_effect(plan: Plan, steps: Sequence[Step]) -> str:
    if plan.phase is Phase.STRATEGIZE:
        first = "starts the steps in the sandbox; the project stays untouched"
        return (
            first if plan.state is State.COMPLETE else "starts Strategize, which decides the steps and changes nothing"
        )
    ahead = [step.step_id for step in steps if step.state not in _OVER]
    done = [step.step_id for step in steps if step.state in _OVER]
    stays = f"; {', '.join(done)} {'stays' if len(done) == 1 else 'stay'} done" if done else ""
    return f"starts step {ahead[0]} again in the sandbox{stays}" if ahead else f"takes the result once more{stays}"


def _rollback_effect(plan: Plan) -> str:
    after = "left out of the change" if plan.state is State.COMPLETE else "run again"
    return f"lets the sandbox stand as after that step; later steps are {after}, what they did is kept under a ref"
