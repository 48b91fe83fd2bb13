"""A plan with children on the command line: listed, shown, followed, its logs read, parts of it cancelled."""

import contextlib
import os
import re
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cleveragents_tui import client
from daemon import protocol, views
from tests.cli import schemas
from tests.cli.test_terminal import on_terminal
from tests.homes import Home

FAILED_ITEM = "it's bad"


class Tree(NamedTuple):
    """A plan that ended in an error, because one of its children failed.

    Its step `nested` has one child, `m`, with the children `a` and `x`; its step `packages` has `a`, `b` and one that fails.
    """

    home: Home
    top: str

    def client(self) -> client.Client:
        return client.connect(Path(self.home.data("daemon", "start")["socket"]))


def action_of_leaves(home: Home) -> str:
    says = "echo one of {target}", "echo x > {target}.txt; case {target} in *bad) echo why >&2; exit 3;; esac"
    return home.action(*says, arguments=[{"name": "target", "required": True}])


def children_of(action: str, *items: str, **keys: Any) -> dict[str, Any]:
    return {"action": action, "for_each": list(items), **keys}


@pytest.fixture(scope="module")
def family(shared: Home) -> Tree:
    leaf = action_of_leaves(shared)
    given = {"arguments": {"target": "{item}"}}
    middle = shared.action(steps=[{"id": "below", "subplans": children_of(leaf, "a", "x", **given)}])
    steps = [
        {"id": "fix", "run": "echo fixing"},
        {"id": "nested", "subplans": children_of(middle, "m")},
        {"id": "packages", "subplans": children_of(leaf, "a", "b", FAILED_ITEM, **given)},
        {"id": "last", "run": "echo never"},
    ]
    return Tree(shared, shared.use(shared.action(steps=steps), shared.repository(), code=1))


def names(tree: Tree) -> list[str]:
    """Of the whole tree, parents before their children, these in their order."""
    numbers = ("", ".1", ".1.1", ".1.2", ".2", ".3", ".4")
    return [f"{tree.top}{number}" for number in numbers]


# --- lists ---------------------------------------------------------------------------------------------------------------


def test_children_are_listed_behind_their_parent(family: Tree) -> None:
    listed = family.home.data("plan", "list", "--children", "--all")
    mine = [plan for plan in listed["plans"] if plan["name"].split(".")[0] == family.top]

    assert [plan["name"] for plan in mine] == names(family)
    assert [plan["subplan"]["item"] for plan in mine[1:]] == ["m", "a", "x", "a", "b", FAILED_ITEM]
    assert [plan["depth"] for plan in mine] == [0, 1, 2, 2, 1, 1, 1]
    assert listed["total"] == len(listed["plans"])
    told = family.home.run("plan", "list", "--children", "--all").out
    assert re.search(
        rf"^✘ +{family.top} .*\n.*  {family.top}\.1 +m .*\n.*    {family.top}\.1\.1 +a ", told, re.MULTILINE
    )


def test_only_children_that_fit_are_listed(family: Tree) -> None:
    """A child whose parent does not fit is told by its item."""
    project = family.home.plan(family.top)["projects"][0]

    def found(*filters: str) -> list[str]:
        data = family.home.data("plan", "list", "--children", "--project", project, *filters)
        assert data["total"] >= len(data["plans"])
        return [plan["name"] for plan in data["plans"]]

    assert found() == names(family)
    assert found("--limit", "3") == names(family)[:3]
    assert found("--state", "errored") == [family.top, f"{family.top}.4"]
    assert found("--action", family.home.plan(f"{family.top}.1")["action"]) == [f"{family.top}.1"]
    assert FAILED_ITEM in family.home.run("plan", "list", "--children", "--state", "errored", "--project", project).out
    assert family.home.data("plan", "list", "--project", project)["total"] == 1


def test_children_of_one_plan_come_in_their_order(family: Tree) -> None:
    with contextlib.closing(family.client()) as connection:

        def found(**filters: Any) -> tuple[list[str], int]:
            plans = connection.call(protocol.PlanList(parent=family.top, **filters))
            return [plan.name for plan in plans.plans], plans.total

        one, two, three, failed = (f"{family.top}.{number}" for number in range(1, 5))
        assert found() == ([one, two, three, failed], 4)
        assert found(limit=2) == ([one, two], 4)
        assert found(state="errored") == ([failed], 1)


# --- one of them ---------------------------------------------------------------------------------------------------------


