"""How to get to each place where a daemon may die: which scenario passes the commit of which move and event.

A scenario drives a daemon that dies on the way; what it asks then ends with `Died`. Whatever stood in the plan's way is out
of it once `Scene.mend` was called.
"""

import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from daemon import protocol, views
from tests import daemons
from tests.crashes import sharing
from tests.waiting import wait_until

V = TypeVar("V")

OLD = {"a.txt": "base\n", "b.txt": "base\n"}
NEW = {"a.txt": "base\none\n", "b.txt": "base\ntwo\n"}
PERSON = "me@here"
"""Who holds locks that no crash of the daemon gives back."""
CONFLICT = {"a.txt": "mine\n"}


class Died(Exception):  # noqa: N818  what a scenario waits for
    """The daemon ended over a request."""


class Scene:
    """A home, a project, and the daemon that is to die; the plan is called `p`."""

    daemon: daemons.Daemon

    def __init__(self, home: daemons.Home, directory: Path) -> None:
        self.home = home
        self.directory = directory
        self.project = daemons.repository(directory / "proj", OLD)
        self.ok = directory / "ok"  # what fails without it succeeds with it
        self.gate = directory / "gate"  # what waits for it goes on with it
        self.ran = directory / "ran"  # the steps that ran, in order
        self.acknowledged = False  # whether the daemon said that the plan was made
        self._action: dict[str, Any] = {"name": "local/work", "steps": [self.step(1), self.step(2)]}
        self._child: dict[str, Any] | None = None

    def launch(self, crash_at: str, variables: Mapping[str, str]) -> None:
        """Start the daemon that is to die there; it has one worker, so a job that runs keeps others queued."""
        self.daemon = self.home.launch(crash_at=crash_at, CLEVERAGENTS_ASYNC_MAX_WORKERS="1", **variables)
        self.daemon.first_word()

    # --- asking -------------------------------------------------------------------------------------------------------

    def ask(self, request: protocol.Request[V]) -> V:
        """The daemon's answer.

        Raises:
            Died: it has none any more.
        """
        try:
            return self.daemon.ask(request)
        except (daemons.ConnectionEnded, ConnectionError, FileNotFoundError) as error:
            raise Died from error

    def stop(self) -> None:
        """The graceful end; a running step is left to the next daemon."""
        self.daemon.process.send_signal(signal.SIGTERM)
        self.daemon.wait_end()
        raise Died

    def wait(self) -> views.PlanView:
        """The plan once nothing more happens to it by itself."""
        return self.ask(protocol.PlanWait(plan="p", timeout=daemons.SECONDS))

    def until(self, position: str, plan: str = "p") -> None:
        """Wait until a plan is there."""

        def there() -> bool:
            shown = self.ask(protocol.PlanShow(plan=plan))
            return f"{shown.phase}/{shown.state}" == position

        wait_until(there, seconds=daemons.SECONDS)

    def until_marked(self) -> None:
        """Wait until what waits for the gate has begun."""

        def marked() -> bool:
            self.ask(protocol.Ping())
            return (self.directory / "begun").exists()

        wait_until(marked, seconds=daemons.SECONDS)

    # --- what is worked on --------------------------------------------------------------------------------------------

    def step(self, number: int, text: str = "") -> dict[str, Any]:
        """The first or second step, with something before its effect."""
        effect = {1: "echo one >> a.txt", 2: "echo two >> b.txt"}[number]
        return {"id": f"s{number}", "run": f"echo s{number} >> {self.ran}; {text}\n{effect}"}

    @property
    def unless_ok(self) -> str:
        return f"[ -e {self.ok} ] || {{ echo junk >> a.txt; exit 3; }}"

    @property
    def wait_for_gate(self) -> str:
        return f"touch {self.directory}/begun; until [ -e {self.gate} ]; do sleep 0.02; done"

    def prepare(self, *steps: Mapping[str, Any], **keys: Any) -> None:
        """An action of these steps, by default of two that succeed, and the project."""
        spelled = {"steps": steps} if steps else {}
        self._action = {**self._action, **spelled, **keys}
        self._register(self.ask)

    def prepare_family(self, *commands: str, **spec: Any) -> None:
        """The same work by two children, and a third one whose edit is beside it; each with a command before its effect."""
        effects = (
            f"echo s1 >> {self.ran}; echo one >> a.txt",
            f"echo s2 >> {self.ran}; echo two >> b.txt",
            "echo three > c.txt",
        )
        cases = [f"{n}) {command or ':'}\n{effects[n - 1]};;" for n, command in enumerate(commands, 1)]
        run = f"case $CA_ITEM in {' '.join(cases)} esac"
        self._child = {"name": "local/part", "steps": [{"id": "go", "run": run}]}
        items = {"for_each": [str(n) for n in range(1, len(commands) + 1)]}
        family = {"id": "all", "paths": ["part-{item}"], "subplans": {"action": "local/part", **items, **spec}}
        self.prepare(family)

    def _register(self, ask: Callable[[protocol.Request[Any]], Any]) -> None:
        known = {one.name for one in ask(protocol.ActionList(archived=True)).actions}
        for action in (self._child, self._action):
            if action is not None and action["name"] not in known:
                ask(protocol.ActionCreate(content=msgspec.json.encode(action), source="test"))
        if not ask(protocol.ProjectList()).projects:
            ask(protocol.ProjectAdd(path=str(self.project), name="local/proj"))

    def use(self, profile: str, *, wait: bool = True) -> None:
        """Make the plan."""
        self.ask(self._use(profile))
        self.acknowledged = True
        if wait:
            self.wait()

    def _use(self, profile: str) -> protocol.PlanUse:
        return daemons.use("work", ["local/proj"], profile=profile, name="p")

    def occupy(self) -> None:
        """Another plan takes the only worker until the gate opens."""
        waiting = f"{self.wait_for_gate}\n"
        content = msgspec.json.encode({"name": "local/other", "steps": [{"id": "s1", "run": waiting}]})
        self.ask(protocol.ActionCreate(content=content, source="test"))
        self.ask(daemons.use("other", ["local/proj"], name="q"))
        self.until_marked()

    def move_project_away(self) -> None:
        self.project.rename(self.directory / "away")

    # --- afterwards ---------------------------------------------------------------------------------------------------

    def mend(self) -> None:
        """Nothing stands in the way of the plan any more."""
        self.ok.touch()
        self.gate.touch()
        if not self.project.exists():
            (self.directory / "away").rename(self.project)
        if daemons.contents(self.project).get("a.txt") == CONFLICT["a.txt"]:
            (self.project / "a.txt").write_text(OLD["a.txt"])
        for hidden in self.directory.glob("hidden/*"):
            shutil.rmtree(self.home.paths.repositories / hidden.name, ignore_errors=True)
            hidden.rename(self.home.paths.repositories / hidden.name)

    @staticmethod
    def settle(ask: Callable[[protocol.Request[Any]], Any]) -> None:
        """In every conflict with a child, its version is the right one."""
        for one in ask(protocol.PlanConflicts(plan="p")).conflicts:
            if one.status == "open" and one.item is not None:
                ask(protocol.PlanResolve(plan="p", path=one.path, take="child"))

    def finish(self, daemon: daemons.Daemon) -> views.PlanView:
        """Bring the plan to its end, as a user would who does what `next` says."""
        if not daemon.ask(protocol.PlanList()).plans:
            self._register(daemon.ask)
            daemon.ask(self._use("full-auto"))
        for _ in range(8):
            plan = daemon.wait_for("p")
            if plan.terminal:
                return plan
            self.settle(daemon.ask)
            at_end = plan.phase == "apply" or (plan.phase, plan.state) == ("execute", "complete")
            daemon.ask(protocol.PlanApply(plan="p") if at_end else protocol.PlanExecute(plan="p"))
        raise AssertionError(f"the plan does not come to its end: {daemon.plan('p')}")


