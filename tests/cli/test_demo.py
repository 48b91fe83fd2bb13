"""`ca demo`, through the real program: it shows the whole product and leaves nothing behind, however it ends."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from cleveragents_tui.demo import sample
from cleveragents_tui.demo.script import SCRIPT
from tests.daemons import CA
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(180)

SECONDS = 120


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A home of the user's own that the demo must not touch, and no git identity anywhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CLEVERAGENTS_", "GIT_"))}
    home = tmp_path / "user"
    home.mkdir()
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    return {**kept, "HOME": str(home), "CLEVERAGENTS_HOME": str(home / "ca"), "TMPDIR": str(temporary)}


def start(environment: dict[str, str], *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [CA, "demo", *words],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def play(environment: dict[str, str], *words: str) -> "subprocess.CompletedProcess[str]":
    process = start(environment, *words)
    out, err = process.communicate(timeout=SECONDS)
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def daemons_of(directory: Path) -> list[int]:
    """Processes whose home is below `directory`."""
    return list(_daemons(directory))


def _daemons(directory: Path) -> Iterator[int]:
    for process in psutil.process_iter():
        try:
            home = process.environ().get("CLEVERAGENTS_HOME", "")
        except (psutil.Error, OSError):
            continue
        if home.startswith(str(directory)) and process.status() != psutil.STATUS_ZOMBIE:
            yield process.pid


def nothing_is_left(directory: Path) -> bool:
    return not any(directory.iterdir()) and not daemons_of(directory)


def test_the_whole_product_is_shown(environment: dict[str, str], tmp_path: Path) -> None:
    """Each command stands before its output, with a sentence on it; afterwards all is gone, and the user's home untouched."""
    done = play(environment)
    assert done.returncode == 0, done.stderr
    at = 0
    for scene in SCRIPT:
        at = done.stdout.index(scene.sentence, at)
        at = done.stdout.index(f"$ {' '.join(scene.command)}\n", at)
    assert "+def subtotal(lines):" in done.stdout
    assert "4 files changed, 6 insertions(+), 5 deletions(-)" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    assert nothing_is_left(tmp_path / "tmp")
    assert not any((tmp_path / "user").iterdir())


def test_one_document_for_programs(environment: dict[str, str], tmp_path: Path) -> None:
    """With --format json stdout has one document that tells every command's exit code."""
    done = play(environment, "--format", "json")
    document = json.loads(done.stdout)
    assert (document["command"], document["status"], document["exit_code"]) == ("demo", "ok", 0)
    data = document["data"]
    assert data["kept"] is False
    assert [step["command"] for step in data["steps"]] == [" ".join(scene.command) for scene in SCRIPT]
    assert {step["exit_code"] for step in data["steps"]} == {0}
    assert nothing_is_left(tmp_path / "tmp")


def test_what_is_kept_can_be_gone_on_with(environment: dict[str, str], tmp_path: Path) -> None:
    """--keep names the home; the plan is there, and can be applied; the daemon is stopped."""
    directory = tmp_path / "kept"
    done = play(environment, "--dir", str(directory), "--keep")
    assert done.returncode == 0, done.stderr
    assert f"export CLEVERAGENTS_HOME={directory}/home" in done.stderr
    assert not daemons_of(directory)
    own = {**environment, "CLEVERAGENTS_HOME": str(directory / "home")}
    applied = run([str(CA), "plan", "apply", "rename-1", "--yes", "--wait"], own, directory / "shop")
    assert applied.returncode == 0, applied.stderr
    assert "def subtotal" in (directory / "shop" / "shop" / "prices.py").read_text("utf-8")
    assert run([str(CA), "daemon", "stop"], own, directory).returncode == 0


def run(command: Sequence[str], environment: dict[str, str], cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, env=environment, cwd=cwd, check=False, capture_output=True, text=True, timeout=SECONDS
    )


def test_a_given_directory_stays_when_it_was_there(environment: dict[str, str], tmp_path: Path) -> None:
    """The demo removes what it made: in an empty directory of the user's that is its content, not the directory."""
    directory = tmp_path / "mine"
    directory.mkdir()
    assert play(environment, "--dir", str(directory)).returncode == 0
    assert not any(directory.iterdir())


