"""Subplans: children in parallel, in sequence and by need; what becomes of them and of their parent."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_recovery_cli import content, decisions
from tests.homes import Content, Home, tree

FILES: dict[str | bytes, Content] = {"a/x.txt": "a\n", "b/x.txt": "b\n", "c/x.txt": "c\n", "other.txt": "o\n"}


def family(home: Home, run: str, items: list[Any] | Mapping[str, str], *more: Mapping[str, Any], **keys: Any) -> str:
    """An action whose step `all` makes a child for each item; a child runs `run` with its {item}."""
    child = home.action(run, arguments=[{"name": "item_", "type": "string", "required": True}])
    step_keys = {key: keys.pop(key) for key in ("paths", "project") if key in keys}
    subplans = {"action": child, "for_each": items, "arguments": {"item_": "{item}"}, **keys}
    return home.action(steps=[{"id": "all", "subplans": subplans, **step_keys}, *more])


def children(home: Home, plan: str) -> list[dict[str, Any]]:
    """The children of a plan that count, in their order."""
    ids = [child["plan_id"] for child in home.data("plan", "tree", plan)["children"]]
    return [home.plan(plan_id) for plan_id in ids]


def states(home: Home, plan: str) -> dict[str, str]:
    """Where the child of each item stands."""
    return {child["subplan"]["item"]: f"{child['phase']}/{child['state']}" for child in children(home, plan)}


def result(home: Home, plan: str) -> dict[str, str]:
    """The files in a plan's sandbox."""
    return {
        name: Path(home.sandbox(plan), name).read_text()
        for name in map(str, tree(home.sandbox(plan)))
        if not name.startswith(".git") and Path(home.sandbox(plan), name).is_file()
    }


def by_item(home: Home, plan: str, item: str) -> dict[str, Any]:
    return next(child for child in children(home, plan) if child["subplan"]["item"] == item)


# --- the modes -----------------------------------------------------------------------------------------------------------


def test_children_start_from_their_parents_sandbox_and_end_in_it(shared: Home) -> None:
    """What an earlier step made is there for all of them, what each of them made for a later step."""
    child = shared.action(
        'test "$CA_ITEM" = {dir}; cat before.txt >> {dir}/x.txt',
        arguments=[{"name": "dir", "type": "path", "required": True}],
    )
    action = shared.action(
        steps=[
            {"id": "before", "run": "echo before > before.txt"},
            {"id": "all", "subplans": {"action": child, "for_each": {"glob": "*/"}, "arguments": {"dir": "{item}"}}},
            {"id": "after", "run": "cat */x.txt > all.txt"},
        ]
    )
    root = shared.repository(FILES)

    plan = shared.use(action, root)

    assert result(shared, plan)["all.txt"] == "a\nbefore\nb\nbefore\nc\nbefore\n"
    shown = shared.plan(plan)
    assert shown["children"] == {
        "total": 3, "queued": 0, "processing": 0, "complete": 3, "applied": 0, "errored": 0, "cancelled": 0
    }  # fmt: skip
    found = children(shared, plan)
    assert [child["subplan"]["item"] for child in found] == ["a", "b", "c"]
    for number, one in enumerate(found, 1):
        assert one["name"] == f"{plan}.{number}"
        assert (one["parent_plan_id"], one["root_plan_id"], one["depth"]) == (shown["plan_id"], shown["plan_id"], 1)
        assert one["base"] != shown["base"]
        assert one["diff"]["files"] == 1
        assert one["subplan"]["integrated_at"] is not None
        assert one["sandboxes"][0]["status"] == "removed"
    (group,) = decisions(shared, plan, "subplan_parallel_spawn")
    spawned = decisions(shared, plan, "subplan_spawn")
    assert {one["parent_id"] for one in spawned} == {group["decision_id"]}
    assert [one["choice"].split(",")[0] for one in spawned] == [one["name"] for one in found]
    shared.apply(plan)
    assert (root / "a/x.txt").read_text() == "a\nbefore\n"
    shared.undo(plan)
    assert not (root / "all.txt").exists()


