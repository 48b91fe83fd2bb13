"""A newer program finds an older daemon: it takes over, and what runs goes on."""

import shutil
from pathlib import Path

import pytest

from store.version import VERSION
from tests.homes import Home

TREE = Path(__file__).parents[2]


@pytest.fixture
def newer(tmp_path: Path) -> dict[str, str]:
    """The environment in which `ca` is a copy of this program with a higher version."""
    installed = tmp_path / "site-packages"  # where coverage looks for copies of the tree
    for package in ("cleveragents_tui", "daemon", "store"):
        shutil.copytree(TREE / package, installed / package, ignore=shutil.ignore_patterns("__pycache__"))
    (installed / "store" / "version.py").write_text('VERSION = "999.0"\n')
    return {"PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}


def test_newer_program_replaces_the_daemon_and_adopts_its_steps(home: Home, newer: dict[str, str]) -> None:
    """The step that the old daemon started ends once, with its own exit code, under the new one."""
    gate = home.gate()
    plan = home.use(home.action(gate.command, "echo x > new.txt"), home.repository(), code=None)
    gate.wait()
    before = home.data("daemon", "status")

    done = home.run("status", env=newer)

    assert "999.0" in done.err, done
    after = home.data("daemon", "status", env=newer)
    assert (before["version"], after["version"]) == (VERSION, "999.0")
    assert before["pid"] != after["pid"]
    gate.open()
    home.run("plan", "wait", plan, env=newer)
    assert [step["attempt"] for step in home.data("plan", "show", plan, env=newer)["steps"]] == [1, 1]


def test_older_program_leaves_a_newer_daemon_alone(home: Home, newer: dict[str, str]) -> None:
    pid = home.data("daemon", "start", env=newer)["pid"]

    assert home.data("daemon", "status")["pid"] == pid
    home.run("plan", "list")

    assert home.data("daemon", "status")["version"] == "999.0"


def test_older_daemon_is_used_when_nothing_may_be_started(home: Home, newer: dict[str, str]) -> None:
    pid = home.data("daemon", "start")["pid"]

    home.run("plan", "list", env={**newer, "CLEVERAGENTS_NO_AUTOSTART": "1"})

    assert home.data("daemon", "status")["pid"] == pid
