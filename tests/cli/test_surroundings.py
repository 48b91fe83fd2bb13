"""Strange surroundings: no home, no identity, old locales, closed streams, narrow terminals."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from cleveragents_tui import wording
from tests.cli.test_terminal import on_terminal
from tests.homes import CA, Home

ASCII_ONLY = "LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0"
"""Python would take UTF-8 for the C locale by itself; this is what older systems give us."""
_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_KNOWN = subprocess.run(["locale", "-a"], check=False, capture_output=True, text=True).stdout.lower().replace("-", "")


class Things(NamedTuple):
    """One of everything, with long names."""

    home: Home
    project: Path
    action: str
    plan: str
    failed: str
    job: str


@pytest.fixture(scope="module")
def things(shared: Home) -> Things:
    project = shared.repository(name="a-project-with-quite-a-long-name")
    action = shared.action(
        "echo 'ü ◆ €' > neü.txt; echo 'ü ◆ €'",
        name="local/an-action-with-quite-a-long-name",
        description="what it is good for, in a sentence that is longer than forty columns",
    )
    plan = shared.use(action, project, options=["--name", "a-plan-with-quite-a-long-name"])
    failed = shared.use(shared.action("echo out of ideas; false"), project, code=1)
    return Things(shared, project, action, plan, failed, shared.plan(plan)["job_id"])


def test_what_is_made_in_a_home_is_for_its_user_alone(home: Home) -> None:
    """Whatever mask the user has; what lies in sandboxes has the modes of the project, behind directories that are closed."""
    home.run_shell('umask 022; exec "$@"', "status")
    assert [path for path in (home.home, *home.home.iterdir()) if path.stat().st_mode & 0o077] == []

    plan = home.executed("echo tried > a.txt; exit 3", code=1)
    home.run("plan", "execute", plan, "--wait", code=1)  # its sandbox was set back

    found = [path for path in home.home.rglob("*") if (home.home / "data/sandboxes") not in path.parents]
    assert [path for path in found if path.suffix == ".index"]
    exposed = [path for path in found if path.lstat().st_mode & 0o077 and not path.is_symlink()]
    assert [path for path in exposed if "objects" not in path.parts] == []


def test_commit_without_an_identity_says_how_to_have_one(home: Home) -> None:
    """What git would have guessed nobody would want in a history."""
    root = home.repository()
    (home.user / ".gitconfig").unlink()
    plan = home.executed("echo x > new.txt", project=root)

    done = home.run("plan", "apply", plan, "--yes", "--wait", "--mode", "commit", code=1)

    assert "git config --global user.name" in done.err
    assert not (root / "new.txt").exists()


def test_no_home_directory_is_no_obstacle(things: Things) -> None:
    """In a container or a cron job HOME may be unset; what is set wins, and the account's own is the last resort."""
    for words in (["status"], ["plan", "use", things.action, things.project.name, "--dry-run"], ["info"]):
        assert things.home.run_shell('unset HOME; "$@"', *words).code == 0
    elsewhere = things.home.root / "xdg"
    done = things.home.run_shell(
        f'unset HOME CLEVERAGENTS_HOME; export XDG_CONFIG_HOME={elsewhere}; "$@"', "config", "path"
    )
    assert done.out == f"{elsewhere}/cleveragents/config.toml\n"


@pytest.mark.parametrize(
    "locale",
    [
        ASCII_ONLY,
        "PYTHONIOENCODING=latin-1",
        pytest.param(
            "LC_ALL=de_DE.ISO-8859-1",
            marks=pytest.mark.skipif("de_de.iso88591" not in _KNOWN, reason="this system has no such locale"),
        ),
    ],
)
def test_locale_that_lacks_our_signs_gets_others(things: Things, locale: str) -> None:
    """Tables lose only what cannot be written, and logs, patches and documents are the bytes they are."""

    def said(*words: str) -> bytes:
        script = ["/bin/sh", "-c", f'export {locale}; "$@"', "sh"]
        return subprocess.run(
            [*script, *CA, *words], cwd=things.home.work, env=things.home.environ, check=True, capture_output=True
        ).stdout

    listed = said("plan", "list")
    assert b"* " in listed
    assert "◆".encode() not in listed
    assert b"neu" not in said("plan", "diff", things.plan, "--stat")
    assert "+ü ◆ €\n".encode() in said("plan", "diff", things.plan)
    assert said("plan", "logs", things.plan) == "ü ◆ €\n".encode()
    assert b'"status":"ok"' in said("plan", "list", "--format", "json")