class Scenario(msgspec.Struct, frozen=True):
    """A way through the life of a plan.

    Attributes:
        play: What is asked of the daemon that is to die.
        variables: Its environment.
        earlier: What is asked of a daemon before it, which is killed in the end.
        earlier_point: Where that one dies by itself.
    """

    play: Callable[[Scene], None]
    variables: Mapping[str, str] = {}
    earlier: Callable[[Scene], None] | None = None
    earlier_point: str = ""


# --- the ways -----------------------------------------------------------------------------------------------------------


def straight(scene: Scene) -> None:
    scene.prepare(reusable=False)
    scene.use("full-auto")


def executed(scene: Scene) -> None:
    scene.prepare()
    scene.use("trusted")


def failing(scene: Scene) -> None:
    scene.prepare(scene.step(1), scene.step(2, scene.unless_ok))
    scene.use("trusted")


def failing_beside_another(scene: Scene) -> None:
    steps = [scene.step(1) | {"isolated": True}, scene.step(2, scene.unless_ok) | {"isolated": True}]
    scene.prepare(*steps)
    scene.use("trusted")


def timed_out(scene: Scene) -> None:
    scene.prepare(scene.step(1), scene.step(2, f"until [ -e {scene.ok} ]; do sleep 0.02; done") | {"timeout": "1s"})
    scene.use("trusted")


