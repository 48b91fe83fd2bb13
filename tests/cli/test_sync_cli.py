"""`ca sync` and `ca server connect`: two people with a team server between them, each in a home of their own."""

import contextlib
import json
import re
from collections.abc import Generator, Iterator
from pathlib import Path

import psutil
import pytest

from daemon.team.wire import A2A_VERSION, CARD_PATH, RPC_PATH
from tests.cli.teamed import Team, action_text, answering, card, closed_port, conflict, connected, edit
from tests.cli.test_terminal import on_terminal
from tests.homes import Home
from tests.waiting import wait_until

CANARY = "ca_CANARY_s3cr3tc4n4ry"


@pytest.fixture(scope="module")
def team() -> Iterator[Team]:
    """A server without tokens, hosted by a home that does nothing else."""
    with Home() as host:
        yield Team(host)


@pytest.fixture(scope="module")
def ada(team: Team) -> Iterator[Home]:
    with Home() as home:
        yield connected(home, team, "team")


@pytest.fixture(scope="module")
def ben(team: Team) -> Iterator[Home]:
    with Home() as home:
        yield connected(home, team, "team")


def configuration(home: Home) -> bytes:
    path = home.home / "config" / "config.toml"
    return path.read_bytes() if path.exists() else b""


def names(home: Home, noun: str) -> set[str]:
    return {found["name"] for found in home.data(noun, "list")[f"{noun}s"]}


# --- definitions travel ------------------------------------------------------------------------------------------------


def test_action_travels_and_runs_like_a_local_one(team: Team, ada: Home, ben: Home) -> None:
    """Also when the server is gone: what was pulled stays, and a sync says why it is none."""
    name = f"team/{ada.fresh('greet')}"
    edit(ada, name, "echo hello > greeting.txt")

    assert ada.data("sync", "now")["pushed"] == 1
    assert ben.data("sync", "now")["pulled"] == 1
    shown = ben.data("action", "show", name)
    assert (shown["source"], shown["namespace"]) == ("synced", "team")
    assert "synced" in ben.run("action", "list").out
    root = ben.repository()
    plan = ben.use(name, root)
    assert "+hello" in ben.run("plan", "diff", plan).out

    team.stop()
    try:
        assert ben.error("sync", "now", code=1)["code"] == "unreachable"
        assert "+hello" in ben.run("plan", "diff", ben.use(name, root)).out
        assert "is not reachable" in ben.run("status").out
        assert ben.data("status")["sync"]["last_error"].startswith("unreachable: ")
        assert ben.data("server", "status")["mode"] == "error"
        edit(ada, name, "echo good evening > greeting.txt")
        assert ada.data("sync", "status")["pending"] == 1
    finally:
        team.start()
    ada.data("sync", "now")
    ben.data("sync", "now")
    assert ben.data("action", "show", name)["steps"][0]["run"] == "echo good evening > greeting.txt"
    assert ben.data("status")["sync"]["last_error"] is None


def test_deletion_travels(ada: Home, ben: Home) -> None:
    name = f"team/{ada.fresh('gone')}"
    edit(ada, name, "true")
    ada.data("sync", "now")
    ben.data("sync", "now")
    assert name in names(ben, "action")

    ben.data("action", "remove", name, "--yes")
    assert ben.data("sync", "push")["pushed"] == 1

    assert ada.data("sync", "pull")["removed"] == 1
    assert name not in names(ada, "action")


def test_local_definitions_stay_at_home(team: Team, ada: Home) -> None:
    name = ada.action("true")

    ada.data("sync", "full")

    assert name.startswith("local/")
    assert name.partition("/")[2] not in team.entities("team")


def test_actor_travels(ada: Home, ben: Home) -> None:
    name = f"team/{ada.fresh('agent')}"
    file = ada.write_action(name=name, type="command", command=["cat"])
    ada.data("actor", "create", str(file))

    ada.data("sync", "now")
    ben.data("sync", "now")

    assert ben.data("actor", "show", name)["command"] == ["cat"]
    assert "synced" in ben.run("actor", "show", name).out
    assert name in ben.run("actor", "list").out