LISTINGS: list[Callable[[Things], list[str]]] = [
    lambda _: ["status"],
    lambda _: ["plan", "list"],
    lambda things: ["plan", "diff", things.plan, "--stat"],
    lambda _: ["project", "list"],
    lambda _: ["action", "list"],
    lambda _: ["job", "list"],
    lambda _: ["events"],
    lambda _: ["config", "list"],
    lambda _: ["daemon", "status"],
    lambda _: ["info"],
    lambda _: ["--help"],
    lambda _: ["plan", "--help"],
    lambda _: ["run", "--help"],
]
EXAMPLE = re.compile(r"  ca ")
"""An example in a help text is a command to be copied: it is not broken."""


@pytest.mark.parametrize(("columns", "form"), [(40, "rich"), (80, "rich"), (200, "rich"), (40, "plain")])
def test_no_line_of_a_listing_is_longer_than_the_terminal(things: Things, columns: int, form: str) -> None:
    """Columns are cut and left out, whatever the names; every listing still says something."""
    for listing in LISTINGS:
        words = listing(things)

        done = on_terminal(things.home, *words, "--format", form, columns=columns)

        lines = [line for line in _SEQUENCE.sub("", done.out).split("\n") if not EXAMPLE.match(line)]
        assert done.code == 0, done
        assert len(lines) > 1, words
        assert max(map(wording.columns, lines)) <= columns, (words, lines)
        assert form == "rich" or "\x1b[" not in done.out


def test_columns_of_the_environment_win(things: Things) -> None:
    done = on_terminal(things.home, "plan", "list", columns=200, COLUMNS="40")

    assert max(map(wording.columns, _SEQUENCE.sub("", done.out).split("\n"))) <= 40


def test_status_is_one_screen_however_many_plans_there_are(home: Home) -> None:
    """Ten of those that need somebody, how many there are in all, and where the others are."""
    gate = home.gate()
    root, action, slow = home.repository(), home.action("true"), home.action(gate.command)
    for _ in range(13):
        home.use(action, root, profile="manual", code=None)
    home.set("async.max_workers", "1")
    for _ in range(13):
        home.use(slow, root, code=None)
    gate.wait()
    home.until(lambda: home.data("status")["totals"] == {"needs_you": 13, "running": 1, "queued": 12, "locks": 1})

    done = on_terminal(home, "status", columns=80, rows=24)

    lines = _SEQUENCE.sub("", done.out).rstrip("\n").split("\n")
    assert len(lines) < 24
    assert "13 plans need you" in lines[0]
    assert "and 3 more: ca plan list" in done.out
    assert "12 queued" in done.out
    assert "more" in next(line for line in lines if "12 queued" in line)
    assert max(map(wording.columns, lines)) <= 80
    assert "13 plans need you" in home.run("status").out


@pytest.mark.parametrize(
    ("script", "words", "code", "said"),
    [
        ('mkdir gone1 && cd gone1 && rmdir ../gone1 && "$@"', ["run", "ls"], 3, "the current directory is gone"),
        ('mkdir gone2 && cd gone2 && rmdir ../gone2 && "$@"', ["info"], 0, "python"),
        ('"$@" <&-', ["plan", "list"], 0, "PLAN"),
        ('"$@" <&- 2>&-', ["plan", "list"], 0, "PLAN"),
        ('"$@" <&- >&-', ["plan", "list"], 0, ""),
        ('"$@" <&-', ["plan", "cancel", "{plan}"], 2, "say --yes"),
        ('"$@" | head -1', ["events", "--limit", "1000"], 0, "SEQ"),
        ('"$@" | head -c 5', ["plan", "diff", "{plan}"], 0, "diff "),
        ('script -qec "$*" /dev/null < /dev/null', ["plan", "list"], 0, "PLAN"),
    ],
)
def test_odd_streams_and_places(things: Things, script: str, words: list[str], code: int, said: str) -> None:
    """Closed streams, readers that leave, a directory that is gone, a recorded terminal."""
    done = things.home.run_shell(script, *(word.format(plan=things.plan) for word in words))

    assert done.code == code, done
    assert said in done.out + done.err
    assert "Traceback" not in done.out + done.err
    assert "internal" not in done.out + done.err
