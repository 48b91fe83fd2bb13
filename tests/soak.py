"""Ten minutes of everything at once: plans are made, cancelled, retried and applied while the daemon is killed at random.

`nox -s soak -- --minutes 10 --seed 1`. In the end the daemon is left alone until nothing moves any more, and what must be
true then is checked; the numbers are printed. It is not part of the tests, because it takes as long as it is told to.
"""

# ruff: noqa: T201  it is a program of its own

import argparse
import contextlib
import json
import os
import random
import re
import signal
import sys
import threading
import time
from collections import Counter
from typing import Any, cast

import apsw

from cleveragents_tui import client
from daemon import protocol, views
from store import errors
from store.database import Connection
from store.states import FORWARD, REVERSIONS, START
from tests.homes import Home, tree

USERS = 3
PROJECTS = 3
WAIT_SECONDS = 20.0
QUIET_SECONDS = 300.0

# Each step proves by a lock that it never runs twice at once, and notes its begin and its end outside of the sandbox.
_STEP = """
exec 9>"$LEDGER/locks/$CA_PLAN_ID.$CA_STEP_ID"
flock -n 9 || echo "twice at once: $CA_PLAN_ID $CA_STEP_ID" >> "$LEDGER/violations"
echo "begin $CA_PLAN_ID $CA_STEP_ID" >> "$LEDGER/steps"
{work}
echo "$CA_STEP_ID" >> "$CA_PLAN_ID.txt"
echo "end $CA_PLAN_ID $CA_STEP_ID" >> "$LEDGER/steps"
"""
WORK = {
    "quick": ":",
    "slow": "sleep 1.$(( $$ % 9 ))",
    "noisy": "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done",
    "failing": '[ -e "$LEDGER/mended/$CA_PLAN_ID" ] || { touch "$LEDGER/mended/$CA_PLAN_ID"; exit 3; }',
    "runaway": "(env -i setsid sh -c 'cd /; sleep 600' >/dev/null 2>&1 9>&- &) ; sleep 0.5",
}
PROFILES = ["manual", "supervised", "trusted", "auto-apply", "full-auto"]


