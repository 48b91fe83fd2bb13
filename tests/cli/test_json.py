"""Every verb in both formats: one document on stdout for programs, text for people, nothing else in either."""

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import click
import pytest

from cleveragents_tui.cli import root
from cleveragents_tui.cli.commands import Noun
from tests.cli import colliding, schemas
from tests.cli.teamed import Team, conflict, connected
from tests.homes import Home

ELSEWHERE = {
    "daemon run": "is the daemon itself",
    "server serve": "is the team server itself",
    "demo": "has tests of its own",
    "tui": "needs a terminal",
    "completion": "prints a script for a shell",
    "events --follow": "prints a document a line",
}


class World(NamedTuple):
    """A home in which every verb has something to do."""

    home: Home
    project: str
    spare_project: str
    action: str
    spare_action: str
    file: str
    plan: str
    failed: str
    recoverable: str
    actor: str
    spare_actor: str
    actor_file: str
    waiting: str
    job: str


Arguments = Callable[[World], list[str]]

VERBS: dict[str, Arguments] = {
    "status": lambda _: [],
    "run": lambda world: ["--project", world.project, "--", "true"],
    "plan use": lambda world: [world.action, world.project, "--profile", "manual"],
    "plan execute": lambda world: [world.plan],
    "plan apply": lambda world: [world.plan, "--yes", "--wait"],
    "plan cancel": lambda world: [world.waiting, "--yes"],
    "plan revert": lambda world: [world.failed, "--yes"],
    "plan undo": lambda world: [world.plan, "--yes"],
    "plan prompt": lambda world: [world.recoverable, "look at the tests first"],
    "plan rollback": lambda world: [world.recoverable, "s1"],
    "plan list": lambda _: [],
    "plan show": lambda world: [world.plan],
    "plan status": lambda world: [world.plan],
    "plan tree": lambda world: [world.plan],
    "plan diff": lambda world: [world.plan],
    "plan errors": lambda world: [world.failed],
    "plan artifacts": lambda world: [world.plan],
    "plan conflicts": lambda world: [world.plan],
    "plan resolve": lambda world: [colliding.plan(world.home), "f", "--take", "child"],
    "plan explain": lambda world: [world.failed],
    "plan prune": lambda _: ["--dry-run"],
    "plan logs": lambda world: [world.plan],
    "plan follow": lambda world: [world.plan],
    "plan wait": lambda world: [world.plan],
    "action create": lambda world: [world.file, "--update"],
    "action list": lambda _: [],
    "action show": lambda world: [world.action],
    "action validate": lambda world: [world.file],
    "action remove": lambda world: [world.spare_action, "--yes"],
    "actor create": lambda world: [world.actor_file, "--update"],
    "actor list": lambda _: [],
    "actor show": lambda world: [world.actor],
    "actor remove": lambda world: [world.spare_actor, "--yes"],
    "project add": lambda world: [str(world.home.work / world.project)],
    "project list": lambda _: [],
    "project show": lambda world: [world.project],
    "project remove": lambda world: [world.spare_project, "--yes"],
    "job list": lambda _: [],
    "job show": lambda world: [world.job],
    "job logs": lambda world: [world.job],
    "job follow": lambda world: [world.job],
    "job wait": lambda world: [world.job],
    "job cancel": lambda world: [world.home.plan(world.waiting)["job_id"] or world.waiting, "--yes"],
    "job prune": lambda _: [],
    "lock list": lambda _: [],
    "lock acquire": lambda world: [world.home.fresh("lock")],
    "lock renew": lambda world: [_locked(world.home)],
    "lock release": lambda world: [_locked(world.home)],
    "lock run": lambda world: [world.home.fresh("lock"), "--", "echo", "hello"],
    "lock clean": lambda _: [],
    "events": lambda _: [],
    "server connect": lambda world: [Team(world.home).url, "--namespace", "team"],
    "server disconnect": lambda world: _connected(world.home),
    "server status": lambda world: _connected(world.home),
    "server start": lambda world: _stopped(world.home, "--port", "0"),
    "server stop": lambda world: _connected(world.home),
    "server token create": lambda world: ["--namespace", "team", *_other_store(world.home)],
    "server token list": lambda world: _other_store(world.home),
    "server token revoke": lambda world: [_token(world.home), "--yes", *_other_store(world.home)],
    "sync now": lambda world: _connected(world.home),
    "sync pull": lambda world: _connected(world.home),
    "sync push": lambda world: _connected(world.home),
    "sync full": lambda world: _connected(world.home),
    "sync status": lambda world: _connected(world.home),
    "sync conflicts": lambda world: _connected(world.home),
    "sync resolve": lambda world: ["action", _in_conflict(world.home), "--take", "server"],
    "config get": lambda _: ["apply.mode"],
    "config set": lambda _: ["apply.mode", "worktree"],
    "config unset": lambda _: ["apply.mode"],
    "config list": lambda _: [],
    "config path": lambda _: [],
    "daemon start": lambda _: [],
    "daemon restart": lambda _: [],
    "daemon stop": lambda _: [],
    "daemon status": lambda _: [],
    "daemon logs": lambda _: [],
    "diagnostics": lambda _: [],
    "info": lambda _: [],
}
LISTS = {
    "plan list": "plans",
    "action list": "actions",
    "actor list": "actors",
    "project list": "projects",
    "job list": "jobs",
    "lock list": "locks",
    "events": "events",
}