def test_the_whole_tree_is_there_before_anything_runs(shared: Home) -> None:
    """Strategize resolves the items of children too; none of them has a job."""
    inner = shared.action("true", arguments=[{"name": "n", "type": "string", "required": True}])
    child = shared.action(
        arguments=[{"name": "n", "type": "string", "required": True}],
        steps=[{"id": "in", "subplans": {"action": inner, "for_each": ["x", "y"], "arguments": {"n": "{n}{item}"}}}],
    )
    action = shared.action(
        steps=[{"id": "out", "subplans": {"action": child, "for_each": ["1", "2"], "arguments": {"n": "{item}"}}}]
    )

    plan = shared.use(action, shared.repository(), profile="supervised")

    found = shared.data("plan", "tree", plan)
    assert [child["item"] for child in found["children"]] == ["1", "2"]
    assert [[child["item"] for child in one["children"]] for one in found["children"]] == [["x", "y"], ["x", "y"]]
    grandchild = shared.plan(found["children"][1]["children"][0]["plan_id"])
    assert (grandchild["depth"], grandchild["arguments"], grandchild["name"]) == (2, {"n": "2x"}, f"{plan}.2.1")
    assert shared.plan(plan)["children"]["queued"] == 2
    assert shared.data("job", "list", "--plan", grandchild["name"])["jobs"] == []
    shared.run("plan", "wait", grandchild["name"])  # nothing happens to it by itself
    shared.run("plan", "execute", plan, "--wait")
    assert shared.position(grandchild["plan_id"]) == "execute/complete"
    assert shared.position(plan) == "execute/complete"
    spawned = decisions(shared, f"{plan}.2", "subplan_spawn")
    assert [one["question"] for one in spawned] == ["Who does x?", "Who does y?"]


def test_no_more_than_max_parallel_run_at_once_and_none_is_rejected(shared: Home) -> None:
    gate = shared.gate()
    run = f'mkdir -p here; touch "{shared.work}/$CA_PLAN_ID.here"; {gate.command}; echo {{item_}} > {{item_}}.txt'
    plan = shared.use(family(shared, run, ["a", "b", "c", "d"], max_parallel=2), shared.repository(), code=None)
    gate.wait()

    shared.until(lambda: len(list(shared.work.glob("*.here"))) == 2)
    assert shared.plan(plan)["children"]["processing"] == 2
    assert shared.plan(plan)["children"]["queued"] == 2
    gate.open()
    shared.run("plan", "wait", plan)
    assert {f"{item}.txt" for item in "abcd"} <= result(shared, plan).keys()


def test_a_parent_needs_no_worker_while_it_waits(home: Home) -> None:
    """One worker is enough for three levels: who only waits lends its place."""
    home.set("async.max_workers", "1")
    inner = home.action("echo {n} > {n}.txt", arguments=[{"name": "n", "type": "string", "required": True}])
    child = home.action(
        arguments=[{"name": "n", "type": "string", "required": True}],
        steps=[{"id": "in", "subplans": {"action": inner, "for_each": ["x", "y"], "arguments": {"n": "{n}{item}"}}}],
    )
    action = home.action(
        steps=[
            {"id": "out", "subplans": {"action": child, "for_each": ["1", "2"], "arguments": {"n": "{item}"}}},
            {"id": "after", "run": "ls > after.txt"},
        ]
    )

    plan = home.use(action, home.repository({"f": ""}))

    assert result(home, plan)["after.txt"].split() == ["1x.txt", "1y.txt", "2x.txt", "2y.txt", "after.txt", "f"]
    workers = home.data("daemon", "status")["workers"]
    assert [worker["worker_id"] for worker in workers] == ["worker-1"]


def test_in_sequence_each_starts_from_the_result_of_the_one_before(shared: Home) -> None:
    action = family(shared, "cat log.txt; echo {item_} >> log.txt", ["a", "b", "c"], mode="sequential")

    plan = shared.use(action, shared.repository({"log.txt": ""}))

    assert result(shared, plan)["log.txt"] == "a\nb\nc\n"
    assert shared.log(f"{plan}.3", "s1").splitlines() == ["a", "b"]