class Soak:
    """One run: users that work, one that kills, and the books."""

    def __init__(self, home: Home, seed: int) -> None:
        self.home = home
        self.random = random.Random(seed)
        self.ledger = home.root / "ledger"
        for name in ("locks", "mended"):
            (self.ledger / name).mkdir(parents=True)
        self.environ = {**home.environ, "LEDGER": str(self.ledger)}
        self.counts: Counter[str] = Counter()
        self.stop = threading.Event()
        self.wrong: list[str] = []

    # --- the load ------------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Projects, actions and limits."""
        self.home.set("async.max_workers", "8", "plan.concurrency", "8", "async.cancel-grace", "1")
        self.projects = [self.home.repository({f"file{n}.txt": "one\n" for n in range(20)}) for _ in range(PROJECTS)]
        for name, work in WORK.items():
            steps = [{"id": f"s{n}", "run": _STEP.format(work=work)} for n in (1, 2)]
            self.home.action(name=f"local/{name}", steps=steps)

    def user(self, seed: int) -> None:
        """Makes plans and moves them about, over whatever daemon there is."""
        chosen = random.Random(seed)
        while not self.stop.is_set():
            with contextlib.suppress(errors.CleverAgentsError):
                self._one_plan(chosen)

    def _one_plan(self, chosen: random.Random) -> None:
        action = chosen.choice(list(WORK))
        request = protocol.PlanUse(
            action=f"local/{action}", projects=[chosen.choice(self.projects).name], profile=chosen.choice(PROFILES),
            environment={name: os.fsencode(value) for name, value in self.environ.items()},
        )  # fmt: skip
        plan_id = self._call(request).plan_id
        self.counts["plans made"] += 1
        for _ in range(chosen.randrange(1, 8)):
            with contextlib.suppress(errors.CleverAgentsError):
                self._move(chosen, plan_id)

    def _move(self, chosen: random.Random, plan_id: str) -> None:
        verb = chosen.choice(
            ["wait", "wait", "execute", "execute", "apply", "apply", "cancel", "revert", "undo", "prompt"]
        )
        if verb == "wait":
            self._call(protocol.PlanWait(plan=plan_id, timeout=chosen.random() * 3), seconds=WAIT_SECONDS)
        elif verb == "prompt":
            self._call(protocol.PlanPrompt(plan=plan_id, text="go on"))
        elif verb == "apply":
            self._call(protocol.PlanApply(plan=plan_id))
        else:
            kind = {
                "execute": protocol.PlanExecute, "cancel": protocol.PlanCancel,
                "revert": protocol.PlanRevert, "undo": protocol.PlanUndo,
            }[verb]  # fmt: skip
            self._call(kind(plan=plan_id), seconds=WAIT_SECONDS)
        self.counts[f"{verb} done"] += 1

    def _call(self, request: protocol.Request[Any], seconds: float = 10.0) -> Any:
        path = self.home.home / "run" / "daemon.sock"
        connection = client.connect_or_start(path, self.environ, lambda _: None)
        try:
            return connection.call(request, timeout=seconds)
        finally:
            connection.close()

    # --- the faults ----------------------------------------------------------------------------------------------------

    def killer(self) -> None:
        """Ends, stops or restarts the daemon every now and then."""
        while not self.stop.wait(self.random.uniform(0.3, 4.0)):
            pid = self._daemon()
            if pid is None:
                continue
            with contextlib.suppress(ProcessLookupError):
                how = self.random.choices(["killed", "terminated", "stopped for a while"], [7, 2, 1])[0]
                self.counts[f"daemons {how}"] += 1
                if how == "stopped for a while":
                    os.kill(pid, signal.SIGSTOP)
                    self.stop.wait(self.random.uniform(0.1, 2))
                    os.kill(pid, signal.SIGCONT)
                else:
                    os.kill(pid, signal.SIGKILL if how == "killed" else signal.SIGTERM)

    def _daemon(self) -> int | None:
        try:
            return int(json.loads((self.home.home / "data" / "daemon.pid").read_text())["pid"])
        except (OSError, ValueError, KeyError):
            return None

    # --- the books -----------------------------------------------------------------------------------------------------

    def settle(self) -> list[views.PlanView]:
        """All plans, once nothing moves any more."""
        deadline = time.monotonic() + QUIET_SECONDS
        while time.monotonic() < deadline:
            status = self._call(protocol.DaemonStatus())
            if status.queued == 0 and status.running_jobs == 0:
                return self._call(protocol.PlanList(limit=-1), seconds=60).plans
            time.sleep(0.2)
        self.wrong.append(f"jobs are left after {QUIET_SECONDS:g} s")
        return self._call(protocol.PlanList(limit=-1), seconds=60).plans

    def check(self, plans: list[views.PlanView]) -> None:
        """What must be true of any history whatever."""
        positions = {str(one) for one in {START, *FORWARD, *REVERSIONS}}
        for plan in plans:
            here = f"{plan.phase}/{plan.state}"
            self.counts[f"plans now {here}"] += 1
            self._expect(here in positions, f"{plan.name} is {here}")
            self._expect(plan.state != "processing", f"{plan.name} is processing and has no job")
            self._check_effect(plan)
            if plan.error is not None:
                self.counts[f"error {plan.error.code}"] += 1
                good = (
                    plan.error.code in {"step_failed", "cancelled", "merge_conflict"}
                    or "was begun" in plan.error.message
                )
                self._expect(good, f"{plan.name}: {plan.error.code}: {plan.error.message}")
        violations = self.ledger / "violations"
        if violations.exists():
            self.wrong += violations.read_text().splitlines()
        begun = Counter(re.findall(r"^(\w+) ", (self.ledger / "steps").read_text(), re.MULTILINE))
        self.counts["steps begun"], self.counts["steps ended"] = begun["begin"], begun["end"]
        self._expect(not self._call(protocol.LockList()).locks, "locks are left")
        self._expect(not self.home.processes(having="CA_STEP_ID"), "processes of steps are left")
        self._check_events()
        self._check_jobs()
        for project in self.projects:
            self._expect(self.home.git(project, "fsck", "--no-dangling") == "", f"{project} is damaged")

    def _check_effect(self, plan: views.PlanView) -> None:
        """Wholly there when it is applied, not there at all otherwise, and each step's work exactly once."""
        project = next(one for one in self.projects if one.name == plan.projects[0].rpartition("/")[2])
        found = tree(project).get(f"{plan.plan_id}.txt")
        if plan.state == "applied":
            text = (project / f"{plan.plan_id}.txt").read_text() if found else ""
            self._expect(text == "s1\ns2\n", f"{plan.name} is applied, and its file holds {text!r}")
        else:
            self._expect(found is None, f"{plan.name} is {plan.phase}/{plan.state}, and its file is in the project")

    def _check_events(self) -> None:
        path = str(self.home.home / "data" / "store.db")
        connection = cast("Connection", apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY))
        count, least, most = connection.execute("SELECT count(*), min(seq), max(seq) FROM events").fetchone() or (
            0,
            0,
            0,
        )
        self.counts["events"] = count
        self._expect(count == most - least + 1, "numbers of events are missing")
        ends = connection.execute(
            "SELECT job_id, count(*) FROM events WHERE kind IN ('job.succeeded', 'job.failed', 'job.cancelled')"
            " GROUP BY job_id HAVING count(*) > 1"
        ).fetchall()
        self._expect(not ends, f"jobs ended more than once: {ends}")
        self._expect(connection.pragma("integrity_check") == "ok", "the store is damaged")
        connection.close()

    def _check_jobs(self) -> None:
        found = self._call(protocol.JobList(limit=-1), seconds=60).jobs
        self.counts["jobs"] = len(found)
        for job in found:
            self.counts[f"jobs {job.status}"] += 1
            self.counts["claims"] += job.attempt
            self._expect(job.status not in {"queued", "running"}, f"job {job.job_id} is {job.status}")

    def _expect(self, fact: bool, otherwise: str) -> None:  # noqa: FBT001  the first word of a sentence
        if not fact:
            self.wrong.append(otherwise)


