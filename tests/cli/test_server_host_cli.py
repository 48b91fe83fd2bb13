"""`ca server serve|start|stop|token`: what the one who hosts a team server reads and types."""

import re

import httpx
import pytest

from tests.cli.test_terminal import on_terminal
from tests.homes import Home
from tests.team.hosts import NAMESPACE, Host, names

TOKEN = re.compile(r"ca_[0-9A-HJKMNP-TV-Z]{26}_[\w-]{43}")


def create(home: Home, *options: str) -> str:
    """The id of a new token."""
    return home.data("server", "token", "create", "--namespace", NAMESPACE, *options)["token_id"]


def test_start_and_stop_read_well(home: Home) -> None:
    started = home.run("server", "start", "--port", "0")
    again = home.run("server", "start", "--port", "0", code=4)
    stopped = home.run("server", "stop")
    twice = home.run("server", "stop")

    first, *facts = started.lines
    assert re.fullmatch(r"▶ the team server is running at http://127\.0\.0\.1:\d+", first)
    assert [line.split()[0] for line in facts] == ["process", "pid", "log"]
    assert str(home.home / "state" / "logs" / "server.log") in facts[2]
    assert again.err.startswith(f"✘ a team server is running already at {first.rpartition(' ')[2]} (pid ")
    assert "→ ca server stop" in again.err
    assert re.fullmatch(r"✔ stopped the team server \(pid \d+\)\n", stopped.out)
    assert twice.out == "the team server is not running\n"


def test_a_new_token_is_all_that_stdout_gets(home: Home) -> None:
    """So that `TOKEN=$(ca server token create …)` works."""
    done = home.run("server", "token", "create", "--namespace", NAMESPACE, "--role", "read", "--name", "reader")

    assert TOKEN.fullmatch(done.out.strip())
    assert "token reader may read team" in done.err
    assert "this once" in done.err


def test_tokens_are_listed_without_their_secrets(home: Home) -> None:
    assert "ca server token create" in home.run("server", "token", "list").out
    made = home.data("server", "token", "create", "--namespace", NAMESPACE, "--name", "ci")
    unnamed = create(home, "--role", "read")
    home.data("server", "token", "revoke", "ci", "--yes")

    found = home.data("server", "token", "list")
    text = home.run("server", "token", "list").out

    assert [(token["name"], token["role"], token["revoked_at"] is None) for token in found["tokens"]] == [
        ("ci", "write", False),
        (unnamed, "read", True),
    ]
    assert found["total"] == 2
    assert made["token"] not in text + str(found)
    assert "REVOKED" in text
    database = (home.home / "data" / "server.db").read_bytes()
    assert made["token"].split("_", 2)[2].encode() not in database


def test_revoke_names_a_token_by_a_part_of_its_id_or_its_name(home: Home) -> None:
    unnamed = create(home)
    create(home, "--name", "twice")
    create(home, "--name", "twice")

    assert home.data("server", "token", "revoke", unnamed[-6:].lower(), "--yes")["token_id"] == unnamed
    assert home.data("server", "token", "revoke", unnamed, "--yes")["revoked_at"] is not None
    error = home.error("server", "token", "revoke", "twice", "--yes", code=2)
    assert error["code"] == "ambiguous"
    assert len(error["detail"]["candidates"]) == 2
    assert home.error("server", "token", "revoke", "nobody", "--yes", code=3)["code"] == "not_found"


def test_revoke_of_a_name_means_the_token_that_is_in_use(home: Home) -> None:
    create(home, "--name", "ci")
    home.data("server", "token", "revoke", "ci", "--yes")
    successor = create(home, "--name", "ci")

    assert home.data("server", "token", "revoke", "ci", "--yes")["token_id"] == successor
    assert home.error("server", "token", "revoke", "ci", "--yes", code=2)["code"] == "ambiguous"


@pytest.mark.parametrize(
    ("arguments", "code", "exit_code"),
    [(["--host", "0.0.0.0"], "forbidden", 1), (["--host", "nosuch.invalid"], "invalid_argument", 2)],
)
def test_serve_that_fails_is_one_document(home: Home, arguments: list[str], code: str, exit_code: int) -> None:
    document = home.document("server", "serve", "--port", "0", *arguments, code=exit_code)

    assert (document["command"], document["error"]["code"]) == ("server serve", code)
    assert document["error"]["suggestions"]
    assert home.run("server", "serve", "--port", "0", *arguments, code=exit_code).out == ""