def test_in_sequence_a_failure_stops_the_ones_after_it(shared: Home) -> None:
    """They start when the failed one was run again."""
    ready = shared.root / shared.fresh("ready")
    run = f"test {{item_}} != b || test -e '{ready}'; echo {{item_}} >> log.txt"
    plan = shared.use(
        family(shared, run, ["a", "b", "c"], mode="sequential"), shared.repository({"log.txt": ""}), code=1
    )

    assert states(shared, plan) == {"a": "execute/complete", "b": "execute/errored", "c": "strategize/queued"}
    error = shared.plan(plan)["error"]
    assert error["code"] == "step_failed"
    assert [one["item"] for one in error["detail"]["children"]] == ["b"]
    assert error["detail"]["not_started"] == ["c"]
    assert result(shared, plan)["log.txt"] == "a\n"
    ready.touch()
    shared.run("plan", "execute", plan, "--wait")
    assert result(shared, plan)["log.txt"] == "a\nb\nc\n"


def test_by_need_a_child_starts_from_what_it_needs(shared: Home) -> None:
    """Declared in the wrong order; the ones that need nothing run beside each other."""
    gate = shared.gate()
    items = [
        {"item": "roof", "needs": ["wall-1", "wall-2"]},
        {"item": "wall-1", "needs": ["floor"]},
        {"item": "wall-2", "needs": ["floor"]},
        "floor",
    ]
    wait = f"touch '{shared.work}/{{item_}}.here'; {gate.command}"
    run = f"case {{item_}} in wall-*) {wait};; esac; cat *.txt > {{item_}}.txt || true; echo {{item_}} >> {{item_}}.txt"
    plan = shared.use(family(shared, run, items, mode="dependency_ordered"), shared.repository({"f": ""}), code=None)

    shared.until(lambda: len(list(shared.work.glob("wall-*.here"))) == 2)
    gate.open()
    shared.run("plan", "wait", plan)
    assert result(shared, plan)["roof.txt"] == "floor\nfloor\nwall-1\nfloor\nwall-2\nroof\n"
    assert [child["subplan"]["item"] for child in children(shared, plan)] == ["floor", "wall-1", "wall-2", "roof"]
    assert by_item(shared, plan, "roof")["subplan"]["needs"] == ["wall-1", "wall-2"]


@pytest.mark.parametrize("mode", ["parallel", "sequential"])
def test_with_sequential_apply_nothing_can_collide(shared: Home, mode: str) -> None:
    action = family(shared, "echo {item_} >> log.txt", ["a", "b", "c"], mode=mode, merge="sequential_apply")

    root = shared.repository({"log.txt": ""})
    plan = shared.use(action, root)

    assert result(shared, plan)["log.txt"] == "a\nb\nc\n"
    told = shared.run("plan", "use", action, root.name, "--dry-run").out + shared.run("plan", "tree", plan).out
    assert "at once" not in told
    assert ("one after another" in told) == (mode == "parallel")


def test_no_item_is_no_child_and_no_error(shared: Home) -> None:
    plan = shared.use(family(shared, "false", {"glob": "nothing/*"}), shared.repository())

    assert shared.position(plan) == "execute/complete"
    assert shared.plan(plan)["children"]["total"] == 0


# --- failures --------------------------------------------------------------------------------------------------------------


def test_all_finish_all_failures_are_told_and_only_they_run_again(shared: Home) -> None:
    """What succeeded is in the parent; the parent goes on when nothing is left that failed."""
    ready = shared.root / shared.fresh("ready")
    runs = shared.root / shared.fresh("runs")
    run = (
        f"echo {{item_}} >> '{runs}'; case {{item_}} in b|d) test -e '{ready}'-{{item_}};; esac; echo x > {{item_}}.txt"
    )
    plan = shared.use(family(shared, run, ["a", "b", "c", "d"], {"id": "after", "run": "ls > ls.txt", "needs": ["all"]}),
                      shared.repository({"f": ""}), code=1)  # fmt: skip

    error = shared.plan(plan)["error"]
    assert (error["code"], error["step"]) == ("step_failed", "all")
    assert [(one["item"], one["code"]) for one in error["detail"]["children"]] == [
        ("b", "step_failed"),
        ("d", "step_failed"),
    ]
    assert "2 of 4 children did not succeed: b (" in error["message"]
    assert result(shared, plan).keys() == {"f", "a.txt", "c.txt"}
    assert shared.step_states(plan) == ["failed", "pending"]

    Path(f"{ready}-b").touch()
    shared.run("plan", "execute", plan, "--wait", code=1)
    assert [one["item"] for one in shared.plan(plan)["error"]["detail"]["children"]] == ["d"]
    Path(f"{ready}-d").touch()
    shared.run("plan", "execute", plan, "--wait")
    assert result(shared, plan)["ls.txt"].split() == ["a.txt", "b.txt", "c.txt", "d.txt", "f", "ls.txt"]
    assert sorted(runs.read_text().split()) == ["a", "b", "b", "c", "d", "d", "d"]
    assert len(decisions(shared, plan, "error_recovery")) == 2