def race(home: Home, rounds: int) -> Counter[str]:
    """Two real commands move one plan at the same moment: one move happens, every time."""
    project = home.repository()
    action = home.action("echo $CA_PLAN_ID >> a.txt")
    outcomes: Counter[str] = Counter()
    for number in range(rounds // 2):
        plan = home.use(action, project, profile="manual")
        home.run("plan", "execute", plan, "--wait")
        for phase, words in {"execute": ["execute", plan], "apply": ["apply", plan, "--yes"]}.items():
            both = [home.spawn("plan", *words, "--wait") for _ in range(2)]
            codes = sorted(one.wait(60) for one in both)
            for one in both:
                one.communicate()
            jobs = [job for job in home.data("job", "list", "--plan", plan)["jobs"] if job["phase"] == phase]
            good = codes[0] == 0 and set(codes) <= {0, 4} and len(jobs) == 1
            outcomes[f"{phase}: one move" if good else f"{phase}: codes {codes}, {len(jobs)} jobs"] += 1
        if len((project / "a.txt").read_text().splitlines()) != 3 + number + 1:
            outcomes["not applied exactly once"] += 1
    return outcomes


def main() -> int:
    """Run it; the exit code is 1 when something was wrong."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--races", type=int, default=0, help="how often two commands race for one plan")
    chosen = parser.parse_args()
    with Home() as home:
        if chosen.races:
            for outcome, count in race(home, chosen.races).items():
                print(f"{count:6}  {outcome}")
        if chosen.minutes <= 0:
            return 0
        soak = Soak(home, chosen.seed)
        soak.prepare()
        threads = [threading.Thread(target=soak.killer)]
        threads += [threading.Thread(target=soak.user, args=(chosen.seed * 100 + n,)) for n in range(USERS)]
        for thread in threads:
            thread.start()
        time.sleep(chosen.minutes * 60)
        soak.stop.set()
        for thread in threads:
            thread.join()
        soak.check(soak.settle())
        for name, count in sorted(soak.counts.items()):
            print(f"{count:6}  {name}")
        for sentence in soak.wrong:
            print(f"WRONG   {sentence}")
        if soak.wrong:
            print(f"kept as {home.root.rename(home.root.with_name(f'{home.root.name}-failed'))}")
        return 1 if soak.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