def test_revoke_asks(home: Home) -> None:
    create(home, "--name", "ci")

    refused = home.error("server", "token", "revoke", "ci", code=2)
    no = on_terminal(home, "server", "token", "revoke", "ci", typed="n\n")
    assert [token["revoked_at"] for token in home.data("server", "token", "list")["tokens"]] == [None]
    yes = on_terminal(home, "server", "token", "revoke", "ci", typed="y\n")

    assert "--yes" in refused["message"]
    assert "Revoke this token for good? [y/N]" in no.out
    assert (no.code, yes.code) == (6, 0)
    assert "the token ci opens nothing any more" in yes.out


def test_a_token_typed_in_the_place_of_its_id_is_not_repeated(home: Home) -> None:
    token = home.data("server", "token", "create", "--namespace", NAMESPACE)["token"]

    done = home.run("server", "token", "revoke", token, "--yes", code=3)

    assert token not in done.out + done.err


@pytest.mark.parametrize("namespace", ["local", "Team", "a/b", ""])
def test_a_namespace_that_no_server_has_is_refused(shared: Home, namespace: str) -> None:
    error = shared.error("server", "token", "create", "--namespace", namespace, code=2)

    assert error["code"] == "invalid_argument"
    assert error["message"].startswith(f"{namespace!r} is ")
    assert not any("/" in suggestion for suggestion in error["suggestions"])


def test_tokens_of_another_store(home: Home) -> None:
    database = str(home.root / "other.db")
    token = home.data("server", "token", "create", "--namespace", NAMESPACE, "--database", database)["token"]
    url = Host(home).start("--database", database)["url"]

    assert names(url, token) == []
    assert home.data("server", "token", "list")["total"] == 0


def test_no_token_appears_in_a_log_or_a_process_title(home: Home) -> None:
    host = Host(home)
    token = host.token()
    url = host.start("--log-level", "debug", "--workers", "2")["url"]
    assert names(url, token) == []
    assert httpx.post(f"{url}/a2a", json=[], headers={"Authorization": f"Bearer {token}x"}).status_code == 401

    titles = [" ".join(process.cmdline()) for process in host.processes()]

    assert len(titles) >= 3
    assert token not in host.said() + str(titles)


def test_the_log_level_is_that_of_the_configuration_or_the_option(home: Home) -> None:
    host = Host(home)
    home.set("core.log-level", "error")
    host.start()
    host.stop()
    assert host.said() == ""

    host.start("--log-level", "info")
    assert "serves" in host.said()


@pytest.mark.parametrize(
    "arguments",
    [
        ["start", "--port", "65536"],
        ["start", "--workers", "0"],
        ["start", "--rate-limit", "nan"],
        ["start", "--log-level", "loud"],
        ["stop", "--timeout", "nan"],
        ["serve", "--port", "x"],
        ["token", "create"],
        ["token", "create", "--namespace", "team", "--role", "admin"],
        ["token", "revoke"],
    ],
    ids=" ".join,
)
def test_wrong_options_are_refused(shared: Home, arguments: list[str]) -> None:
    assert shared.error("server", *arguments, code=2)["code"] == "usage"


def test_arguments_that_are_no_text_are_refused(shared: Home) -> None:
    error = shared.error("server", "start", "--database", "/tmp/\udcff.db", code=2)

    assert error["code"] == "invalid_argument"
    assert "UTF-8" in error["message"]


def test_a_host_process_that_dies_is_told(home: Home) -> None:
    """Here before its first commit; the store is whole, and the next try works."""
    dying = {"CLEVERAGENTS_CRASH_AT": "store.before-commit"}

    error = home.error("server", "token", "create", "--namespace", NAMESPACE, code=1, env=dying)

    assert error["code"] == "internal"
    assert "-9" in error["message"]
    create(home)
    assert home.data("server", "token", "list")["total"] == 1


def test_help_has_an_example(shared: Home) -> None:
    for verb in (
        ["serve"],
        ["start"],
        ["stop"],
        ["token"],
        ["token", "create"],
        ["token", "list"],
        ["token", "revoke"],
    ):
        assert f"  ca server {' '.join(verb)}" in shared.run("server", *verb, "--help").out