def test_project_travels_without_its_directory(team: Team, ada: Home, ben: Home) -> None:
    """It is known elsewhere, gets a directory there by `project add`, and only then plans can work on it."""
    short = ada.fresh("web")
    name, root = f"team/{short}", ada.work / short
    root.mkdir()
    ada.data("project", "add", str(root), "--name", name)
    ada.data("sync", "now")
    assert str(root) not in (team.entities("team")[short]["content"] or "")
    ben.data("sync", "now")

    shown = ben.data("project", "show", name)
    assert (shown["path"], shown["source"], shown["kind"]) == (None, "synced", "folder")
    assert f"ca project add PATH --name {name}" in ben.run("project", "show", name).out
    assert f"ca project add PATH --name {name}" in ben.run("project", "list").out
    error = ben.error("plan", "use", ben.action("true"), name, code=3)
    assert (error["code"], error["suggestions"]) == ("not_found", [f"ca project add PATH --name {name}"])

    own = ben.work / short
    own.mkdir()
    assert ben.data("project", "add", str(own), "--name", name)["source"] == "synced"
    assert ben.data("sync", "status")["pending"] == 0, "a directory is nobody else's business"
    plan = ben.data("plan", "use", ben.action("echo x > x"), name, "--profile", "trusted")["name"]
    ben.run("plan", "wait", plan)
    assert ben.plan(plan)["projects"] == [name]


def test_project_without_a_directory_can_be_forgotten_for_all(team: Team, ada: Home, ben: Home) -> None:
    """The directory of whoever has one stays registered."""
    short = ada.fresh("old")
    name, root = f"team/{short}", ada.work / short
    root.mkdir()
    ada.data("project", "add", str(root), "--name", name)
    ada.data("sync", "now")
    ben.data("sync", "now")

    assert ben.data("project", "remove", name, "--yes") == {"name": name, "removed": True}
    ben.data("sync", "now")

    assert short not in team.entities("team")
    ada.data("sync", "now")
    assert ada.data("project", "show", name)["path"] == str(root)


def test_invalid_definition_is_listed_and_stops_nothing(team: Team, ada: Home) -> None:
    bad, good = ada.fresh("bad"), ada.fresh("good")
    team.push(f"team/{bad}", "name: team/other\nsteps: []\n")
    team.push(f"team/{good}", action_text(f"team/{good}", "true"))

    ada.data("sync", "now")

    assert f"team/{good}" in names(ada, "action")
    found = {one["name"]: one for one in ada.data("sync", "status")["invalid"]}
    assert (found[f"team/{bad}"]["origin"], found[f"team/{bad}"]["kind"]) == ("server", "action")
    text = ada.run("sync", "status").out
    assert f"not usable here: action team/{bad}" in text
    assert found[f"team/{bad}"]["reason"] in text
    check = next(one for one in ada.data("diagnostics")["checks"] if one["name"] == "sync")
    assert (check["status"], f"team/{bad}" in check["message"]) == ("warn", True)
    assert "1 not usable here" in ada.run("status").out
    team.push(f"team/{bad}", None)
    ada.data("sync", "now")
    assert ada.data("sync", "status")["invalid"] == []