def slow(scene: Scene) -> None:
    scene.prepare(scene.step(1), scene.step(2, scene.wait_for_gate))
    scene.use("trusted", wait=False)
    scene.until_marked()


def strategizing(scene: Scene) -> None:
    """The strategy comes from a program that waits."""
    steps = [scene.step(1), scene.step(2)]
    (scene.directory / "steps.json").write_bytes(msgspec.json.encode({"decisions": [], "steps": steps}))
    script = f"{scene.wait_for_gate}; cat {scene.directory}/steps.json"
    actor = {"name": "local/slow", "type": "command", "command": ["/bin/sh", "-c", script]}
    scene.ask(protocol.ActorCreate(content=msgspec.json.encode(actor), source="test"))
    scene.prepare(strategy_actor="local/slow")
    scene.use("trusted", wait=False)
    scene.until_marked()


def strategize_errored(scene: Scene) -> None:
    scene.prepare()
    scene.use("manual")
    scene.move_project_away()
    scene.ask(protocol.PlanExecute(plan="p"))
    scene.wait()


def strategized(scene: Scene) -> None:
    scene.prepare()
    scene.use("supervised")


def waiting(scene: Scene) -> None:
    scene.prepare()
    scene.use("manual")


def queued_for_execute(scene: Scene) -> None:
    strategized(scene)
    scene.occupy()
    scene.ask(protocol.PlanExecute(plan="p"))


def queued_for_apply(scene: Scene) -> None:
    executed(scene)
    scene.occupy()
    scene.ask(protocol.PlanApply(plan="p"))


def constrained(scene: Scene) -> None:
    executed(scene)
    (scene.project / "a.txt").write_text(CONFLICT["a.txt"])
    scene.ask(protocol.PlanApply(plan="p"))
    scene.wait()


def apply_errored(scene: Scene) -> None:
    executed(scene)
    scene.move_project_away()
    scene.ask(protocol.PlanApply(plan="p"))
    scene.wait()


def checking(scene: Scene) -> None:
    scene.prepare(checks=[{"run": scene.wait_for_gate}])
    scene.use("trusted")
    scene.ask(protocol.PlanApply(plan="p"))
    scene.until_marked()


def applied_beside_another_edit(scene: Scene) -> None:
    executed(scene)
    (scene.project / "c.txt").write_text("mine\n")
    scene.ask(protocol.PlanApply(plan="p"))
    scene.wait()


def applied(scene: Scene) -> None:
    executed(scene)
    scene.ask(protocol.PlanApply(plan="p"))
    scene.wait()


def with_a_pipe(scene: Scene) -> None:
    os.mkfifo(scene.project / "pipe")
    straight(scene)


def rolled_back(scene: Scene) -> None:
    failing(scene)
    scene.ask(protocol.PlanRollback(plan="p", step="s1"))


def sandbox_gone(scene: Scene) -> None:
    executed(scene)
    plan = scene.ask(protocol.PlanShow(plan="p"))
    shutil.rmtree(plan.sandboxes[0].path or "")
    scene.ask(protocol.Diagnostics(repair=True))


def sandbox_kept(scene: Scene) -> None:
    """It cannot be removed, because what it holds cannot be kept."""
    executed(scene)
    (scene.directory / "hidden").mkdir()
    for repository in scene.home.paths.repositories.iterdir():
        repository.rename(scene.directory / "hidden" / repository.name)
    scene.ask(protocol.PlanCancel(plan="p"))


def definitions_removed(scene: Scene) -> None:
    strategist = {"name": "local/unused", "type": "command", "command": ["true"]}
    scene.ask(protocol.ActorCreate(content=msgspec.json.encode(strategist), source="test"))
    scene.ask(protocol.ActorRemove(actor="local/unused"))
    scene.prepare()
    scene.ask(protocol.ActionRemove(action="work"))
    scene.ask(protocol.ProjectRemove(project="local/proj"))