def every_verb() -> set[str]:
    """The commands that the program has, from its own tables."""
    found: set[str] = set()
    group = root.make_root()
    context = click.Context(group)
    for name in root.COMMANDS:
        found |= set(_verbs(group.get_command(context, name), name, context))
    return found


def _verbs(command: click.Command | None, words: str, context: click.Context) -> Iterator[str]:
    assert command is not None, words
    if not isinstance(command, Noun):
        yield words
        return
    for verb in command.list_commands(context):
        yield from _verbs(command.get_command(context, verb), f"{words} {verb}", context)


def _actor(home: Home) -> str:
    """A file that describes an actor."""
    return str(home.write_action(name=home.fresh("agent"), type="command", command=["cat"]))


def _locked(home: Home) -> str:
    """A resource that is locked."""
    resource = home.fresh("lock")
    home.data("lock", "acquire", resource)
    return resource


def _connected(home: Home) -> list[str]:
    """The home is connected to it; no arguments."""
    connected(home, Team(home), "team")
    return []


def _stopped(home: Home, *arguments: str) -> list[str]:
    home.data("server", "stop")
    return [*arguments]


def _in_conflict(home: Home) -> str:
    """A definition that was changed here and on the server."""
    team, name = Team(home), f"team/{home.fresh('both')}"
    conflict(connected(home, team, "team"), team, name)
    return name


def _other_store(home: Home) -> list[str]:
    """A store beside the one whose server needs no token."""
    return ["--database", str(home.root / "other.db")]


def _token(home: Home) -> str:
    """A token that can be revoked."""
    return home.data("server", "token", "create", "--namespace", "team", *_other_store(home))["token_id"]


def build(home: Home) -> World:
    project, spare = home.repository(), home.repository()
    action, spare_action = home.action("echo x >> a.txt; echo done"), home.action("true")
    plan, failed = home.use(action, project), home.use(home.action("false"), project, code=1)
    recoverable = home.use(home.action("echo y >> a.txt", "false"), project, code=1)
    actors = [_actor(home) for _ in range(2)]
    waiting = home.use(action, project, profile="manual")
    _locked(home)
    return World(
        home=home,
        project=project.name,
        spare_project=spare.name,
        action=action,
        spare_action=spare_action,
        file=str(home.write_action(name=home.fresh("filed"), steps=[{"id": "s1", "run": "true"}])),
        plan=plan,
        failed=failed,
        recoverable=recoverable,
        actor=home.data("actor", "create", actors[0])["name"],
        spare_actor=home.data("actor", "create", actors[1])["name"],
        actor_file=_actor(home),
        waiting=waiting,
        job=home.plan(plan)["job_id"],
    )


@pytest.fixture(scope="module")
def reading(shared: Home) -> World:
    """For the verbs that change nothing that another test looks at."""
    return build(shared)


@pytest.fixture(scope="module")
def sharing() -> Iterator[World]:
    """A home of its own for the verbs that are about a team server."""
    with Home() as home:
        yield World(home, *[""] * (len(World._fields) - 1))


@pytest.fixture
def world(request: pytest.FixtureRequest, verb: str) -> World:
    if verb.startswith(("server", "sync")):
        return request.getfixturevalue("sharing")
    if verb.startswith("daemon"):
        home: Home = request.getfixturevalue("home")
        home.data("daemon", "start")
        return World(home, *[""] * (len(World._fields) - 1))
    changing = verb in {"plan apply", "plan cancel", "plan revert", "plan undo", "job cancel"}
    if not changing and "remove" not in verb:
        return request.getfixturevalue("reading")
    made = build(request.getfixturevalue("shared"))
    if verb == "plan undo":
        made.home.apply(made.plan)
    if verb == "job cancel":
        gate = made.home.gate()
        running = made.home.use(made.home.action(gate.command), made.home.work / made.project, code=None)
        gate.wait()
        return made._replace(waiting=running)
    return made


def test_every_command_is_here() -> None:
    """A new command without a schema and a test fails here."""
    assert set(VERBS) | set(ELSEWHERE) - {"events --follow"} == every_verb()
    assert set(VERBS) <= set(schemas.DATA)