def test_one_child_can_be_run_again_alone(shared: Home) -> None:
    """Through its parent, which ends as failed while another one is still to be run; the wait is for the child."""
    ready = shared.root / shared.fresh("ready")
    run = f"test -e '{ready}'-{{item_}}; echo x > {{item_}}.txt"
    plan = shared.use(family(shared, run, ["a", "b"]), shared.repository({"f": ""}), code=1)
    Path(f"{ready}-a").touch()
    Path(f"{ready}-b").touch()

    said = shared.document("plan", "execute", f"{plan}.1", "--wait")

    assert any(plan in message for message in said["messages"])
    assert said["data"]["name"] == f"{plan}.1"
    shared.run("plan", "wait", plan, code=1)
    assert states(shared, plan) == {"a": "execute/complete", "b": "execute/errored"}
    assert result(shared, plan).keys() == {"f", "a.txt"}
    shared.run("plan", "execute", f"{plan}.2", "--wait")
    shared.run("plan", "wait", plan)


def test_guidance_reaches_the_child_that_it_is_for_and_that_of_a_parent_all(shared: Home) -> None:
    ready = shared.root / shared.fresh("ready")
    run = f"echo \"told: $CA_GUIDANCE\"; test -e '{ready}'"
    plan = shared.use(family(shared, run, ["a", "b"]), shared.repository(), code=1)

    shared.run("plan", "prompt", f"{plan}.2", "mind the gap")
    shared.run("plan", "prompt", plan, "hurry")
    ready.touch()
    shared.run("plan", "execute", plan, "--wait")

    assert "told: hurry\n" in shared.log(f"{plan}.1", "s1")
    assert "told: hurry\nmind the gap\n" in shared.log(f"{plan}.2", "s1")


def test_retries_happen_by_themselves(shared: Home) -> None:
    """Each attempt keeps its log; what is tried again is only the child that failed."""
    runs = shared.root / shared.fresh("runs")
    run = f"echo {{item_}} >> '{runs}'; test {{item_}} = a || test $(grep -c b '{runs}') -gt 1"

    plan = shared.use(family(shared, run, ["a", "b"], retries=1), shared.repository())

    assert sorted(runs.read_text().split()) == ["a", "b", "b"]
    assert by_item(shared, plan, "b")["subplan"]["starts"] == 2
    assert shared.step(f"{plan}.2", "s1")["attempt"] == 2


def test_after_the_retries_it_has_failed(shared: Home) -> None:
    plan = shared.use(family(shared, "false", ["a"], retries=1), shared.repository(), code=1)

    assert by_item(shared, plan, "a")["subplan"]["starts"] == 2


def test_fail_fast_ends_the_others_and_nothing_is_merged(shared: Home) -> None:
    """Queued ones are cancelled, running ones too, with their processes; the retry makes them anew."""
    gate, ready = shared.gate(), shared.root / shared.fresh("ready")
    run = f"""case {{item_}} in
        done) ;;
        bad) cat '{shared.root}/{shared.fresh("go")}' 2>/dev/null || true; test -e '{ready}';;
        slow) test -e '{ready}' || {{{{ {gate.command}; }}}};;
    esac; echo x > {{item_}}.txt"""
    action = family(shared, run, ["done", "slow", "bad", "waits"], max_parallel=2, fail_fast=True)
    plan = shared.use(action, shared.repository({"f": ""}), code=1)

    assert states(shared, plan)["bad"] == "execute/errored"
    assert states(shared, plan)["slow"] == "execute/cancelled"
    assert states(shared, plan)["waits"].endswith("/cancelled")
    assert result(shared, plan).keys() == {"f"}
    assert "runs 1 failed child again and what was ended early" in shared.run("plan", "errors", plan).out
    ready.touch()
    shared.run("plan", "execute", plan, "--wait")
    assert result(shared, plan).keys() == {"f", "done.txt", "slow.txt", "bad.txt", "waits.txt"}