def lost(scene: Scene) -> None:
    """The step ends while there is no daemon, and with it the shell that would have left its exit code."""
    slow(scene)
    scene.daemon.kill()
    for pid in daemons.processes_of(scene.home.root):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    scene.gate.touch()


def cut_in_apply(scene: Scene) -> None:
    """Half of the change is written, and then somebody edits what is to be written."""
    with contextlib.suppress(Died):
        applied(scene)
    assert scene.daemon.died_of_crash()
    (scene.project / "a.txt").write_text(CONFLICT["a.txt"])


COLLIDES = "echo $CA_ITEM > new.txt"


def with_children(scene: Scene) -> None:
    scene.prepare_family("", "")
    scene.use("trusted")


def child_running(scene: Scene) -> None:
    scene.prepare_family("", scene.wait_for_gate)
    scene.use("trusted", wait=False)
    scene.until_marked()


def child_failing(scene: Scene) -> None:
    scene.prepare_family("", scene.unless_ok, "")
    scene.use("trusted")


def child_retried(scene: Scene) -> None:
    child_failing(scene)
    scene.ok.touch()
    scene.ask(protocol.PlanExecute(plan="p.2"))
    scene.wait()


def child_replaced(scene: Scene) -> None:
    """The first one fails before the second one has begun, and so that one is given up."""
    scene.prepare_family(scene.unless_ok, "", fail_fast=True)
    scene.use("trusted")
    scene.ok.touch()
    scene.ask(protocol.PlanExecute(plan="p"))
    scene.wait()


def child_left_out(scene: Scene) -> None:
    scene.prepare_family("", "", scene.unless_ok)
    scene.use("trusted")
    scene.ask(protocol.PlanCancel(plan="p.3"))
    scene.ask(protocol.PlanExecute(plan="p"))
    scene.wait()


def colliding(scene: Scene) -> None:
    scene.prepare_family(COLLIDES, COLLIDES, "")
    scene.use("trusted")


def settled(scene: Scene) -> None:
    colliding(scene)
    scene.settle(scene.ask)
    scene.ask(protocol.PlanExecute(plan="p"))
    scene.wait()


def wait(scene: Scene) -> None:
    scene.wait()


def nothing(_scene: Scene) -> None:
    """The daemon dies by itself while it starts."""


def locked_by_hand(scene: Scene) -> None:
    scene.ask(protocol.LockAcquire(resource="user:mine", owner=PERSON))
    scene.ask(protocol.LockRelease(resource="user:mine", owner=PERSON))


def locked_before_a_reboot(scene: Scene) -> None:
    scene.ask(protocol.LockAcquire(resource="user:mine", owner=PERSON))
    scene.daemon.kill()
    store = daemons.raw_store(scene.home)
    store.execute("UPDATE locks SET boot_id = 'an earlier one'")
    store.close()


def clean_locks(scene: Scene) -> None:
    scene.ask(protocol.LockClean())


def with_a_row_of_no_use(scene: Scene) -> None:
    executed(scene)
    actor = {"name": "local/unused", "type": "command", "command": ["true"]}
    scene.ask(protocol.ActorCreate(content=msgspec.json.encode(actor), source="test"))
    scene.daemon.kill()
    store = daemons.raw_store(scene.home)
    store.execute("UPDATE actors SET content = CAST(x'ff' AS TEXT)")
    store.close()


def repair(scene: Scene) -> None:
    scene.ask(protocol.Diagnostics(repair=True))


def then(before: Callable[[Scene], None], request: protocol.Request[Any], *, mended: bool = False) -> Scenario:
    """A way, and a request at its end."""

    def play(scene: Scene) -> None:
        before(scene)
        if mended:
            scene.mend()
        scene.ask(request)
        scene.wait()

    return Scenario(play)


def then_stop(before: Callable[[Scene], None]) -> Scenario:
    def play(scene: Scene) -> None:
        before(scene)
        scene.stop()

    return Scenario(play)


STRAIGHT = Scenario(straight)
CHILDREN = Scenario(with_children)
CANCEL = protocol.PlanCancel(plan="p")
REVERT = protocol.PlanRevert(plan="p")
UNDO = then(applied, protocol.PlanUndo(plan="p"))
PRUNE = Scenario(then(applied, protocol.PlanPrune()).play, {"CLEVERAGENTS_SANDBOX_CLEANUP": "manual"})


def shared(play: Callable[[Scene], None]) -> Scenario:
    """A way with a team server that is gone when the next daemon looks for it."""
    return Scenario(play, sharing.ALONE)


