"""A warm process carries out what `ca` was asked: nobody can tell, but by the time it takes."""

import array
import contextlib
import fcntl
import functools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import termios
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from cleveragents_tui import entry
from cleveragents_tui.cli.session import NEED_CALLER
from store import paths
from tests import terminals
from tests.cli.test_json import VERBS, World, build
from tests.homes import CA, SECONDS, Done, Home, is_new, unmeasured
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
HERE = 99
"""What the program below ends with when the command has to be carried out by the process that was called."""
HANDED_OVER = f"""
import os, sys
from cleveragents_tui import entry
code = entry.hand_over(entry.place_of(os.environb))
os._exit({HERE} if code is None else code)
"""
PROGRAM = (sys.executable, "-P", "-c", HANDED_OVER)


def allowed(home: Home, **more: str) -> dict[str, str]:
    """The environment of a home in which commands leave a warm process behind, and use it."""
    return {**{name: value for name, value in home.environ.items() if name != "CLEVERAGENTS_WARM"}, **more}


def warm(home: Home) -> psutil.Process:
    """The warm process of a home, made by a command when there is none."""
    subprocess.run([*CA, "status"], env=allowed(home), cwd=home.work, check=True, capture_output=True)
    subprocess.run([*CA, "status"], env=allowed(home), cwd=home.work, check=True, capture_output=True)
    wait_until((home.home / "run" / "ca.sock").exists)
    return wait_until(lambda: warm_processes(home))[0]


def warm_processes(home: Home) -> list[psutil.Process]:
    """The parents, not those that were forked."""
    found = [process for process in home.processes() if "cleveragents_tui.warm" in process.cmdline()]
    return [process for process in found if process.ppid() not in {other.pid for other in found}]


def handed_over(
    home: Home,
    *arguments: str,
    feed: bytes = b"",
    cwd: Path | str | None = None,
    program: Sequence[str] = PROGRAM,
    **more: str,
) -> Done:
    """What the warm process makes of a command; `HERE` when it is not for it."""
    environ = allowed(home, **more)
    done = subprocess.run(
        [*program, *arguments],
        env=environ if is_new(arguments, len(program)) else unmeasured(environ),
        cwd=cwd or home.work,
        input=feed,
        capture_output=True,
        check=False,
        timeout=SECONDS,
    )
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


def carried_out_here(home: Home, *arguments: str, feed: bytes = b"", cwd: Path | None = None, **more: str) -> Done:
    """The same without a warm process."""
    return handed_over(home, *arguments, feed=feed, cwd=cwd, program=CA, **{"CLEVERAGENTS_WARM": "0", **more})


@pytest.fixture(scope="module")
def ready() -> Iterator[Home]:
    """A home with a warm process."""
    with Home() as made:
        warm(made)
        yield made


# --- the same, whoever does it --------------------------------------------------------------------------------------------


class Pair(NamedTuple):
    """Two users who did the same: one of them has a warm process."""

    here: World
    there: World


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with Home() as here, Home() as there:
        warm(there)
        yield Pair(build(here), build(there))


_VARIABLE = (
    (r"\bca_[0-7][0-9A-HJKMNP-TV-Z]{25}_[-\w]+", "TOKEN"),
    (r"[0-7][0-9A-HJKMNP-TV-Z]{25}|\b[0-9A-HJKMNP-TV-Z]{8}(?:[0-9A-HJKMNP-TV-Z]{4})?\b", "ULID"),
    (r"\b[0-9a-f]{6,64}\b", "HEX"),
    (r"(\b(now|(in |up )?\d+(\.\d+)? ?(ms|s|min|h|m))\b *)+", "TIME"),
    (r"[0-9]+([.:-][0-9]+)*", "NUMBER"),
    (r"[ ─]+", " "),
)


_LETTERS = str.maketrans("0123456789", "abcdefghij")