def test_a_child_has_its_time(shared: Home) -> None:
    gate = shared.gate()
    run = f"test {{item_}} = a || {{{{ {gate.command}; }}}}"

    plan = shared.use(family(shared, run, ["a", "b"], timeout="1s"), shared.repository(), code=1)

    assert by_item(shared, plan, "b")["error"]["code"] == "timed_out"
    assert states(shared, plan)["a"] == "execute/complete"


def test_a_step_has_its_time_too_and_its_children_end_with_it(shared: Home) -> None:
    gate = shared.gate()
    run = f"test {{item_}} = a || {{{{ {gate.command}; }}}}; echo x > {{item_}}.txt"
    action = family(shared, run, ["a", "b"])
    child = shared.data("action", "show", action)["steps"][0]["subplans"]["action"]
    action = shared.action(
        steps=[{"id": "all", "timeout": "3s",
                "subplans": {"action": child, "for_each": ["a", "b"], "arguments": {"item_": "{item}"}}}]
    )  # fmt: skip

    plan = shared.use(action, shared.repository({"f": ""}), code=1)

    assert shared.plan(plan)["error"]["code"] == "timed_out"
    assert shared.step_states(plan) == ["timed_out"]
    assert states(shared, plan) == {"a": "execute/complete", "b": "execute/cancelled"}
    assert result(shared, plan).keys() == {"f", "a.txt"}
    gate.open()
    shared.run("plan", "execute", plan, "--wait")
    assert result(shared, plan).keys() == {"f", "a.txt", "b.txt"}


# --- what people do ----------------------------------------------------------------------------------------------------------


def locks_of_plans(home: Home) -> list[str]:
    """All that is locked, but not what users of the same home locked by a name of their own."""
    locks = home.data("lock", "list")["locks"]
    return [f"{lock['resource_type']}:{lock['resource_id']}" for lock in locks if lock["resource_type"] != "user"]


def test_cancelling_a_parent_ends_all_below_it(shared: Home) -> None:
    """Also grandchildren; no process of theirs is left."""
    gate = shared.gate()
    inner = shared.action(gate.command, arguments=[{"name": "n", "type": "string", "required": True}])
    child = shared.action(
        arguments=[{"name": "n", "type": "string", "required": True}],
        steps=[{"id": "in", "subplans": {"action": inner, "for_each": ["x", "y"], "arguments": {"n": "{n}{item}"}}}],
    )
    action = shared.action(
        steps=[{"id": "out", "subplans": {"action": child, "for_each": ["1", "2"], "arguments": {"n": "{item}"}}}]
    )
    plan = shared.use(action, shared.repository(), code=None)
    gate.wait()

    shared.run("plan", "cancel", plan, "--yes")

    assert shared.position(plan) == "execute/cancelled"
    found = children(shared, plan)
    below = [one for child in found for one in children(shared, child["plan_id"])]
    assert [one["state"] for one in [*found, *below]] == ["cancelled"] * 6
    shared.until(lambda: not shared.processes(having="CA_ITEM"))
    assert locks_of_plans(shared) == []


def test_a_cancelled_child_is_left_out_when_its_parent_goes_on(shared: Home) -> None:
    gate = shared.gate()
    run = f"test {{item_}} != b || {{{{ {gate.command}; }}}}; echo x > {{item_}}.txt"
    plan = shared.use(family(shared, run, ["a", "b", "c"]), shared.repository({"f": ""}), code=None)
    gate.wait()

    shared.run("plan", "cancel", f"{plan}.2", "--yes")
    shared.run("plan", "wait", plan, code=1)
    assert shared.plan(plan)["error"]["detail"]["children"][0]["code"] == "cancelled"
    shared.run("plan", "execute", plan, "--wait")

    assert result(shared, plan).keys() == {"f", "a.txt", "c.txt"}
    assert by_item(shared, plan, "b")["subplan"]["left_out"] is True
    assert any("left out" in one["choice"] for one in decisions(shared, plan, "user_intervention"))