def test_show_counts_children_and_names_those_that_failed(family: Tree) -> None:
    shown = family.home.plan(family.top)
    steps = {step["id"]: step["children"] for step in shown["steps"]}

    assert shown["children"]["total"] == 4
    assert (steps["fix"], steps["last"]) == (None, None)
    assert (steps["nested"]["total"], steps["nested"]["integrated"]) == (1, 1)
    assert {key: number for key, number in steps["packages"].items() if number} == {
        "total": 3, "complete": 2, "errored": 1, "integrated": 2,
    }  # fmt: skip
    told = family.home.run("plan", "show", family.top).out
    assert "4: 1 failed, 3 integrated" in told
    assert re.search(rf"✘ +{FAILED_ITEM} +.*exit 3.*ca plan errors {family.top}\.4", told)


def test_a_child_is_shown_with_its_place(family: Tree) -> None:
    child = family.home.plan(f"{family.top}.3")

    assert child["subplan"]["item"] == "b"
    assert (child["subplan"]["step"], child["subplan"]["position"]) == ("packages", 1)
    assert child["subplan"]["integrated_at"] is not None
    told = family.home.run("plan", "show", child["name"]).out
    assert re.search(rf"item +b\n +child of +{family.top}, step packages", told)


@pytest.mark.parametrize("number", ["", ".1", ".3", ".4"])
def test_what_makes_sense_next_is_a_command_that_explains_itself(family: Tree, number: str) -> None:
    """A child is not applied; a complete one leads to its parent."""
    plan = f"{family.top}{number}"
    commands = family.home.plan(plan)["next"]
    explained = family.home.data("plan", "explain", plan)["next"]

    assert [one["command"] for one in explained] == commands
    assert all(one["effect"] for one in explained)
    if number:
        assert not [command for command in commands if "apply" in command]
        assert (f"ca plan show {family.top}" in commands) == (number != ".4")
        assert (f"ca plan execute {plan}" in commands) == (number == ".4")
        refused = family.home.error("plan", "apply", plan, "--yes", code=4)
        assert refused["code"] == "invalid_transition"


def test_errors_tell_which_children_failed_and_why(family: Tree) -> None:
    found = family.home.data("plan", "errors", family.top)

    (child,) = found["children"]
    assert (child["name"], child["item"], child["step"]) == (f"{family.top}.4", FAILED_ITEM, "packages")
    assert child["error"]["code"] == "step_failed"
    assert [(step["id"], step["exit_code"], step["tail"]) for step in child["steps"]] == [("s2", 3, ["why"])]
    told = family.home.run("plan", "errors", family.top).out
    assert f"✘ {FAILED_ITEM} ({family.top}.4): step s2 failed: exit 3" in told
    assert "      why\n" in told
    assert "runs 1 failed child again" in told
    assert family.home.data("plan", "errors", f"{family.top}.3")["children"] == []


def test_the_tree_has_every_child_with_its_decisions(family: Tree) -> None:
    def flat(node: dict[str, Any], depth: int = 0) -> Iterator[tuple[int, str, str | None, str]]:
        assert set(node) == set(schemas.PLAN_TREE["properties"])
        assert node["decisions"]
        assert {decision["plan_id"] for decision in node["decisions"]} == {node["plan_id"]}
        yield depth, node["name"].removeprefix(family.top), node["item"], node["state"]
        for child in node["children"]:
            yield from flat(child, depth + 1)

    assert list(flat(family.home.data("plan", "tree", family.top))) == [
        (0, "", None, "errored"), (1, ".1", "m", "complete"), (2, ".1.1", "a", "complete"), (2, ".1.2", "x", "complete"),
        (1, ".2", "a", "complete"), (1, ".3", "b", "complete"), (1, ".4", FAILED_ITEM, "errored"),
    ]  # fmt: skip
    told = family.home.run("plan", "tree", family.top).out
    assert f"├─ ✔ m  {family.top}.1  execute complete\n" in told
    assert f"│  └─ ✔ x  {family.top}.1.2  execute complete\n" in told
    assert f"└─ ✘ {FAILED_ITEM}  {family.top}.4  execute errored\n" in told


# --- what they printed ---------------------------------------------------------------------------------------------------


def test_logs_of_a_child_are_found_by_its_item_its_name_and_its_id(family: Tree) -> None:
    home, b = family.home, family.home.plan(f"{family.top}.3")
    expected = "==> s1 <==\none of b\n\n==> s2 <==\n"

    for word in ("b", b["name"], b["plan_id"], b["plan_id"][-10:]):
        assert home.run("plan", "logs", family.top, "--child", word).out == expected
    assert home.run("plan", "logs", family.top, "--child", FAILED_ITEM, "--step", "s2").out == "why\n"
    assert home.data("plan", "logs", family.top, "--child", "b")["plan_id"] == b["plan_id"]
    unknown = home.error("plan", "logs", family.top, "--child", "it is bad", code=3)
    assert FAILED_ITEM in unknown["message"]