def test_a_directory_with_files_is_refused(environment: dict[str, str], tmp_path: Path) -> None:
    """A directory that is removed at the end must hold nothing of the user's."""
    directory = tmp_path / "full"
    directory.mkdir()
    (directory / "thesis.txt").write_text("the only copy")
    done = play(environment, "--dir", str(directory), "-f", "json")
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["code"]) == (2, "invalid_argument")
    assert [path.name for path in directory.iterdir()] == ["thesis.txt"]


def test_without_git_it_says_so(environment: dict[str, str], tmp_path: Path) -> None:
    """No git, no demo: the message names what is missing, and nothing was made."""
    done = play({**environment, "PATH": str(tmp_path)})
    assert done.returncode == 3
    assert "git" in done.stderr
    assert nothing_is_left(tmp_path / "tmp")


def fake_git(tmp_path: Path, body: str) -> str:
    """A PATH on which git is a shell script."""
    directory = tmp_path / "bin"
    directory.mkdir()
    script = directory / "git"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    return f"{directory}{os.pathsep}{os.environ['PATH']}"


def test_a_failing_command_is_named(environment: dict[str, str], tmp_path: Path) -> None:
    """A command that fails ends the demo with 1, says which it was and what it said; what was made is removed."""
    real = os.environ["PATH"].split(os.pathsep)
    git = next(f"{place}/git" for place in real if os.access(f"{place}/git", os.X_OK))
    path = fake_git(tmp_path, f'[ "$1" = diff ] && [ "$2" = --stat ] && {{ echo broken; exit 7; }}\nexec {git} "$@"')
    done = play({**environment, "PATH": path}, "-f", "json")
    document = json.loads(done.stdout)
    error: dict[str, Any] = document["error"]
    assert (done.returncode, error["code"]) == (1, "step_failed")
    assert "`git diff --stat` ended with exit code 7" in error["message"]
    assert "broken" in error["message"]
    assert error["detail"]["kept"] is False
    assert [step["exit_code"] for step in error["detail"]["steps"]][-2:] == [0, 7]
    assert nothing_is_left(tmp_path / "tmp")


def test_a_git_that_refuses_is_quoted(environment: dict[str, str], tmp_path: Path) -> None:
    """When not even the sample can be made, git's own words are shown."""
    done = play({**environment, "PATH": fake_git(tmp_path, "echo no room >&2; exit 1")})
    assert done.returncode == 1
    assert "git said: no room" in done.stderr
    assert nothing_is_left(tmp_path / "tmp")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_an_interrupted_demo_cleans_up(
    environment: dict[str, str], tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """Ctrl-C or a closed terminal in the middle: the daemon is stopped, the directory removed, the exit code says so."""
    process = start(environment, "-f", "json")
    wait_until(lambda: daemons_of(tmp_path / "tmp"), seconds=SECONDS)
    os.killpg(process.pid, number)
    process.communicate(timeout=SECONDS)
    assert process.returncode == code
    assert nothing_is_left(tmp_path / "tmp")


def test_the_action_of_the_sample_quotes_its_python() -> None:
    """A python whose path has a blank or a quote is still one value in the YAML file."""
    assert 'PYTHON: "/opt/my \\"py\\"/bin/python"' in sample.action_text('/opt/my "py"/bin/python')


def test_a_daemon_that_does_not_start_is_told(environment: dict[str, str], tmp_path: Path) -> None:
    """A git that is too old stops the daemon: its reason is shown, and what was made is removed."""
    path = fake_git(tmp_path, 'case "$*" in *version) echo git version 2.20.1;; esac')
    done = play({**environment, "PATH": path})
    assert done.returncode == 5
    assert "the demo's daemon did not start" in done.stderr
    assert "2.20" in done.stderr
    assert nothing_is_left(tmp_path / "tmp")


def test_a_directory_that_cannot_be_made_is_named(environment: dict[str, str], tmp_path: Path) -> None:
    """Below a file there is no directory."""
    (tmp_path / "file").touch()
    done = play(environment, "--dir", str(tmp_path / "file" / "demo"))
    assert done.returncode == 3
    assert "file/demo" in done.stderr


def test_a_very_long_path_leaves_nothing_elsewhere(environment: dict[str, str], tmp_path: Path) -> None:
    """A socket whose path would be too long lives in a directory of its own, which goes too."""
    runtime = tmp_path / "tmp"
    directory = tmp_path / ("long" * 30)
    done = play({**environment, "XDG_RUNTIME_DIR": str(runtime)}, "--dir", str(directory))
    assert done.returncode == 0, done.stderr
    assert not directory.exists()
    assert nothing_is_left(runtime)