def test_a_reverted_parent_begins_with_new_children(shared: Home) -> None:
    plan = shared.use(family(shared, "echo x > {item_}.txt", ["a", "b"]), shared.repository())
    first = [child["plan_id"] for child in children(shared, plan)]

    shared.run("plan", "revert", plan, "--yes")
    shared.run("plan", "wait", plan)

    second = [child["plan_id"] for child in children(shared, plan)]
    assert len(second) == 2
    assert not set(first) & set(second)
    assert {shared.plan(plan_id)["state"] for plan_id in first} == {"cancelled"}
    assert shared.plan(plan)["children"]["complete"] == 2
    shared.apply(plan)


def test_a_child_that_failed_can_start_over_from_what_its_parent_is_now(shared: Home) -> None:
    run = "test {item_} = a || test -e a.txt; echo x > {item_}.txt"
    plan = shared.use(family(shared, run, ["a", "b"]), shared.repository({"f": ""}), code=1)

    shared.run("plan", "revert", f"{plan}.2", "--yes")
    shared.run("plan", "execute", plan, "--wait")

    assert result(shared, plan).keys() == {"f", "a.txt", "b.txt"}
    refused = shared.error("plan", "revert", f"{plan}.2", "--yes", code=4)
    assert "in its parent already" in refused["message"]


def test_a_rollback_before_the_children_takes_them_back(shared: Home) -> None:
    child = shared.action("echo {n} >> log.txt", arguments=[{"name": "n", "type": "string", "required": True}])
    action = shared.action(
        steps=[
            {"id": "before", "run": "echo before > log.txt"},
            {"id": "all", "subplans": {"action": child, "for_each": ["a"], "arguments": {"n": "{item}"}}},
            {"id": "after", "run": "false"},
        ]
    )
    plan = shared.use(action, shared.repository(), code=1)
    assert result(shared, plan)["log.txt"] == "before\na\n"

    shared.run("plan", "rollback", plan, "before")
    assert result(shared, plan)["log.txt"] == "before\n"
    assert shared.plan(plan)["children"]["complete"] == 0
    shared.run("plan", "execute", plan, "--wait", code=1)

    assert result(shared, plan)["log.txt"] == "before\na\n"
    assert [one["name"] for one in children(shared, plan)] == [f"{plan}.2"]


def test_a_child_is_not_applied_by_itself(shared: Home) -> None:
    plan = shared.use(family(shared, "echo x > {item_}.txt", ["a"]), shared.repository())

    refused = shared.error("plan", "apply", f"{plan}.1", "--yes", code=4)

    assert refused["code"] == "invalid_transition"
    assert "its change enters its parent" in refused["message"]


# --- limits, locks, places -----------------------------------------------------------------------------------------------


def test_children_whose_paths_overlap_never_run_at_the_same_time(shared: Home) -> None:
    """They are announced when the tree is decided; the paths are locked while a child runs."""
    gate = shared.gate()
    run = f"touch '{shared.work}/{{item_}}.runs'; {gate.command}; echo x >> {{item_}}.txt"
    items = ["one", "two", "free"]
    action = family(shared, run, items, paths=["dir/{item}"])
    child = shared.data("action", "show", action)["steps"][0]["subplans"]["action"]
    action = shared.action(
        arguments=[{"name": "which", "type": "string", "default": "same"}],
        steps=[{"id": "all", "paths": ["area/{which}"],
                "subplans": {"action": child, "for_each": items, "arguments": {"item_": "{item}"}}}],
    )  # fmt: skip
    root = shared.repository()
    plan = shared.use(action, root, code=None)
    gate.wait()

    shared.until((shared.work / "one.runs").exists)
    assert f"file:{shared.data('project', 'show', root.name)['name']}:area/same" in locks_of_plans(shared)
    assert not (shared.work / "two.runs").exists()
    assert shared.plan(plan)["children"]["processing"] == 1
    assert any("overlap" in one["reason"] for one in decisions(shared, plan, "strategy_choice"))
    gate.open()
    shared.run("plan", "wait", plan)
    assert locks_of_plans(shared) == []