def test_logs_of_a_parent_say_where_those_of_its_children_are(family: Tree) -> None:
    done = family.home.run("plan", "logs", family.top)

    assert done.out == "==> fix <==\nfixing\n"
    assert f"{family.top} has 4 children with logs of their own: m, a, b, {FAILED_ITEM}" in done.err
    assert f"ca plan logs {family.top} --child m" in done.err


def test_follow_prints_each_line_of_the_tree_with_its_child(family: Tree) -> None:
    """An item that two children have does not tell them apart: then it is their names."""
    done = family.home.run("plan", "follow", family.top, code=1)

    split = [line.partition(" │ ") for line in done.lines]
    printed = [(label.strip().removesuffix("s1").removesuffix("s2").strip(), line) for label, _, line in split]
    assert printed[0] == ("fix", "fixing")
    assert set(printed[1:3]) == {(f"{family.top}.1.1", "one of a"), ("x", "one of x")}
    assert sorted(printed[3:]) == sorted(
        [
            (f"{family.top}.2", "one of a"),
            ("b", "one of b"),
            (FAILED_ITEM, f"one of {FAILED_ITEM}"),
            (FAILED_ITEM, "why"),
        ]
    )
    assert len({len(label) for label, _, _ in split}) == 1
    assert [label.split()[-1] for label, _, line in split if line == "why"] == ["s2"]
    assert f"✘ {FAILED_ITEM} failed: step s2 failed: exit 3" in done.err
    assert "✔ b integrated" in done.err
    assert "\x1b" not in done.out + done.err
    assert family.home.run("plan", "follow", family.top, code=1).out == done.out


def test_a_child_is_followed_alone(family: Tree) -> None:
    assert family.home.run("plan", "follow", f"{family.top}.3").lines[0] == "s1 │ one of b"
    inner = family.home.run("plan", "follow", f"{family.top}.1").lines[:2]
    assert sorted(inner) == ["a s1 │ one of a", "x s1 │ one of x"]


def test_children_have_colours_of_their_own_on_a_terminal(family: Tree) -> None:
    def colours(*, without: str = "") -> dict[str, str]:
        seen = on_terminal(family.home, "plan", "follow", family.top, NO_COLOR=without).out
        found = re.findall(r"^(?:\x1b\[(\d+)m)?(\S.*?) +s1 +│ ", seen, re.MULTILINE)
        return {label: colour for colour, label in found}

    first = colours()
    assert len(first) == 5
    assert len(set(first.values())) == 5
    assert "" not in first.values()
    assert colours() == first
    assert set(colours(without="1").values()) == {""}


def test_follow_of_a_tree_prints_every_line_once_over_a_kill(home: Home) -> None:
    """Children that run go on while no daemon does; what they print then is printed, and what was is not again."""
    gate = home.gate()
    counting = "for i in $(seq 50); do echo {target} {word} $i; done".replace("{word}", "%s")
    leaf = home.action(
        f"{counting % 'before'}; {gate.command}; {counting % 'after'}",
        arguments=[{"name": "target", "required": True}],
    )
    given = children_of(leaf, "a", "b", "c", arguments={"target": "{item}"}, max_parallel=2)
    plan = home.use(home.action(steps=[{"id": "all", "subplans": given}]), home.repository(), code=None)
    gate.wait()
    with home.spawn("plan", "follow", plan) as following:
        assert following.stdout is not None
        lines = [following.stdout.readline()]
        os.kill(home.data("daemon", "status")["pid"], signal.SIGKILL)
        gate.open()
        lines += following.stdout.readlines()

    printed = [line.decode().partition(" │ ") for line in lines if " │ ".encode() in line]
    assert {label.split()[0] for label, _, _ in printed} == {"a", "b", "c"}
    for item in "abc":
        of_item = [line.strip() for label, _, line in printed if label.split()[0] == item]
        assert of_item == [f"{item} {word} {number}" for word in ("before", "after") for number in range(1, 51)]
    assert following.returncode == 0


def test_follow_says_what_is_gone(home: Home) -> None:
    """The beginning with its events, and what was printed with the logs."""
    plan = home.executed("echo one", "echo two")
    first, second = (Path(step["log"]) for step in home.plan(plan)["steps"])
    first.unlink()

    done = home.run("plan", "follow", plan)
    assert done.lines[0] == "s2 │ two"
    assert "logs that are gone: 1" in done.err
    assert second.exists()
    home.set("events.retention", "0")
    home.run("daemon", "restart")
    home.until(lambda: home.data("events")["total"] == 1)
    assert "the beginning cannot be shown any more" in home.run("plan", "follow", plan).err