# --- conflicts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("take", "kept", "lost"), [("local", "ours", "theirs"), ("server", "theirs", "ours")])
def test_conflict_is_listed_and_settled_by_hand(team: Team, ada: Home, take: str, kept: str, lost: str) -> None:
    """Both versions are kept; the local one runs until somebody chooses, and the other one goes to the history."""
    name = f"team/{ada.fresh('both')}"
    conflict(ada, team, name)

    found = ada.data("sync", "conflicts")["conflicts"]
    assert [one["name"] for one in found] == [name]
    sides = [found[0][side]["content"] for side in ("base", "local", "server")]
    assert sides == [action_text(name, f"echo {word}") for word in ("base", "ours", "theirs")]
    assert [found[0][side]["changed_by"] for side in ("base", "local", "server")] == [None, None, "loopback"]
    assert ada.data("action", "show", name)["steps"][0]["run"] == "echo ours"
    text = ada.run("sync", "conflicts").out
    for wanted in ("echo ours", "echo theirs", f"ca sync resolve action {name} --take local"):
        assert wanted in text
    assert "1 conflict" in ada.run("status").out
    assert ada.error("sync", "push", code=4)["code"] == "sync_conflict"

    settled = ada.data("sync", "resolve", "action", name, "--take", take)
    assert (settled["kind"], settled["name"]) == ("action", name)
    ada.data("sync", "now")

    assert ada.data("sync", "conflicts")["conflicts"] == []
    assert ada.data("action", "show", name)["steps"][0]["run"] == f"echo {kept}"
    assert team.entities("team")[name.partition("/")[2]]["content"] == action_text(name, f"echo {kept}")
    history = [one for one in ada.data("sync", "conflicts", "--history")["history"] if one["name"] == name]
    assert [one["content"] for one in history] == [action_text(name, f"echo {lost}")]
    assert name in ada.run("sync", "conflicts", "--history").out


def test_conflict_with_a_deletion_says_so(team: Team, ada: Home) -> None:
    name = f"team/{ada.fresh('half')}"
    edit(ada, name, "echo base")
    ada.data("sync", "now")
    team.push(name, None)
    edit(ada, name, "echo ours")
    ada.data("sync", "now")

    assert ada.data("sync", "conflicts")["conflicts"][0]["server"]["content"] is None
    assert "deleted" in ada.run("sync", "conflicts").out
    done = ada.run("sync", "resolve", "action", name, "--take", "local")
    assert f"action {name}: this version goes to the server" in done.out
    ada.data("sync", "now")
    assert name.partition("/")[2] in team.entities("team")


def test_resolving_what_is_no_conflict_is_refused(ada: Home) -> None:
    error = ada.error("sync", "resolve", "action", "team/none-such", "--take", "local", code=3)

    assert error["code"] == "not_found"
    assert "ca sync conflicts" in error["suggestions"]


# --- by itself ---------------------------------------------------------------------------------------------------------


def test_a_change_arrives_by_itself(team: Team, home: Home) -> None:
    """No command is needed on either side."""
    home.data("server", "connect", team.url, "--namespace", "auto")
    assert home.data("sync", "status")["active"] is True
    name = home.fresh("pushed")

    team.push(f"auto/{name}", action_text(f"auto/{name}", "true"))
    wait_until(lambda: f"auto/{name}" in names(home, "action"))
    own = home.fresh("own")
    edit(home, f"auto/{own}", "true")
    wait_until(lambda: own in team.entities("auto"))
    assert re.search(r"synced (now|\d+ s ago)", home.run("status").out)


# --- connecting --------------------------------------------------------------------------------------------------------


def test_what_was_pulled_stays_and_is_marked_after_a_disconnect(team: Team, home: Home) -> None:
    connected(home, team, "team")
    name = f"team/{home.fresh('kept')}"
    edit(home, name, "echo kept")
    home.data("sync", "now")
    before = configuration(home)
    assert b"server" in before

    done = home.run("server", "disconnect")

    assert "still here" in done.out
    assert team.url.encode() not in configuration(home)
    assert home.data("server", "status")["mode"] == "disabled"
    assert "synced, not connected" in home.run("action", "show", name).out
    assert "synced, not connected" in home.run("action", "list").out
    assert home.data("status")["sync"] is None
    assert home.error("sync", "now", code=1)["code"] == "unreachable"
    assert "+kept" in home.run("plan", "diff", home.use(home.action("echo kept > x"), home.repository())).out
    assert "No team server is connected" in home.run("sync", "status").out
    assert "No team server is connected" in home.run("server", "status").out