def test_a_child_waits_for_somebody_who_locked_its_files(shared: Home) -> None:
    """A directory above them is enough; the other children go on."""
    root = shared.repository({"f": ""})
    project = shared.data("project", "show", root.name)["name"]
    shared.run("lock", "acquire", f"file:{project}:src", "--owner", "me")
    child = shared.action("echo x > {n}.txt", arguments=[{"name": "n", "type": "string", "required": True}])
    action = shared.action(
        steps=[{"id": "all", "paths": ["{item}/deep"],
                "subplans": {"action": child, "for_each": ["src", "doc"], "arguments": {"n": "{item}"}}}]
    )  # fmt: skip
    plan = shared.use(action, root, code=None)

    shared.until(lambda: states(shared, plan).get("doc") == "execute/complete")
    assert states(shared, plan)["src"] == "strategize/queued"
    shared.run("lock", "release", f"file:{project}:src", "--owner", "me")
    shared.run("plan", "wait", plan)
    assert result(shared, plan).keys() == {"f", "src.txt", "doc.txt"}


def test_children_work_on_every_project_of_their_parent(shared: Home) -> None:
    """Or on the one that their step names."""
    one, two = shared.repository({"f": "1\n"}), shared.repository({"f": "2\n"})
    name = shared.data("project", "show", two.name)["name"]
    child = shared.action(
        arguments=[{"name": "n", "type": "string", "required": True}],
        steps=[
            {"id": "s", "run": "echo {n} >> $CA_ITEM.txt"},
            {"id": "t", "run": "echo {n} >> $CA_ITEM.txt", "project": name},
        ],
    )
    alone = shared.action("echo alone > alone.txt")
    action = shared.action(
        steps=[
            {"id": "both", "subplans": {"action": child, "for_each": ["a", "b"], "arguments": {"n": "{item}"}}},
            {"id": "one", "project": name, "subplans": {"action": alone, "for_each": ["x"]}},
        ]
    )

    plan = shared.use(action, one, two)

    shared.apply(plan)
    assert sorted(path.name for path in one.glob("*.txt")) == ["a.txt", "b.txt"]
    assert sorted(path.name for path in two.glob("*.txt")) == ["a.txt", "alone.txt", "b.txt"]


def test_children_of_a_read_only_action_may_work_in_the_project(home: Home) -> None:
    root = home.repository({"a.txt": "a\n", "b.txt": "b\n"})
    home.set("sandbox.strategy", "none", project=root.name)
    child = home.action("cat {f}", arguments=[{"name": "f", "type": "path", "required": True}], read_only=True)
    action = home.action(
        read_only=True,
        steps=[
            {"id": "all", "subplans": {"action": child, "for_each": {"glob": "*.txt"}, "arguments": {"f": "{item}"}}}
        ],
    )

    plan = home.use(action, root)

    assert home.position(plan) == "execute/complete"
    assert home.log(f"{plan}.2", "s1") == "b\n"


def test_sandboxes_of_children_stay_when_cleaning_up_is_manual(home: Home) -> None:
    home.set("sandbox.cleanup", "manual")
    plan = home.use(family(home, "echo x > {item_}.txt", ["a", "b"]), home.repository())

    assert {one["sandboxes"][0]["status"] for one in children(home, plan)} == {"ready"}
    home.apply(plan)
    entries = home.data("plan", "prune", "--yes")["entries"]
    assert sum(entry["kind"] == "sandbox" and entry["removed"] for entry in entries) == 3


def test_what_somebody_edits_in_the_sandbox_meanwhile_is_kept(shared: Home) -> None:
    """What was there before is what the children start from; what comes later does not enter, and is not lost."""
    gate = shared.gate()
    action = family(shared, f"cat f > seen.txt; {gate.command}", ["a"])
    plan = shared.use(action, shared.repository({"f": "one\n"}), code=None)
    gate.wait()
    Path(shared.sandbox(plan), "mine.txt").write_text("mine\n")

    gate.open()
    shared.run("plan", "wait", plan)

    assert result(shared, plan) == {"f": "one\n", "seen.txt": "one\n"}
    (kept,) = [one for one in shared.data("plan", "artifacts", plan)["artifacts"] if one["kind"] == "edited"]
    assert content(shared, kept, "mine.txt") == "mine"