MOVES: Mapping[str, Scenario] = {
    "strategize/queued>strategize/processing": STRAIGHT,
    "strategize/queued>strategize/cancelled": then(waiting, CANCEL),
    "strategize/processing>strategize/complete": STRAIGHT,
    "strategize/processing>strategize/errored": Scenario(strategize_errored),
    "strategize/processing>strategize/queued": then_stop(strategizing),
    "strategize/processing>strategize/cancelled": then(strategizing, CANCEL),
    "strategize/complete>execute/queued": STRAIGHT,
    "strategize/complete>strategize/cancelled": then(strategized, CANCEL),
    "strategize/errored>strategize/queued": then(strategize_errored, protocol.PlanExecute(plan="p"), mended=True),
    "strategize/errored>strategize/cancelled": then(strategize_errored, CANCEL),
    "execute/queued>execute/processing": STRAIGHT,
    "execute/queued>execute/cancelled": then(queued_for_execute, CANCEL),
    "execute/processing>execute/complete": STRAIGHT,
    "execute/processing>execute/errored": Scenario(failing),
    "execute/processing>execute/queued": then_stop(slow),
    "execute/processing>execute/cancelled": then(slow, CANCEL),
    "execute/complete>apply/queued": STRAIGHT,
    "execute/complete>execute/cancelled": then(executed, CANCEL),
    "execute/complete>strategize/queued": then(executed, REVERT),
    "execute/errored>execute/queued": then(failing, protocol.PlanExecute(plan="p"), mended=True),
    "execute/errored>execute/cancelled": then(failing, CANCEL),
    "execute/errored>strategize/queued": then(failing, REVERT),
    "apply/queued>apply/processing": STRAIGHT,
    "apply/queued>apply/cancelled": then(queued_for_apply, CANCEL),
    "apply/processing>apply/applied": STRAIGHT,
    "apply/processing>apply/constrained": Scenario(constrained),
    "apply/processing>apply/errored": Scenario(apply_errored),
    "apply/processing>apply/queued": then_stop(checking),
    "apply/processing>apply/cancelled": then(checking, CANCEL),
    "apply/errored>apply/queued": then(apply_errored, protocol.PlanApply(plan="p"), mended=True),
    "apply/errored>apply/cancelled": then(apply_errored, CANCEL),
    "apply/errored>strategize/queued": then(apply_errored, REVERT),
    "apply/constrained>apply/queued": then(constrained, protocol.PlanApply(plan="p"), mended=True),
    "apply/constrained>apply/cancelled": then(constrained, CANCEL),
    "apply/constrained>strategize/queued": then(constrained, REVERT),
    "apply/applied>execute/complete": UNDO,
}
"""Every move of the tables of the life cycle."""

JOB_MOVES: Mapping[str, str] = {
    "queued>running": "execute/queued>execute/processing",
    "queued>cancelled": "execute/queued>execute/cancelled",
    "running>succeeded": "execute/processing>execute/complete",
    "running>failed": "execute/processing>execute/errored",
    "running>cancelled": "execute/processing>execute/cancelled",
    "running>queued": "execute/processing>execute/queued",
}
"""Every move of a job, and the move of its plan that is one commit with it."""

STEP_ENDS: Mapping[str, Scenario] = {
    "succeeded": STRAIGHT,
    "failed": Scenario(failing),
    "pending": Scenario(failing_beside_another),
    "timed_out": Scenario(timed_out),
    "cancelled": then(slow, CANCEL),
    "lost": Scenario(wait, earlier=lost),
}