def test_connecting_says_what_is_shared(team: Team, home: Home) -> None:
    team.push("said/one", action_text("said/one", "true"))

    text = home.run("server", "connect", team.url, "--namespace", "said").out

    assert f"✔ connected to {team.url}, sharing said" in text
    assert "1 definition, without a token" in text
    status = home.run("server", "status").out
    assert f"✔ {team.url} answers" in status
    assert re.search(r"namespace +said", status)


def wrong_version() -> contextlib.AbstractContextManager[str]:
    """A server that speaks A2A 0.3."""
    return answering({CARD_PATH: (200, "application/json", card("http://127.0.0.1:1", "0.3"))})


@contextlib.contextmanager
def nonsense() -> Generator[str]:
    """A server that answers requests that nobody made."""
    answer = json.dumps({"jsonrpc": "2.0", "id": "other", "result": {}})
    answers = {RPC_PATH: (200, "application/json", answer)}
    with answering(answers) as url:
        answers[CARD_PATH] = 200, "application/json", card(url, A2A_VERSION)
        yield url


@pytest.mark.parametrize(
    "fault", ["unreachable", "no team server", "version_mismatch", "protocol_error", "tls", "no url"]
)
def test_failed_connect_names_the_reason_and_changes_nothing(home: Home, team: Team, fault: str) -> None:
    """Neither without a connection nor with one, which goes on."""
    code = {"no team server": "unreachable", "no url": "invalid_argument"}.get(fault, fault)

    def attempt() -> None:
        before = configuration(home)
        with contextlib.ExitStack() as stack:
            match fault:
                case "unreachable":
                    url = closed_port()
                case "no team server":
                    url = stack.enter_context(answering({}))
                case "version_mismatch":
                    url = stack.enter_context(wrong_version())
                case "protocol_error":
                    url = stack.enter_context(nonsense())
                case "tls":
                    url = stack.enter_context(answering({}, certificate="loopback.pem"))
                case _:
                    url = "ftp://example.org"
            document = home.document("server", "connect", url, "--namespace", "other", code=None)
        assert document["status"] == "error", document
        assert document["error"]["code"] == code
        assert document["exit_code"] == (2 if code == "invalid_argument" else 1)
        assert document["error"]["suggestions"]
        assert configuration(home) == before

    attempt()
    assert home.data("server", "status")["mode"] == "disabled"
    connected(home, team, "team")
    attempt()
    assert home.data("server", "status")["mode"] == "connected"
    assert home.data("sync", "now")["namespace"] == "team"


def test_offline_connect_only_writes(home: Home) -> None:
    view = home.data("server", "connect", closed_port(), "--namespace", "later", "--offline")

    assert (view["url"] is not None, view["namespace"]) == (True, "later")
    assert home.data("config", "get", "server.namespace")["value"] == "later"
    assert home.data("server", "status")["mode"] == "error"


def test_a_token_that_travels_in_the_clear_is_warned_of(home: Home) -> None:
    arguments = ["server", "connect", "http://192.0.2.1:1", "--offline", "--token", CANARY]

    assert any("unencrypted" in message for message in home.messages(*arguments))
    arguments[2] = "http://127.0.0.1:1"
    assert not any("unencrypted" in message for message in home.messages(*arguments))


def test_token_from_standard_input(home: Home) -> None:
    arguments = ["server", "connect", closed_port(), "--offline", "--token-stdin"]

    assert home.data(*arguments, feed=f"{CANARY}\n")["token_set"] is True
    assert home.data("config", "get", "server.token")["value"] == "********"
    for wrong in ("", "\n", b"\xff\xfe\n", "half\ta\n", f"{'a' * 5000}\n"):
        assert home.error(*arguments, code=2, feed=wrong)["code"] == "usage"
    assert home.error(*arguments, "--token", "x", code=2)["code"] == "usage"