def test_events_of_a_tree_are_those_of_its_plans(family: Tree) -> None:
    """As a subscription and in pages, and none of other plans."""
    home = family.home
    home.executed("true")
    ids = {home.plan(name)["plan_id"] for name in names(family)}
    with contextlib.closing(family.client()) as connection:
        connection.subscribe(since=0, plan=family.top, tree=True)
        connection.call(protocol.Ping())
        told = connection.events()
        paged: list[views.EventView] = []
        while True:
            since = paged[-1].seq if paged else 0
            page = connection.call(protocol.EventList(since=since, plan=family.top, tree=True, limit=20))
            paged += page.events
            if len(page.events) < 20:
                break

    assert {event.plan_id for event in told} == ids
    assert [event.seq for event in told] == [event.seq for event in paged]
    assert page.total == len(paged)
    everything = home.data("events", "--since", "0", "--limit", "100000")["events"]
    assert [event["seq"] for event in everything if event["plan_id"] in ids] == [event.seq for event in paged]


def test_a_child_that_is_made_later_belongs_to_the_tree_that_is_subscribed_to(home: Home) -> None:
    leaf = home.action("true")
    steps = [{"id": "all", "subplans": children_of(leaf, "a", "b")}]
    plan = home.use(home.action(steps=steps), home.repository(), profile="manual")
    with contextlib.closing(client.connect(Path(home.data("daemon", "start")["socket"]))) as connection:
        connection.subscribe(plan=plan, tree=True)
        home.run("plan", "execute", plan)
        home.run("plan", "wait", plan)
        connection.call(protocol.Ping())
        kinds = {(event.plan_id, event.kind) for event in connection.events()}

    children = [found["plan_id"] for found in home.data("plan", "list", "--children")["plans"] if found["depth"]]
    assert len(children) == 2
    assert {(child, "plan.created") for child in children} <= kinds


# --- progress ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [40, 80])
def test_progress_of_a_tree_ends_with_how_many_stand_where(shared: Home, columns: int) -> None:
    given = children_of(action_of_leaves(shared), "a", "b", "bad", arguments={"target": "{item}"})
    plan = shared.use(
        shared.action(steps=[{"id": "all", "subplans": given}]), shared.repository(), profile="supervised"
    )

    done = on_terminal(shared, "plan", "execute", plan, columns=columns, NO_COLOR="1")

    last = done.out.rpartition("\x1b[J")[0].rpartition("A\r")[2]
    assert ("2/3 ✘1" if columns == 40 else "━━━━━━━━━━━━━╺────── 2/3 · 1 failed") in last
    assert "3: 1 failed, 2 integrated" in done.out
    assert done.code == 1


# --- moves ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def waiting(home: Home) -> Iterator[tuple[Home, str]]:
    """A plan whose two children run, and wait at a gate."""
    gate = home.gate()
    leaf = home.action(gate.command)
    given = children_of(leaf, "a", "b", max_parallel=1)
    plan = home.use(home.action(steps=[{"id": "all", "subplans": given}]), home.repository(), code=None)
    gate.wait()
    yield home, plan
    gate.open()


def test_cancel_says_what_it_means_for_the_others(waiting: tuple[Home, str]) -> None:
    home, plan = waiting

    of_child = home.document("plan", "cancel", f"{plan}.2", "--yes")
    again = home.document("plan", "execute", f"{plan}.1")
    of_parent = home.document("plan", "cancel", plan, "--yes")

    assert of_child["messages"] == [
        f"{plan} ends in an error without b; `ca plan execute {plan}` then goes on without it"
    ]
    assert again["messages"] == [f"{plan}.1 is execute/processing already"]
    assert of_parent["messages"] == ["1 child was cancelled with it"]
    assert home.plan(plan)["children"]["cancelled"] == 2


def test_a_failed_child_is_executed_through_its_parent(shared: Home) -> None:
    given = children_of(action_of_leaves(shared), "a", "bad", arguments={"target": "{item}"})
    plan = shared.use(shared.action(steps=[{"id": "all", "subplans": given}]), shared.repository(), code=1)

    done = shared.run("plan", "execute", f"{plan}.2", "--follow", code=1)

    assert f"{plan}.2 runs in the execution of its parent, {plan}" in done.err
    assert [line.partition("│ ")[2] for line in done.lines] == ["why"]
    assert shared.step(f"{plan}.2", "s2")["attempt"] == 2


def test_completion_offers_the_items_of_children(family: Tree) -> None:
    words = f"ca plan logs {family.top} --child "
    done = family.home.run(env={"_CA_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": "5"})

    assert [shlex.split(line.partition(",")[2]) for line in done.lines] == [["m"], ["a"], ["b"], [FAILED_ITEM]]