KINDS: Mapping[str, Scenario] = {
    "action.stored": STRAIGHT,
    "action.archived": STRAIGHT,
    "action.removed": Scenario(definitions_removed),
    "actor.stored": Scenario(definitions_removed),
    "actor.removed": Scenario(definitions_removed),
    "apply.project-moved": Scenario(applied_beside_another_edit),
    "conflict.resolved": Scenario(settled),
    "decision.recorded": STRAIGHT,
    "job.queued": STRAIGHT,
    "job.running": STRAIGHT,
    "job.succeeded": STRAIGHT,
    "job.failed": Scenario(failing),
    "job.cancelled": then(slow, CANCEL),
    "job.cancel-requested": then(slow, CANCEL),
    "job.pruned": Scenario(then(applied, protocol.JobPrune()).play, {"CLEVERAGENTS_ASYNC_RETENTION": "0"}),
    "lock.acquired": Scenario(locked_by_hand),
    "lock.released": Scenario(locked_by_hand),
    "lock.expired": Scenario(clean_locks, earlier=locked_before_a_reboot),
    "plan.created": STRAIGHT,
    "plan.pruned": Scenario(then(applied, protocol.PlanPrune()).play, {"CLEVERAGENTS_PLAN_RETENTION": "0"}),
    "plan.rolled_back": Scenario(rolled_back),
    "plan.undone": UNDO,
    "project.added": STRAIGHT,
    "project.described": shared(sharing.describing),
    "project.removed": Scenario(definitions_removed),
    "project.uncarried": Scenario(with_a_pipe),
    "sandbox.gone": Scenario(sandbox_gone),
    "sandbox.kept": Scenario(sandbox_kept, {"CLEVERAGENTS_SANDBOX_CLEANUP": "on_terminal"}),
    "sandbox.ready": STRAIGHT,
    "sandbox.removed": STRAIGHT,
    "server.connected": shared(sharing.connecting),
    "server.disconnected": shared(sharing.disconnecting),
    "step.started": STRAIGHT,
    "subplan.started": CHILDREN,
    "subplan.admitted": Scenario(wait, earlier=child_running),
    "subplan.integrated": CHILDREN,
    "subplan.conflict": Scenario(colliding),
    "subplan.failed": Scenario(child_failing),
    "subplan.replaced": Scenario(child_replaced),
    "subplan.left-out": Scenario(child_left_out),
    "subplan.retried": Scenario(child_retried),
    "store.set-aside": Scenario(repair, earlier=with_a_row_of_no_use),
    "sync.conflict": shared(sharing.colliding),
    "sync.failed": shared(sharing.failing),
    "sync.pulled": shared(sharing.pulling),
    "sync.pushed": shared(sharing.pushing),
    "sync.recovered": shared(sharing.recovering),
    "sync.refused": shared(sharing.refused),
    "sync.resolved": shared(sharing.resolving),
}
"""Every kind of event that has no table of its own."""

PLACES: Mapping[str, Scenario] = {
    "store.create": Scenario(nothing),
    "command.spawned": STRAIGHT,
    "command.recorded": STRAIGHT,
    "command.released": STRAIGHT,
    "sandbox.made": STRAIGHT,
    "sandbox.committed": STRAIGHT,
    "sandbox.saved": STRAIGHT,
    "sandbox.deleted": STRAIGHT,
    "sandbox.removed": STRAIGHT,
    "undo.begun": UNDO,
    "undo.restored": UNDO,
    "prune.held": PRUNE,
    "subplan.merged:1": CHILDREN,
    "subplan.merged:2": CHILDREN,
    "subplans.restored": CHILDREN,
    "apply.taken-back": Scenario(wait, earlier=cut_in_apply, earlier_point="apply.rename:2"),
}
"""Places between two commits that no other test ends a daemon at."""

RECOVERED: Mapping[str, Scenario] = {
    "strategize/processing>strategize/queued": Scenario(wait, earlier=strategizing),
    "execute/processing>execute/queued": Scenario(wait, earlier=slow),
    "apply/processing>apply/queued": Scenario(wait, earlier=checking),
}
"""The moves that a new daemon makes with what a killed one left."""

OF_CHILDREN: Mapping[str, Scenario] = {
    "after:plan.moved strategize/queued>strategize/processing:2": CHILDREN,
    "before:plan.moved strategize/processing>strategize/complete:2": CHILDREN,
    "after:plan.moved execute/queued>execute/processing:2": CHILDREN,
    "after:plan.moved execute/processing>execute/complete": CHILDREN,
    "before:plan.moved execute/processing>execute/errored": Scenario(child_failing),
    "before:plan.moved execute/errored>execute/queued:2": Scenario(child_retried),
    "after:job.cancel-requested": then(child_running, CANCEL),
    "after:plan.moved execute/processing>execute/cancelled": then(child_running, CANCEL),
}
"""Moves that a child makes, or its parent with it."""

QUIET: Mapping[str, tuple[Scenario, range]] = {
    "straight": (STRAIGHT, range(1, 9)),
    "children": (CHILDREN, range(8, 28, 5)),
    "undo": (UNDO, range(9, 12)),
    "rollback": (Scenario(rolled_back), range(5, 8)),
    "prune": (PRUNE, range(9, 12)),
}
"""Which commits without an event are passed on a way: locks, journals, notes about sandboxes, claims that found nothing."""
