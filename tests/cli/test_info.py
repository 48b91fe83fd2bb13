"""`ca info`: everything that a bug report needs, whatever is broken, and no secret."""

import platform
from pathlib import Path

import pytest

from store.version import VERSION
from tests.homes import Home

CANARY = "canary-5f1e"
ENVIRONMENT = {"CLEVERAGENTS_SERVER_TOKEN": CANARY, "MY_SECRET": CANARY, "AWS_SECRET_ACCESS_KEY": CANARY}


def test_everything_that_is_asked_in_a_bug_report_is_there(home: Home) -> None:
    home.executed("true")
    home.set("lock.ttl", "77")
    home.set("apply.mode", "index", project="p1")

    found = home.data("info", env={"CLEVERAGENTS_ASYNC_MAX_WORKERS": "3"})

    assert found["version"] == VERSION
    assert platform.python_version() in found["system"]["python"]
    assert platform.release() in found["system"]["kernel"]
    assert found["system"]["sqlite"].startswith("3.")
    assert found["system"]["git"][0].isdigit()
    assert {"apsw", "click", "msgspec"} <= found["packages"].keys()
    assert found["terminal"]["term"] == "dumb"
    assert found["terminal"]["locale"] == "C.UTF-8"
    assert found["places"]["data"] == str(home.home / "data")
    settings = [(one["key"], one["value"], one["level"], one["project"]) for one in found["settings"]]
    assert settings == [
        ("async.max_workers", "3", "environment", None),
        ("lock.ttl", "77", "global", None),
        ("apply.mode", "index", "project", "local/p1"),
    ]
    assert found["daemon"]["pid"] == home.data("daemon", "status")["pid"]
    assert found["counts"]["needs_you"] == 1
    assert 0 < found["disk"]["free"] <= found["disk"]["total"]
    assert found["problems"] == []
    text = home.run("info", env={"CLEVERAGENTS_ASYNC_MAX_WORKERS": "3"}).out
    for word in (VERSION, found["system"]["sqlite"], "async.max_workers", "1 need you", "4 workers"):
        assert word in text


@pytest.mark.parametrize("form", ["plain", "rich", "json", "yaml"])
def test_no_secret_is_printed_in_any_format(home: Home, form: str) -> None:
    """Of the environment nothing is shown but what is asked for by name."""
    home.run("daemon", "start", env=ENVIRONMENT)

    done = home.run("info", "--format", form, env=ENVIRONMENT)

    assert CANARY not in done.out + done.err
    assert VERSION in done.out


def test_it_starts_nothing_and_makes_nothing(home: Home) -> None:
    found = home.data("info")

    assert (found["daemon"]["running"], found["counts"]) == (False, None)
    assert not home.home.exists()


def test_home_directory_is_not_told(home: Home) -> None:
    """The user's name is nobody's business."""
    inside = home.user / "tool"

    found = home.data("info", env={"CLEVERAGENTS_HOME": str(inside)})

    assert found["places"]["data"] == "~/tool/data"
    assert str(home.user) not in str(found)


@pytest.mark.parametrize(
    ("content", "told"),
    [("a = = 1\n", "line 1"), ("[lock]\nttl = 'x'\n", "lock.ttl"), ("[core]\nformat = 7\n", "core.format")],
)
def test_broken_configuration_is_a_problem_it_names(home: Home, content: str, told: str) -> None:
    """Every other command refuses; this one is for finding out."""
    path = home.home / "config" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(content)

    for problem in (home.data("info")["problems"], home.run("info").lines[-1:]):
        assert any(told in line for line in problem), problem


def test_home_that_cannot_be_is_a_problem_it_names(home: Home) -> None:
    found = home.data("info", env={"CLEVERAGENTS_HOME": "relative"})

    assert found["places"] == {}
    assert "CLEVERAGENTS_HOME" in found["problems"][0]


def test_without_git_it_goes_on(home: Home, tmp_path: Path) -> None:
    assert home.data("info", env={"PATH": str(tmp_path)})["system"]["git"] is None