@pytest.mark.parametrize("verb", list(VERBS))
def test_verb_prints_one_document_of_its_schema(world: World, verb: str) -> None:
    """The envelope exactly, the data exactly as specified, exit code in and out the same, nothing on stderr that is data."""
    # Before the arguments, for behind a command to run it would belong to that.
    done = world.home.run(*verb.split(), "--format", "json", *VERBS[verb](world))

    document = json.loads(done.out)
    schemas.check(document)
    assert list(document) == ["schema", "command", "status", "exit_code", "data", "messages", "timing"]
    assert (document["command"], document["status"], document["exit_code"]) == (verb, "ok", 0)
    assert done.out.count("\n") == 1


@pytest.mark.parametrize("verb", list(VERBS))
def test_verb_prints_text_for_people(world: World, verb: str) -> None:
    """Without a terminal there are no colours, and what is not data is on stderr."""
    done = world.home.run(*verb.split(), *VERBS[verb](world))

    assert "\x1b" not in done.out + done.err
    assert done.out.strip(), "there is always something to say"
    assert not done.out.startswith("{")


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in {"status", "diagnostics"}])
def test_usage_error_is_one_document(shared: Home, verb: str) -> None:
    """Whatever the parser refuses, wherever the format stands."""
    before = list(VERBS).index(verb) % 2
    arguments = ["--format", "json", "--no-such-option"] if before else ["--no-such-option", "-fjson"]

    document = shared.document_of(*verb.split(), *arguments)

    assert (document["status"], document["exit_code"]) == ("error", 2)
    assert document["error"]["code"] == "usage"
    assert document["command"] == verb


@pytest.mark.parametrize(
    "arguments",
    [
        ["plan"],
        ["plan", "frobnicate"],
        ["frobnicate"],
        ["plan", "show"],
        ["plan", "list", "--state", "happy"],
        ["plan", "list", "--limit", "many"],
        ["plan", "use", "a"],
        ["plan", "use", "a", "b", "--arg", "novalue"],
        ["config", "set", "apply.mode"],
        ["plan", "wait", "x", "--timeout", "-1"],
        ["plan", "show", "one", "two"],
    ],
)
def test_wrong_usage_exits_with_2_in_both_formats(shared: Home, arguments: list[str]) -> None:
    document = shared.document_of(*arguments, "--format", "json")
    done = shared.run(*arguments, code=2)

    assert (document["exit_code"], document["error"]["code"]) == (2, "usage")
    assert done.out == ""
    assert done.err.startswith("✘ ")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["plan", "lst"], "plan list"),
        (["plans"], "plan"),
        (["projct", "list"], "project"),
        (["plan", "aply", "x"], "plan apply"),
        (["plan", "list", "--stat", "x"], "--state"),
        (["execute", "x"], "plan execute"),
    ],
)
def test_typo_gets_what_was_probably_meant(shared: Home, typed: list[str], meant: str) -> None:
    assert meant in shared.run(*typed, code=2).err


@pytest.mark.parametrize("verb", list(LISTS))
def test_list_has_its_noun_and_the_total(reading: World, verb: str) -> None:
    data = reading.home.data(*verb.split(), "--limit", "1") if verb in {"plan list", "job list", "events"} else None
    whole = reading.home.data(*verb.split())

    assert set(whole) == {LISTS[verb], "total"}
    assert whole["total"] >= len(whole[LISTS[verb]]) > 0
    if data is not None:
        assert len(data[LISTS[verb]]) == 1
        assert data["total"] == whole["total"] > 1


def test_format_stands_before_and_after(shared: Home) -> None:
    found = [
        shared.run(*arguments).out
        for arguments in (
            ["--format", "json", "config", "path"],
            ["config", "--format", "json", "path"],
            ["config", "path", "--format=json"],
            ["config", "path", "-f", "json"],
            ["config", "path", "-fjson"],
        )
    ]

    assert {json.loads(text)["data"]["path"] for text in found} == {str(shared.home / "config" / "config.toml")}


def test_yaml_is_the_same_document(reading: World) -> None:
    from ruamel.yaml import YAML  # noqa: PLC0415  one test needs it

    text = reading.home.run("plan", "show", reading.plan, "--format", "yaml").out
    yaml: Any = YAML(typ="safe", pure=True)

    found = json.loads(json.dumps(yaml.load(text), default=str))

    assert found["data"]["plan_id"] == reading.home.plan(reading.plan)["plan_id"]
    assert set(found) == {"schema", "command", "status", "exit_code", "data", "messages", "timing"}


def test_keys_never_disappear(reading: World) -> None:
    """A plan that has run and one that has not have the same keys."""
    run, fresh = reading.home.plan(reading.plan), reading.home.plan(reading.waiting)

    assert list(run) == list(fresh)
    assert fresh["diff"] is None
    assert fresh["started_at"] is None


def test_unknown_format_is_wrong_usage(shared: Home) -> None:
    assert "json" in shared.run("plan", "list", "--format", "xml", code=2).err


def test_version_is_printed(shared: Home) -> None:
    assert shared.run("--version").out.startswith("ca ")