def test_no_output_log_or_error_has_the_token(team: Team) -> None:
    """Whatever is asked, in whatever format; also what runs shows it to nobody."""
    with Home() as host, Home() as home:
        guarded = Team(host)
        token = guarded.token("vault", "--name", "ada")["token"]
        connected(home, guarded, "vault", "--token", token)
        edit(home, f"vault/{home.fresh('a')}", "true")
        outputs = [
            home.run(*arguments, *form, code=None)
            for form in ([], ["--format", "json"])
            for arguments in (
                ["sync", "now"], ["sync", "status"], ["sync", "full"], ["server", "status"], ["status"], ["info"],
                ["config", "get", "server.token", "--verbose"], ["config", "list"], ["diagnostics"], ["daemon", "logs"],
                ["events"], ["sync", "conflicts", "--history"], ["server", "connect", closed_port()],
            )
        ]  # fmt: skip
        host.data("server", "token", "revoke", "ada", "--yes")
        refused = home.error("sync", "now", code=1)
        outputs.append(home.run("sync", "now", code=1))
        outputs.append(home.run("status"))
        outputs.append(home.run("diagnostics", code=1))
        logs = [path for one in (host, home) for path in (one.home / "state").rglob("*") if path.is_file()]
        commands = [process.cmdline() for one in (host, home) for process in running(one)]

        assert refused["code"] == "unauthorized"
        assert "ca server connect URL --token-stdin" in outputs[-1].out
        secret = token.split("_", 2)[2]
        assert not [done for done in outputs if secret in done.out + done.err]
        assert not [path for path in logs if secret.encode() in path.read_bytes()]
        assert not [words for words in commands if any(secret in word for word in words)]
        assert secret.encode() in configuration(home)
        assert secret.encode() not in b"".join(files(host.home / "data"))


def running(home: Home) -> list[psutil.Process]:
    return [process for process in home.processes() if process.is_running()]


def files(directory: Path) -> list[bytes]:
    return [path.read_bytes() for path in directory.rglob("*") if path.is_file()]


def test_a_token_of_another_namespace_is_forbidden(home: Home) -> None:
    with Home() as host:
        guarded = Team(host)
        token = guarded.token("vault")["token"]

        error = home.error("server", "connect", guarded.url, "--namespace", "other", "--token", token, code=1)
        assert error["code"] == "forbidden"
        error = home.error("server", "connect", guarded.url, "--namespace", "vault", code=1)
        assert error["code"] == "unauthorized"
        assert configuration(home) == b""


def test_a_token_that_may_only_read_pulls_whatever_was_changed_here(home: Home) -> None:
    with Home() as host, Home() as writer:
        guarded = Team(host)
        write, read = (guarded.token("vault", "--role", role)["token"] for role in ("write", "read"))
        connected(writer, guarded, "vault", "--token", write)
        connected(home, guarded, "vault", "--token", read)
        edit(home, "vault/mine", "true")
        assert home.error("sync", "now", code=1)["code"] == "forbidden"
        edit(writer, "vault/theirs", "true")
        writer.data("sync", "now")

        assert home.data("sync", "pull")["pulled"] == 1
        assert names(home, "action") == {"vault/mine", "vault/theirs"}
        error = home.error("sync", "now", code=1)
        assert (error["code"], home.data("sync", "status")["pending"]) == ("forbidden", 1)

        home.data("action", "remove", "vault/mine", "--yes")
        home.data("sync", "now")
        assert home.data("sync", "status")["last_error"] is None


def test_names_of_conflicts_are_completed(team: Team, ada: Home) -> None:
    name = f"team/{ada.fresh('tab')}"
    conflict(ada, team, name)
    words = f"ca sync resolve action team/{name[5:7]}"
    env = {"_CA_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": "4"}

    assert name in ada.run(env=env, code=None).out
    ada.data("sync", "resolve", "action", name, "--take", "server")


def test_conflicts_fit_a_terminal(team: Team, ada: Home) -> None:
    name = f"team/{ada.fresh('wide')}"
    conflict(ada, team, name)

    shown = on_terminal(ada, "sync", "conflicts", columns=60, NO_COLOR="1").out

    assert f"ca sync resolve action {name} --take server" in shown
    assert "+{" in shown, "a diff"
    assert "syncing…" in on_terminal(ada, "sync", "now").out
    ada.data("sync", "resolve", "action", name, "--take", "server")