def blurred(text: str, home: Home) -> str:
    """Without what differs between two users and two moments."""
    text = text.replace(str(home.root), "ROOT").replace(home.root.name, "ROOT")
    text = re.sub(
        r"\x1b\[([0-9;]*)m", lambda found: f"⟦{found[1].translate(_LETTERS)}⟧", text
    )  # colours are no numbers
    for pattern, name in _VARIABLE:
        text = re.sub(pattern, name, text)
    return text


RACING = ("plan revert", "plan execute", "plan prompt", "events")
"""What they print depends on how far the daemon is with what it does beside them."""
ALONE = ("daemon restart", "daemon stop")
"""They would take the warm process from the others."""


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in ALONE])
@pytest.mark.parametrize("form", ["plain", "json"])
def test_every_command_prints_and_answers_the_same(pair: Pair, verb: str, form: str) -> None:
    """Commands of two users in step; what only the process that was called can do is left to it, with nothing done."""
    for world in pair:
        wait_until(functools.partial(idle, world.home))
    line = [*verb.split(), "--format", form]
    here = carried_out_here(pair.here.home, *line, *VERBS[verb](pair.here))
    words = VERBS[verb](pair.there)
    there = handed_over(pair.there.home, *line, *words)

    waits = "--wait" in words
    assert (there.code == HERE) == (verb in NEED_CALLER or waits), there
    if there.code == HERE:
        assert there.out + there.err == ""
        there = carried_out_here(pair.there.home, *line, *words)
    assert there.code == here.code
    assert blurred(there.err, pair.there.home) == blurred(here.err, pair.here.home)
    if verb not in RACING:
        assert blurred(there.out, pair.there.home) == blurred(here.out, pair.here.home)


def idle(home: Home) -> bool:
    """Whether nothing that an earlier command began is under way."""
    status = home.data("daemon", "status")
    return not status["queued"] + status["running_jobs"]


@pytest.mark.parametrize(
    "line",
    [
        ["--version"], ["--help"], ["plan", "--help"], ["plan", "show", "--help"], ["frobnicate"], ["plan", "frobnicate"],
        ["plan", "show"], ["plan", "show", "nobody"], ["plan", "list", "--limit", "many", "--format", "json"],
        ["config", "get", "no.such.key"], ["project", "add", "/nowhere"], ["plan", "show", "p\udcff"],
        ["plan", "apply", "nobody"], ["status", "--format", "yaml"], ["completion", "bash"], [],
    ],
)  # fmt: skip
def test_help_and_refusals_are_the_same(ready: Home, line: list[str]) -> None:
    here, there = carried_out_here(ready, *line), handed_over(ready, *line)

    assert there.code == here.code
    assert blurred(there.out, ready) == blurred(here.out, ready)
    assert blurred(there.err, ready) == blurred(here.err, ready)


