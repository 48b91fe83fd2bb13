"""The home of somebody who works with three projects: what needs her, what runs, what waits and what is done."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from daemon import views
from snapshots import changes
from tests.dashboard import scenery
from tests.dashboard.scenery import child, decision, error, event, identity, job, plan, step, steps
from tests.dashboard.world import World

REVIEW = ("diff", "apply", "rollback", "revert", "cancel")
GO_ON = ("errors", "execute", "prompt", "revert", "cancel")
WATCH = ("follow", "wait", "cancel")

FAILED = """\
============================= test session starts ==============================
collected 42 items

tests/test_api.py .....F...                                              [ 21%]
tests/test_models.py .................................                   [100%]

=================================== FAILURES ===================================
_______________________________ test_get_counts ________________________________
E   AssertionError: expected 3, got 4
tests/test_api.py:41: AssertionError
========================= 1 failed, 41 passed in 12.31s ========================
"""
LIVE = """\
\x1b[1mdocs-pass\x1b[0m chapter 4 of 9
reading \x1b[36mdocs/guide/start.md\x1b[0m
  \x1b[32m✔\x1b[0m 12 links alive
  \x1b[33mwarning\x1b[0m: 2 headings are questions
reading \x1b[36mdocs/guide/plans.md\x1b[0m
  \x1b[31merror\x1b[0m: \x1b[1m[unclosed]\x1b[0m code block at line 88
  repaired
checking spelling: 1204 words, 3 unknown
"""


def everyday(home: Path) -> World:
    """A usual morning; the logs are in `home`."""
    needs_you = [fix_types(home), upgrade_deps(home), unify_api(), draft_notes()]
    running = [docs_pass(home), modernise(), run_seven(home)]
    queued = [
        plan("nightly", "execute/queued", action="local/nightly", projects=["local/infra"], updated=95, can=WATCH)
    ]
    first, second, third, *_ = children = list(modernised(running[1]))
    return World(
        needs_you=needs_you, running=running, queued=queued, done=list(done()),
        children={running[1].plan_id: children},
        diffs={needs_you[0].plan_id: changes.diff(needs_you[0])},
        trees={
            needs_you[0].plan_id: decided(needs_you[0]),
            running[1].plan_id: scenery.tree(running[1], [], *(scenery.tree(one, []) for one in (first, second, third))),
        },
        failures={needs_you[1].plan_id: why(needs_you[1])},
        jobs=list(jobs([*needs_you, *running, *queued])),
        events=list(events(needs_you[0])),
        workers=[
            scenery.worker(1, job(running[0], "execute", "running", queued=300), done=12),
            scenery.worker(2, job(running[1], "execute", "running", queued=300), done=9, failed=1),
            scenery.worker(3, job(running[2], "execute", "running", queued=300), done=11, failed=2, cancelled=1),
            scenery.worker(4, done=8),
        ],
        projects=[
            views.ProjectView(name=f"local/{name}", description="", namespace="local", source="local", revision=1,
                              path=f"/home/ada/src/{name}", kind=kind)
            for name, kind in (("web", "git"), ("docs", "git"), ("infra", "folder"))
        ],
    )  # fmt: skip


def log(home: Path, name: str, text: str) -> str:
    """A log that is really there."""
    path = home / f"{name}.log"
    path.write_text(text)
    return str(path)


# --- what needs her ----------------------------------------------------------------------------------------------------------


def fix_types(home: Path) -> views.PlanView:
    """Its change waits for a review."""
    made = list(steps("annotate", "format", "tests", took=32, until=600))
    made[-1] = msgspec.structs.replace(made[-1], log=log(home, "tests", "42 passed in 12.08s\n"))
    return plan("fix-types", "execute/complete", updated=600, began=700, can=REVIEW, steps=made,
                diff=scenery.diff("fix-types", *changes.counts()))  # fmt: skip


def upgrade_deps(home: Path) -> views.PlanView:
    """Its tests failed."""
    made = [
        *steps("update", "lock", took=9, until=1_920),
        step(
            "test", "failed", title="pytest -q", began=1_920, ended=1_907.6, exit_code=1, log=log(home, "test", FAILED)
        ),
        step("changelog", "pending"),
    ]
    return plan("upgrade-deps", "execute/errored", action="local/upgrade", updated=1_907, began=2_000, can=GO_ON,
                steps=made, error=error("step_failed", "exit 1 after 12.4 s", step="test"))  # fmt: skip


def unify_api() -> views.PlanView:
    """Two of its children did not fit together."""
    return plan(
        "unify-api", "execute/errored", action="local/modernise", updated=3_000, began=3_500,
        can=("conflicts", "resolve", "execute", "revert", "cancel"),
        steps=[step("packages", "failed", kind="subplans", began=3_400, ended=3_000)],
        error=error("merge_conflict", "unify-api.2 (src/models) does not fit into unify-api: 2 files", step="packages",
                    files=["src/models.py", "src/limits.py"]),
    )  # fmt: skip


def draft_notes() -> views.PlanView:
    """It was made by hand and waits for somebody to start it."""
    made = plan("draft-notes", "strategize/queued", action="local/notes", projects=["local/docs"], updated=7_300,
                can=("execute", "cancel"), automation_profile="manual")  # fmt: skip
    return msgspec.structs.replace(made, job_id=None)


# --- what goes on ------------------------------------------------------------------------------------------------------------


def docs_pass(home: Path) -> views.PlanView:
    """The fifth of nine steps runs, and prints."""
    made = [
        *steps("outline", "links", "headings", "examples", took=21, until=75),
        step("spelling", "running", title="check every chapter", began=75, log=log(home, "spelling", LIVE)),
        *(step(name, "pending") for name in ("tables", "pictures", "index", "build")),
    ]
    return plan("docs-pass", "execute/processing", action="local/docs-pass", projects=["local/docs"], updated=75, began=170,
                can=WATCH, steps=made)  # fmt: skip


def modernise() -> views.PlanView:
    """Sixty children, one of which failed."""
    counts = views.ChildrenView(total=60, queued=24, processing=4, complete=31, applied=0, errored=1, cancelled=0)
    entering = views.StepChildrenView(**msgspec.structs.asdict(counts), integrated=29)
    made = [
        *steps("survey", took=3.1, until=260),
        step("packages", "running", kind="subplans", began=260, children=entering),
    ]
    return plan("modernise", "execute/processing", action="local/modernise", updated=12, began=270, can=WATCH, steps=made,
                children=counts)  # fmt: skip


def modernised(parent: views.PlanView) -> Iterable[views.PlanView]:
    """Some of its children."""
    broken = error("step_failed", "ruff: 2 errors left in src/legacy.py", step="fix")
    yield child(parent, "src/api", 0, "complete", began=240, ended=225, diff=scenery.diff("m1", 3, 12, 9))
    yield child(parent, "src/legacy", 1, "errored", began=225, ended=190, error=broken, can=GO_ON)
    yield child(parent, "src/models", 2, "processing", began=40, steps=[step("fix", "running", began=38)])
    yield child(parent, "src/wide 漢字", 3, "processing", began=30, steps=[step("fix", "running", began=28)])
    yield child(parent, "src/[views]", 4, "queued")


def run_seven(home: Path) -> views.PlanView:
    """One command."""
    text = log(home, "run", "compiling 14 of 88\n")
    return plan("run-7", "execute/processing", action="builtin/run", updated=14, began=14, can=WATCH,
                steps=[step("run", "running", title="make -j2 all && make check", began=14, log=text)])  # fmt: skip


def done() -> Iterable[views.PlanView]:
    """What is over, the latest first."""
    applied = views.AppliedView(plan_id=identity("rename-pkg"), digest=scenery.digest("rename-pkg"), mode="worktree", files=7,
                                insertions=31, deletions=31, commit=None, moved=[], undo="ca plan undo rename-pkg")  # fmt: skip
    yield plan("rename-pkg", "apply/applied", action="local/rename", updated=7_400, began=7_900, ended=7_400,
               applied=applied, diff=scenery.diff("rename-pkg", 7, 31, 31), can=["undo"],
               steps=steps("rename", "tests", until=7_500))  # fmt: skip
    yield plan("try-async", "execute/cancelled", updated=9_000, began=9_400, ended=9_000)
    for number in range(30):
        past = 86_400.0 * (1 + number // 2)
        yield plan(f"weekly-{30 - number}", "apply/applied", action="local/weekly", projects=["local/infra"], updated=past,
                   began=past + 90, ended=past, diff=scenery.diff(f"weekly-{number}", 1, 4, number), can=["undo"])  # fmt: skip


# --- what is told of them ----------------------------------------------------------------------------------------------------


def decided(of: views.PlanView) -> views.PlanTreeView:
    """What was decided for fix-types."""
    root = decision(of, "prompt_definition", "What is to be done?", "Annotate every function", reason="mypy is content")
    above = root.decision_id
    return scenery.tree(of, [
        root,
        decision(of, "invariant_enforced", "What must stay true?", "no behaviour changes", reason="declared by local/annotate",
                 parent_id=above),
        decision(of, "strategy_choice", "Which steps, in which order?", "annotate, tests", reason="by builtin/steps",
                 superseded=True, parent_id=above),
        decision(of, "strategy_choice", "Which steps, in which order?", "annotate, format, tests",
                 reason="by builtin/steps", parent_id=above),
    ])  # fmt: skip


def why(of: views.PlanView) -> views.PlanErrorsView:
    """How upgrade-deps failed."""
    failed = views.FailedStepView("test", "failed", 1, 1, of.steps[2].log, list[str](FAILED.splitlines()[-6:]))
    return views.PlanErrorsView(of.plan_id, of.error, [failed], [], of.next)


def jobs(open_plans: Iterable[views.PlanView]) -> Iterable[views.JobView]:
    """The queue, and what was done before."""
    plans = {one.name: one for one in open_plans}
    yield job(plans["docs-pass"], "execute", "running", queued=172, began=170, worker_id="worker-1")
    yield job(plans["modernise"], "execute", "running", queued=272, began=270, worker_id="worker-2")
    yield job(plans["run-7"], "execute", "running", queued=15, began=14, worker_id="worker-3")
    yield job(plans["nightly"], "execute", "queued", queued=95)
    yield job(plans["fix-types"], "execute", "succeeded", queued=702, began=700, ended=600, worker_id="worker-1")
    yield job(plans["fix-types"], "strategize", "succeeded", queued=703, began=702.2, ended=702, worker_id="worker-4")
    yield job(plans["upgrade-deps"], "execute", "failed", queued=2_001, began=2_000, ended=1_907, worker_id="worker-3",
              error_code="step_failed", error_message="step test: exit 1 after 12.4 s", attempt=2)  # fmt: skip
    yield job(
        plans["unify-api"], "execute", "cancelled", queued=90_000, began=89_000, ended=88_000, worker_id="worker-2"
    )


def events(of: views.PlanView) -> Iterable[views.EventView]:
    """What happened to fix-types, and to the queue in the last minutes."""
    happened: list[tuple[float, str, dict[str, object]]] = [
        (710, "plan.created", {"name": of.name, "action": of.action}), (703, "job.queued", {"phase": "strategize"}),
        (702, "plan.moved", {"from": "strategize/processing", "to": "strategize/complete", "by": "strategize"}),
        (702, "job.queued", {"phase": "execute"}), (700, "job.running", {"worker": "worker-1", "attempt": 1}),
        (696, "step.started", {"step": "annotate", "attempt": 1}),
        (664, "step.finished", {"step": "annotate", "state": "succeeded", "exit_code": 0}),
        (600, "plan.moved", {"from": "execute/processing", "to": "execute/complete", "by": "execute"}),
    ]  # fmt: skip
    for seq, (past, kind, detail) in enumerate(happened, 1):
        yield event(seq, kind, past, of=of, **detail)
    ends = (280, 275, 240, 200, 199, 198, 170, 120, 95, 40, 20, 15)
    for seq, past in enumerate(ends, len(happened) + 1):
        yield event(seq, "job.queued" if seq % 3 == 0 else "job.succeeded", past)