@pytest.mark.parametrize(
    "variables",
    [
        {}, {"NO_COLOR": "1"}, {"COLUMNS": "60"}, {"TERM": "dumb"}, {"TZ": "Asia/Kolkata"},
        {"CLEVERAGENTS_CORE_FORMAT": "json"},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("line", [["status"], ["plan", "list", "--all"], ["job", "list"]], ids=" ".join)
def test_a_terminal_shows_the_same(pair: Pair, line: list[str], variables: dict[str, str]) -> None:
    """Colours, width and what the environment says of both."""
    home = pair.there.home
    here = on_terminal(home, *CA, *line, CLEVERAGENTS_WARM="0", **variables)
    there = on_terminal(home, *PROGRAM, *line, **variables)

    assert here.code == there.code == 0
    assert blurred(there.out, home) == blurred(here.out, home)
    assert here.out.strip()


def on_terminal(home: Home, *command: str, **more: str) -> Done:
    """Run it with a terminal of ten lines as all of its streams."""
    environ = {**allowed(home), "TERM": "xterm-256color", "PAGER": "cat", **more}
    return terminals.on_terminal(command, environ, home.work, rows=10)


@pytest.mark.parametrize(
    "line",
    [["plan", "cancel", "nobody"], ["plan", "prune"], ["server", "connect", "http://127.0.0.1:1", "--token-stdin"], []],
    ids=" ".join,
)
def test_who_would_be_asked_is_asked_by_the_process_that_was_called(ready: Home, line: list[str]) -> None:
    done = on_terminal(ready, *PROGRAM, *line)

    assert (done.code, done.out) == (HERE, "")


def test_what_is_longer_than_the_screen_is_paged_by_the_process_that_was_called(pair: Pair) -> None:
    home = pair.there.home
    assert on_terminal(home, *PROGRAM, "events", PAGER="sed s/^/paged:/").code == HERE
    done = on_terminal(home, *CA, "events", PAGER="sed s/^/paged:/")

    assert done.code == 0
    assert done.out.count("paged:") > 9


# --- what a command has of its caller -------------------------------------------------------------------------------------


def test_standard_input_is_the_callers(pair: Pair) -> None:
    given = Path(pair.there.file).read_bytes()
    done = handed_over(pair.there.home, "action", "validate", "-", feed=given)

    assert done.code == 0
    assert done.out == carried_out_here(pair.there.home, "action", "validate", "-", feed=given).out


def test_the_directory_may_be_gone(ready: Home) -> None:
    def line(program: Sequence[str]) -> list[str]:
        return ["/bin/sh", "-c", 'mkdir "$0"; cd "$0"; rmdir "$0"; exec "$@"', str(ready.root / "gone"), *program]

    there = handed_over(ready, "project", "add", ".", program=line(PROGRAM))
    here = handed_over(ready, "project", "add", ".", program=line(CA), CLEVERAGENTS_WARM="0")

    assert (there.code, there.err) == (here.code, here.err)
    assert there.code not in {0, HERE}


def test_relative_paths_mask_and_environment_are_the_callers(ready: Home) -> None:
    project = ready.repository()
    words = ["run", "--name", "surroundings", "--", 'umask; echo "$SEEN"; pwd']
    program = ["/bin/sh", "-c", 'umask 027; exec "$@"', "sh", *PROGRAM]
    done = handed_over(ready, *words, program=program, cwd=project, SEEN="only this one")
    assert done.code == 0, done
    ready.run("plan", "wait", "surroundings")

    assert ready.run("plan", "logs", "surroundings").out.splitlines()[-3:-1] == ["0027", "only this one"]


@pytest.mark.parametrize(
    ("words", "more"),
    [
        ([], {"LC_ALL": "POSIX"}),
        ([], {"PYTHONUTF8": "0"}),
        (["action", "validate", "/dev/fd/0"], {}),
        (["action", "validate", "/proc/self/fd/0"], {}),
    ],
)
def test_what_only_the_callers_process_has_is_left_to_it(ready: Home, words: list[str], more: dict[str, str]) -> None:
    """An interpreter reads its locale at its start; a descriptor's number means nothing to another process."""
    program = ["/usr/bin/env", *(f"{name}={value}" for name, value in more.items()), *PROGRAM]

    assert handed_over(ready, *words or ["status"], program=program) == Done(HERE, "", "")


def test_closed_streams_are_left_to_the_caller(ready: Home) -> None:
    program = ["/bin/sh", "-c", '"$@" <&-', "sh", *PROGRAM]

    assert handed_over(ready, "status", program=program).code == HERE


def test_a_reader_that_has_seen_enough_is_no_error(ready: Home) -> None:
    program = ["/bin/sh", "-c", '{ "$@"; echo "$?" >&2; } | true', "sh", *PROGRAM]

    assert handed_over(ready, "events", program=program).err == "0\n"


def test_eight_at_once_each_get_their_own(ready: Home) -> None:
    started = [
        subprocess.Popen(
            [*PROGRAM, "plan", "show", f"nobody-{number}"], env=allowed(ready), cwd=ready.work, stderr=subprocess.PIPE
        )
        for number in range(8)
    ]
    for number, process in enumerate(started):
        _, said = process.communicate(timeout=SECONDS)
        assert process.returncode == 3
        assert f"nobody-{number}" in said.decode()


# --- signals ---------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def reading(home: Home, *options: str) -> Generator[tuple[subprocess.Popen[bytes], psutil.Process]]:
    """A command that waits for its input, and the process that carries it out."""
    parent = warm(home)
    place = home.work / home.fresh("reading")  # nobody else works there
    place.mkdir()
    with subprocess.Popen(
        [*PROGRAM, "action", "validate", "-", *options],
        env=allowed(home),
        cwd=place,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:

        def worker() -> psutil.Process | None:
            for child in parent.children():
                with contextlib.suppress(psutil.Error):
                    if child.cwd() == str(place):
                        return child
            return None

        try:
            found = wait_until(worker)
            assert found is not None
            assert process.stdin is not None
            process.stdin.write(b"#")
            process.stdin.flush()
            wait_until(functools.partial(is_drained, process.stdin.fileno()))
            yield process, found
        finally:
            process.kill()


def is_drained(pipe: int) -> bool:
    """Whether all that was written to it has been read."""
    count = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0] == 0


def interrupt(process: subprocess.Popen[bytes]) -> None:
    """Press Ctrl-C, and again when nothing happens: Python misses a signal that comes just before it begins to read."""
    for _ in range(5):
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
            return


def test_ctrl_c_interrupts_it(ready: Home) -> None:
    with reading(ready, "--format", "json") as (process, _):
        interrupt(process)
        out, err = process.communicate(timeout=SECONDS)

    assert process.returncode == 130
    document = json.loads(out)
    assert (document["command"], document["error"]["code"], document["exit_code"]) == (
        "action validate",
        "cancelled",
        130,
    )
    assert err == b""


def test_ctrl_c_works_when_the_warm_process_was_left_by_a_job_in_the_background(home: Home) -> None:
    """A shell has such a job ignore SIGINT, and what is ignored is inherited."""
    home.run("status")
    in_background = ["/bin/sh", "-c", '"$@" & wait', "sh", *CA, "status"]
    subprocess.run(in_background, env=allowed(home), cwd=home.work, check=True, capture_output=True)
    with reading(home) as (process, _):
        interrupt(process)
        assert process.wait(SECONDS) == 130


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_it_ends_with_the_process_that_was_called(ready: Home, number: signal.Signals) -> None:
    with reading(ready) as (process, worker):
        process.send_signal(number)
        assert process.wait(SECONDS) == -number
        wait_until(lambda: not worker.is_running())


def test_whoever_carries_it_out_is_killed_and_that_is_told(ready: Home) -> None:
    with reading(ready, "--format", "json") as (process, worker):
        worker.kill()
        out, _ = process.communicate(timeout=SECONDS)

    document = json.loads(out)
    assert document["error"]["code"] == "internal"
    assert "killed" in document["error"]["message"]
    assert process.returncode == document["exit_code"] == 1


# --- the warm process itself ---------------------------------------------------------------------------------------------


def test_the_first_command_leaves_none_and_the_second_one_does(home: Home) -> None:
    subprocess.run([*CA, "status"], env=allowed(home), cwd=home.work, check=True, capture_output=True)
    assert not (home.home / "run" / "ca.lock").exists()

    parent = warm(home)
    assert stat_of(home.home / "run" / "ca.sock") == 0o600
    assert parent.cwd() == "/"


def stat_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize("more", [{"CLEVERAGENTS_WARM": "0"}, {"CLEVERAGENTS_NO_AUTOSTART": "1"}, {"CA_JOB_ID": "1"}])
def test_nobody_who_does_not_want_one_leaves_one(home: Home, more: dict[str, str]) -> None:
    """A step's own commands would leave it to the step's job, which ends all that it left."""
    for words in (["status"], ["daemon", "start"], ["status"], ["status"]):
        subprocess.run(
            [*CA, *words], env=allowed(home, **more), cwd=home.work, check=words != ["status"], capture_output=True
        )

    assert not (home.home / "run" / "ca.lock").exists()


@pytest.mark.parametrize("limit", ["ulimit -n 64", "ulimit -f 100000", "renice -n 5 $$ >/dev/null"])
def test_a_process_with_limits_leaves_none(home: Home, limit: str) -> None:
    """Those that come after it would have them too."""
    home.run("status")
    subprocess.run(
        ["/bin/sh", "-c", f'{limit}; exec "$@"', "sh", *CA, "status"],
        env=unmeasured(allowed(home)),
        cwd=home.work,
        check=True,
        capture_output=True,
    )

    assert not (home.home / "run" / "ca.lock").exists()


def test_a_variable_without_a_name_is_left_to_the_caller(ready: Home) -> None:
    """No process can be given one, so it is sent as a caller would that has one."""
    name = "import os; os.environb.__dict__['_data'][b''] = b'x'\n"
    done = subprocess.run(
        [sys.executable, "-P", "-c", name + HANDED_OVER, "status"],
        env=unmeasured(allowed(ready)),
        cwd=ready.work,
        check=False,
        capture_output=True,
    )

    assert (done.returncode, done.stdout) == (HERE, b"")


def test_there_is_only_one_however_many_ask(home: Home) -> None:
    home.run("status")
    started = [
        subprocess.Popen([*CA, "status"], env=allowed(home), cwd=home.work, stdout=subprocess.DEVNULL) for _ in range(8)
    ]
    assert [process.wait(SECONDS) for process in started] == [0] * 8
    wait_until((home.home / "run" / "ca.sock").exists)

    assert len(warm_processes(home)) == 1


@pytest.mark.parametrize("words", [["daemon", "stop"], []], ids=["stop", "kill -9"])
def test_it_ends_with_the_daemon(home: Home, words: list[str]) -> None:
    parent = warm(home)
    if words:
        assert handed_over(home, *words).code == 0
    else:
        os.kill(home.data("daemon", "status")["pid"], signal.SIGKILL)

        wait_until(lambda: not parent.is_running())
    assert not [one for one in home.processes() if one.pid == parent.pid]
    assert not (home.home / "run" / "ca.sock").exists()
    wait_until(lambda: not [one for one in home.processes() if "cleveragents_tui.warm" in one.cmdline()])


def test_it_keeps_nothing_of_what_it_carried_out(home: Home) -> None:
    """Neither in its own environment nor in that of the next command's process; and it holds nobody's descriptors."""
    home.run("status")
    ours, theirs = os.pipe()
    subprocess.run(
        [*CA, "status"], env=allowed(home, CANARY="tweet"), pass_fds=[theirs], check=True, capture_output=True
    )
    os.close(theirs)
    assert os.read(ours, 1) == b"", "the pipe is closed once the command has ended"
    os.close(ours)
    parent = warm(home)
    assert handed_over(home, "status", CANARY="tweet").code == 0

    def waiting() -> list[psutil.Process]:
        found: list[psutil.Process] = []
        for child in parent.children():
            with contextlib.suppress(psutil.Error):  # who carried out the last one ends
                found += [child] if child.cwd() == "/" else []
        return found

    for process in [parent, *wait_until(waiting)]:
        assert "CANARY" not in process.environ()
        opened = {str(one.readlink()) for one in Path(f"/proc/{process.pid}/fd").iterdir()}
        assert not [name for name in opened if name.startswith("/") and name != os.devnull and "ca.lock" not in name]


def test_a_program_that_was_replaced_does_it_itself(home: Home, tmp_path: Path) -> None:
    for package in ("cleveragents_tui", "daemon", "store"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    home.environ = {**unmeasured(home.environ), "PYTHONPATH": str(tmp_path)}
    parent = warm(home)
    assert handed_over(home, "status").code == 0

    changed = tmp_path / "cleveragents_tui" / "wording.py"
    changed.write_text(changed.read_text() + "\n", encoding="utf-8")
    assert handed_over(home, "status") == Done(HERE, "", "")
    wait_until(lambda: not parent.is_running())
    assert warm(home).pid != parent.pid


def test_one_that_does_not_answer_is_not_waited_for(home: Home) -> None:
    parent = warm(home)
    parent.suspend()  # first: it could have another child in the meantime
    children = parent.children()
    for process in children:
        process.suspend()
    try:
        assert handed_over(home, "status") == Done(HERE, "", "")
    finally:
        for process in [parent, *children]:
            process.resume()
    wait_until(lambda: handed_over(home, "status").code == 0)


@pytest.mark.parametrize("kind", ["file", "directory", "strange server"])
def test_what_is_in_its_place_is_left_alone(home: Home, kind: str) -> None:
    home.run("status")
    place = home.home / "run" / "ca.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stranger:
        if kind == "file":
            place.write_text("mine")
        elif kind == "directory":
            place.mkdir()
        else:
            stranger.bind(str(place))
            stranger.listen()
        done = subprocess.run([*CA, "status"], env=allowed(home), cwd=home.work, check=False, capture_output=True)

    assert done.returncode == 0
    assert done.stdout
    if kind == "file":
        wait_until(lambda: not warm_processes(home))
        assert place.read_text() == "mine"
    if kind == "directory":
        assert place.is_dir()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make it another user's")
def test_another_users_socket_is_not_talked_to(home: Home) -> None:
    warm(home)
    os.chown(home.home / "run" / "ca.sock", 65_534, 65_534)

    assert handed_over(home, "status").code == HERE


@pytest.mark.parametrize(
    "request_",
    [b"", b"\0", b"\0\0\0\5abc", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\0\0\4a\0b\0", b"\0\0\0\12a\0b\0c\0d\0e\0"],
)
def test_a_message_that_is_none_does_no_harm(ready: Home, request_: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(ready.home / "run" / "ca.sock"))
        assert connection.recv(1) == entry.GREETING
        connection.sendall(request_)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(16) in {b"", entry.HERE}

    assert handed_over(ready, "status").code == 0


@pytest.mark.parametrize(
    "environ",
    [
        {"CLEVERAGENTS_HOME": "/a/b", "HOME": "/h"},
        {"XDG_RUNTIME_DIR": "/run/user/4711", "HOME": "/h"},
        {"HOME": "/h", "XDG_RUNTIME_DIR": ""},
    ],
    ids=str,
)
def test_it_is_looked_for_where_the_daemon_is(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CLEVERAGENTS_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    found = entry.place_of({name.encode(): value.encode() for name, value in environ.items()})

    assert found is not None
    expected = paths.resolve(environ).run
    if (
        "XDG_RUNTIME_DIR" in environ
        and not environ["XDG_RUNTIME_DIR"]
        and not Path(f"/run/user/{os.getuid()}").exists()
    ):
        expected = Path(f"/run/user/{os.getuid()}/cleveragents")  # the daemon is elsewhere: there is never one here
    assert Path(os.fsdecode(found)) == expected / "ca.sock"


def test_a_daemon_that_does_not_answer_is_waited_for_once(home: Home) -> None:
    """The caller would learn no more."""
    warm(home)
    daemon = psutil.Process(home.data("daemon", "status")["pid"])
    daemon.suspend()
    try:
        done = handed_over(home, "status")
    finally:
        daemon.resume()

    assert done.code == 5
    assert "not answering" in done.err


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_daemon_that_has_died_is_started_by_the_process_that_was_called(home: Home, number: signal.Signals) -> None:
    parent = warm(home)
    parent.suspend()  # it would end with the daemon
    try:
        before = psutil.Process(home.data("daemon", "status")["pid"])
        before.send_signal(number)
        wait_until(lambda: not before.is_running() or before.status() == psutil.STATUS_ZOMBIE)
        assert handed_over(home, "plan", "list") == Done(HERE, "", "")
    finally:
        parent.resume()
    done = subprocess.run([*CA, "status"], env=allowed(home), cwd=home.work, check=True, capture_output=True)
    assert b"started the daemon" in done.stderr
