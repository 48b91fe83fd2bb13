"""One command of a step: real processes, real signals, real deaths of the daemon."""

import asyncio
import contextlib
import errno
import gc
import os
import resource
import shlex
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from daemon import exit_watch, identities, marks, processes, wrapper
from daemon.processes import Command, Exit, Likeness, ProcessIdentity
from store import clock, errors
from tests import escapees
from tests.waiting import wait_until, wait_until_async

ROOT = Path(__file__).parents[2]
COOKIE = {"CA_JOB_ID": f"01JOBOFTESTS{os.getpid()}", "CA_STEP_ID": "fix"}  # tests run beside each other
linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no mark")
NOBODY = 2**22 + 1  # above the largest number that Linux gives
BY_PROGRAM = ": $$; "  # makes a text run in a shell of its own
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); open('up', 'w'); time.sleep(60)",
]
RUNAWAY = f"""{sys.executable} -c '
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open("up.new", "w").write(str(os.getpid()))
        os.rename("up.new", "up")
        time.sleep(60)
    os._exit(0)
os.wait()
'"""


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., Command]:
    """Makes a command in a directory of its own; the text is for `/bin/sh -e`."""

    def make(text: str = ":", **changes: Any) -> Command:
        plain = Command(
            argv=["/bin/sh", "-e", "-c", text],
            cwd=tmp_path,
            environment={"PATH": os.environ["PATH"], **COOKIE},
            umask=0o022,
            log=tmp_path / "log",
            exit_file=tmp_path / "exit",
        )
        return msgspec.structs.replace(plain, **changes)

    return make


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    yield
    job = marks.of_job(COOKIE["CA_JOB_ID"])
    marked = [
        p.pid
        for p in psutil.process_iter()
        if _environment(p).get("CA_JOB_ID") == COOKIE["CA_JOB_ID"] or (carries(job, p.pid) and not is_gone(p.pid))
    ]
    for pid in marked:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert marked == []


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ() if process.status() != psutil.STATUS_ZOMBIE else {}
    except psutil.Error:
        return {}


async def run(command: Command) -> Exit:
    process = await processes.start(command)
    process.release()
    return await process.wait()


def code_of(command: Command) -> int | None:
    return asyncio.run(run(command)).code


def descriptors() -> tuple[int, int]:
    """The highest open one, and how many there are."""
    numbers = [int(path.name) for path in Path("/dev/fd").iterdir()]
    return max(numbers), len(numbers)


def is_gone(pid: int) -> bool:
    return processes.identify(pid) is None


# Exit codes


@pytest.mark.parametrize("how", ["", BY_PROGRAM])
@pytest.mark.parametrize(
    ("text", "code"),
    [
        (":", 0),
        ("exit 3", 3),
        ("false; exit 0", 1),  # -e
        ("sh -c 'kill -TERM $$'", 143),
        ("sh -c 'kill -KILL $$'", 137),
        ("no-such-program", 127),
        ("exec /", 126),
        ("exit 255", 255),
        ("trap 'exit 9' EXIT; false", 9),
        ("if", 2),
    ],
)
def test_exit_code_is_what_a_shell_reports(command: Callable[..., Command], how: str, text: str, code: int) -> None:
    """The code is the same from the wrapper's file, from the process, and from a plain shell."""
    plain = subprocess.run(["/bin/sh", "-e", "-c", how + text], check=False, capture_output=True).returncode
    made = command(how + text)

    assert code_of(made) == code == (plain if plain >= 0 else 128 - plain)
    assert wrapper.read_exit_file(made.exit_file) == code


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["no-such-program", "x"], 127, "no-such-program"),
        (["exit", "5"], 127, "exit"),  # a word of the shell is not a program
        (["/"], 126, "/"),
        ([sys.executable, "-c", "raise SystemExit(7)"], 7, ""),
        ([sys.executable, "-c", "import os; os.kill(os.getpid(), 15)"], 143, ""),
    ],
)
def test_program_runs_without_a_shell_between(
    command: Callable[..., Command], argv: list[str], code: int, said: str
) -> None:
    """A program that does not exist is 127, one that cannot run 126, and the log says so."""
    made = command(argv=argv)

    assert code_of(made) == code
    assert said in made.log.read_text()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", None),
        (b"14", None),
        (b"143\n", 143),
        (b"0\n", 0),
        (b"-1\n", -1),
        (b"-2\n", None),
        (b"x\n", None),
        (b"1\n2\n", None),
        (b"1" * 99, None),
    ],
)
def test_exit_file_counts_only_when_complete(tmp_path: Path, content: bytes, code: int | None) -> None:
    """Without its newline the code is not there yet."""
    (tmp_path / "exit").write_bytes(content)

    assert wrapper.read_exit_file(tmp_path / "exit") == code
    assert wrapper.read_exit_file(tmp_path) is None


def test_code_of_an_earlier_attempt_is_removed(command: Callable[..., Command]) -> None:
    """A stale exit file is gone before anything can take it for the new code."""
    made = command()
    made.exit_file.write_text("5\n")

    async def look() -> int | None:
        process = await processes.start(made)
        found = wrapper.read_exit_file(made.exit_file)
        await process.end(1)
        return found

    assert asyncio.run(look()) is None


def test_code_reaches_a_live_daemon_without_its_file(command: Callable[..., Command], tmp_path: Path) -> None:
    """A full disk under the exit file does not lose the code while the daemon lives."""
    assert code_of(command("exit 4", exit_file=tmp_path / "missing" / "exit")) == 4


def test_code_is_read_from_the_file_when_somebody_else_reaped(command: Callable[..., Command]) -> None:
    """With SIGCHLD ignored the system reaps by itself, and the file still has the code."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert code_of(command("exit 6")) == 6
    finally:
        signal.signal(signal.SIGCHLD, before)


# What the command gets


def test_output_of_both_streams_is_appended_to_the_log(command: Callable[..., Command]) -> None:
    """The log keeps what it had, gets stdout and stderr in order, and is private when it is new."""
    made = command("echo one; echo two >&2; echo three")

    assert code_of(made) == 0
    assert code_of(made) == 0
    assert made.log.read_text() == "one\ntwo\nthree\n" * 2
    assert made.log.stat().st_mode & 0o777 == 0o600
    assert made.exit_file.stat().st_mode & 0o777 == 0o600


def test_thousands_of_lines_arrive_complete(command: Callable[..., Command]) -> None:
    """Nothing of a long output is missing when the command counts as ended."""
    made = command(f"{sys.executable} -c 'for n in range(200000): print(n)'")

    assert code_of(made) == 0
    assert made.log.read_bytes().split() == [b"%d" % n for n in range(200000)]


@pytest.mark.parametrize("how", ["", BY_PROGRAM])
def test_umask_and_directory_are_the_commands(command: Callable[..., Command], tmp_path: Path, how: str) -> None:
    """The command sees its own umask and its working directory, whatever their characters."""
    place = tmp_path / "a 'b' $HOME \n c"
    place.mkdir()
    made = command(f"{how}umask; pwd; echo ${{OLDPWD-none}}; >made", cwd=place, umask=0o027)

    assert code_of(made) == 0
    assert made.log.read_text() == f"0027\n{place}\nnone\n"
    assert (place / "made").stat().st_mode & 0o777 == 0o640


def test_missing_directory_is_said_in_the_log(command: Callable[..., Command], tmp_path: Path) -> None:
    """Without its directory the command does not run at all."""
    made = command("echo ran", cwd=tmp_path / "nowhere")

    assert code_of(made) == 126
    assert f"cannot enter the directory {tmp_path / 'nowhere'}" in made.log.read_text()
    assert "ran" not in made.log.read_text().replace("was not run", "")


@pytest.mark.parametrize("text", ["cat", BY_PROGRAM + "cat"])
def test_stdin_is_empty_or_a_file(command: Callable[..., Command], tmp_path: Path, text: str) -> None:
    """A command that reads gets its file or the end, never the daemon's own input."""
    (tmp_path / "input").write_text("a prompt")
    empty, full = command(text), command(text, stdin=tmp_path / "input", log=tmp_path / "full")

    assert (code_of(empty), code_of(full)) == (0, 0)
    assert empty.log.read_text() == ""
    assert full.log.read_text() == "a prompt"


def test_missing_input_is_an_error(command: Callable[..., Command], tmp_path: Path) -> None:
    """A missing input file is not taken for an empty one."""
    made = command("echo ran", stdin=tmp_path / "nowhere")

    assert code_of(made) not in {0, None}
    assert "ran" not in made.log.read_text()


@pytest.mark.parametrize("how", ["", BY_PROGRAM])
def test_arguments_of_the_text_are_its_own(command: Callable[..., Command], how: str) -> None:
    """Nothing of the wrapper can be seen: no positional parameters, no variables, line numbers from one."""
    made = command(f'{how}echo "$# ${{1-none}} $-"; set | grep -c ca_go || :')

    assert code_of(made) == 0
    assert made.log.read_text() == "0 none e\n0\n"


@pytest.mark.parametrize("text", ["echo $$", "echo ${$}", "echo $0", "echo $PPID", "echo $_"])
def test_text_that_asks_who_it_is_gets_a_shell_of_its_own(command: Callable[..., Command], text: str) -> None:
    """`$$` is the number of the text's own shell, so `kill $$` ends the text and nothing else."""
    argv, _ = wrapper.wrap(["/bin/sh", "-e", "-c", text], {}, umask=0, cwd=Path("/"), stdin=None, exit_file=Path("/x"))

    assert argv[-4:] == ["/bin/sh", "-e", "-c", text]
    assert code_of(command("kill -TERM $$; sleep 60")) == 143


def test_environment_is_exactly_the_given_one(command: Callable[..., Command]) -> None:
    """Odd names and odd bytes arrive; nothing of the daemon's own environment does."""
    wanted = {
        "PATH": os.environ["PATH"],
        "BYTES": "a\udcff\n'$x",
        "BASH_FUNC_x%%": "() { echo hi; }",
        "a.b": "$(false) \"'",
        "SHELLOPTS": "noclobber",
        "code": "1",
        "go": "2",
    }
    made = command(argv=[sys.executable, "-c", "import os; print(ascii(dict(os.environ)))"], environment=wanted)

    assert code_of(made) == 0
    got = dict(eval(made.log.read_text()))
    got.pop("LC_CTYPE", None)  # Python's own
    assert {name: got.pop(name) for name in wanted} == wanted
    assert set(got) <= {"PWD", "_", "SHLVL", "__CF_USER_TEXT_ENCODING"}


@pytest.mark.parametrize("how", ["", BY_PROGRAM])
def test_signals_are_at_their_defaults(command: Callable[..., Command], how: str) -> None:
    """What the daemon ignores or blocks, a pipe's writer or an interrupt among it, works in the command."""
    program = (
        "import os, signal;"
        "print([s for s in range(1, 32) if signal.getsignal(s) is signal.SIG_IGN and s not in (13, 25)],"
        "signal.pthread_sigmask(0, []))"
    )
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        made = command(f'{how}{sys.executable} -c "{program}"; (set +e; yes; echo $? >&2) | head -1')
        assert code_of(made) == 0
    finally:
        signal.signal(signal.SIGHUP, before)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])

    assert made.log.read_text().startswith("[] set()\n")
    assert "\n141\n" in made.log.read_text()


def test_command_inherits_no_descriptor(command: Callable[..., Command], tmp_path: Path) -> None:
    """It has its three streams and nothing of the daemon's or of the wrapper's."""
    made = command(argv=[sys.executable, "-c", "import os; print(sorted(os.listdir('/dev/fd')))"])
    dying_daemon(made, "held = open('/dev/null'); process.release(); await process.wait()")

    assert made.log.read_text() == "['0', '1', '2', '3']\n"  # 3 is the listing itself


def test_command_leads_no_terminal_and_has_its_own_session(command: Callable[..., Command]) -> None:
    """The session is the wrapper's, so that no signal of the daemon's terminal comes through."""

    async def look() -> tuple[int, Exit]:
        process = await processes.start(made)
        process.release()
        return process.identity.pid, await process.wait()

    made = command(argv=[sys.executable, "-c", "import os; print(os.getsid(0), os.getpgid(0))"])
    pid, ended = asyncio.run(look())

    assert ended == Exit(0, [])
    assert made.log.read_text() == f"{pid} {pid}\n"


# Release, and the daemon's death


def test_command_is_blocked_until_release(command: Callable[..., Command], tmp_path: Path) -> None:
    """Its identity is known, its process lives, and nothing of it has run."""

    async def look() -> None:
        process = await processes.start(command(">ran"))
        await wait_until_async(lambda: _reads_its_pipe(process.identity.pid))
        assert not (tmp_path / "ran").exists()
        assert processes.compare(process.identity) is Likeness.SAME

        process.release()
        process.release()
        assert await process.wait() == Exit(0, [])
        process.release()

    asyncio.run(look())
    assert (tmp_path / "ran").exists()


def _reads_its_pipe(pid: int) -> bool:
    return psutil.Process(pid).status() == psutil.STATUS_SLEEPING and "ca-step" in psutil.Process(pid).cmdline()


def test_end_before_release_runs_nothing(command: Callable[..., Command], tmp_path: Path) -> None:
    """A command that is cancelled while it waits never runs; a late release is harmless."""

    async def look() -> Exit:
        process = await processes.start(command(">ran"))
        assert await process.end(30) == []
        process.release()
        return await process.wait()

    assert asyncio.run(look()).code == processes.NEVER_RAN
    assert not (tmp_path / "ran").exists()


DAEMON = """
import asyncio, os, signal, sys
import msgspec
from daemon import processes

async def main():
    command = msgspec.json.decode(sys.stdin.buffer.read(), type=processes.Command, dec_hook=lambda t, v: t(v))
    process = await processes.start(command)
    print(msgspec.json.encode(process.identity).decode(), flush=True)
    {then}

asyncio.run(main())
"""


def dying_daemon(command: Command, then: str) -> ProcessIdentity:
    """Another process starts the command, does `then`, and is gone when this returns."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(DAEMON).format(then=then)],
        input=msgspec.json.encode(command, enc_hook=str),
        stdout=subprocess.PIPE,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return msgspec.json.decode(done.stdout, type=ProcessIdentity)


RELEASE_AND_DIE = "process.release(); os.kill(os.getpid(), signal.SIGKILL)"


def test_command_never_runs_when_the_daemon_dies_before_release(
    command: Callable[..., Command], tmp_path: Path
) -> None:
    """The wrapper reads the end of the pipe, says that it ran nothing, and leaves."""
    made = command(">ran")
    identity = dying_daemon(made, "os._exit(0)")

    wait_until(lambda: is_gone(identity.pid))
    assert not (tmp_path / "ran").exists()
    assert asyncio.run(processes.adopt(identity, made.exit_file, COOKIE)) == Exit(processes.NEVER_RAN, [])


def test_running_command_is_adopted_with_its_real_code(command: Callable[..., Command], tmp_path: Path) -> None:
    """The daemon is killed, the command goes on, its output is complete and its code arrives."""
    made = command("echo begin; while [ ! -e go ]; do sleep 0.01; done; seq 5000; exit 42")
    identity = dying_daemon(made, RELEASE_AND_DIE)

    async def look() -> Exit:
        process = await processes.adopt(identity, made.exit_file, COOKIE)
        assert isinstance(process, processes.Process)
        assert process.identity == identity
        process.release()
        waiting = asyncio.create_task(process.wait())
        (tmp_path / "go").touch()
        return await waiting

    assert asyncio.run(look()) == Exit(42, [])
    assert made.log.read_text().split() == ["begin", *map(str, range(1, 5001))]


def test_command_that_ended_while_nobody_looked_has_its_code(command: Callable[..., Command]) -> None:
    """A new daemon takes the code from the file."""
    made = command("exit 9")
    identity = dying_daemon(made, RELEASE_AND_DIE)
    wait_until(lambda: is_gone(identity.pid))

    assert asyncio.run(processes.adopt(identity, made.exit_file, COOKIE)) == Exit(9, [])


def test_adopted_command_can_be_ended(command: Callable[..., Command], tmp_path: Path) -> None:
    """It gets SIGTERM, and its wrapper still writes the code."""
    made = command(">up; sleep 60")
    identity = dying_daemon(made, RELEASE_AND_DIE)
    wait_until((tmp_path / "up").exists)

    async def look() -> Exit:
        process = await processes.adopt(identity, made.exit_file, COOKIE)
        assert isinstance(process, processes.Process)
        assert await process.end(30) == []
        return await process.wait()

    assert asyncio.run(look()).code == 143


def test_adopted_command_that_had_to_be_killed_says_so(command: Callable[..., Command], tmp_path: Path) -> None:
    """No wrapper is left to write the code, but who killed it knows it."""
    made = command(argv=STUBBORN)
    identity = dying_daemon(made, RELEASE_AND_DIE)
    wait_until((tmp_path / "up").exists)

    async def look() -> Exit:
        process = await processes.adopt(identity, made.exit_file, COOKIE)
        assert isinstance(process, processes.Process)
        assert await process.end(0.1) == []
        return await process.wait()

    assert asyncio.run(look()).code == 137


def test_wrapper_killed_by_a_stranger_is_lost_and_its_command_ended(
    command: Callable[..., Command], tmp_path: Path
) -> None:
    """Gone without a code: the exit is None, and what went on without a wrapper does not."""
    made = command(">up; exec sleep 60")
    identity = dying_daemon(made, RELEASE_AND_DIE)
    wait_until((tmp_path / "up").exists)
    orphan = psutil.Process(identity.pid).children()[0].pid
    os.kill(identity.pid, signal.SIGKILL)
    wait_until(lambda: is_gone(identity.pid))

    assert asyncio.run(processes.adopt(identity, made.exit_file, COOKIE)) == Exit(None, [orphan])
    assert is_gone(orphan)


def test_orphans_of_a_lost_command_are_known_by_cookie_only(command: Callable[..., Command], tmp_path: Path) -> None:
    """Its number may be anybody's session by now; without a cookie nobody is signalled."""
    made = command(">up; exec sleep 60")
    identity = dying_daemon(made, RELEASE_AND_DIE)
    wait_until((tmp_path / "up").exists)
    orphan = psutil.Process(identity.pid).children()[0].pid
    os.kill(identity.pid, signal.SIGKILL)
    wait_until(lambda: is_gone(identity.pid))

    assert asyncio.run(processes.adopt(identity, made.exit_file, {})) == Exit(None, [])
    assert not is_gone(orphan)
    os.kill(orphan, signal.SIGKILL)
    wait_until(lambda: is_gone(orphan))


# Identities


def test_this_process_is_the_same() -> None:
    """The same process is recognised, and its number alone is not enough."""
    me = processes.identify(os.getpid())

    assert me is not None
    assert processes.compare(me) is Likeness.SAME
    assert processes.compare(msgspec.structs.replace(me, start_time=me.start_time - 1)) is Likeness.DIFFERENT
    assert processes.compare(msgspec.structs.replace(me, boot_id="another")) is Likeness.DIFFERENT
    assert processes.compare(ProcessIdentity(NOBODY, 1, clock.boot_id())) is Likeness.DIFFERENT


@pytest.mark.parametrize("pid", [0, -1, -5, NOBODY, 2**40])
def test_number_of_nobody_has_no_identity(pid: int) -> None:
    """Neither a number out of range nor a group's is a process."""
    assert processes.identify(pid) is None


def test_zombie_has_ended() -> None:
    """A process that only waits to be reaped counts as gone."""
    child = subprocess.Popen(["/bin/sh", "-c", "read x"], stdin=subprocess.PIPE)
    try:
        identity = processes.identify(child.pid)
        assert identity is not None
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

        assert processes.identify(child.pid) is None
        assert processes.compare(identity) is Likeness.DIFFERENT
    finally:
        child.communicate()


def test_start_times_of_children_are_those_of_the_system() -> None:
    """Whether a start was looked up or told by the clock, it is what everybody else will read of the process."""
    births = identities.Births()
    for _ in range(50):
        before = births.now()
        child = subprocess.Popen(["/bin/sh", "-c", "read x"], stdin=subprocess.PIPE)
        told = births.start_time(child.pid, before)
        found = processes.identify(child.pid)
        child.communicate()
        assert found is not None
        assert found.start_time == told


@linux
def test_clock_tells_no_start_where_the_system_counts_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container that shows start times of its own they are looked up, each one."""
    births = identities.Births()

    def look(_pid: int) -> identities.Look:
        return identities.Look(5, zombie=False)

    monkeypatch.setattr(identities, "look", look)

    assert [births.start_time(os.getpid(), births.now()) for _ in range(20)] == [5] * 20


def test_system_without_proc_tells_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """By psutil, as on macOS, the living, the zombies and nobody are told apart too."""
    monkeypatch.setattr(identities, "look", identities._look_by_psutil)  # pyright: ignore[reportPrivateUsage]
    child = subprocess.Popen(["/bin/sh", "-c", "read x"], stdin=subprocess.PIPE)
    try:
        identity = processes.identify(child.pid)
        assert identity is not None
        assert processes.compare(identity) is Likeness.SAME
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert processes.compare(identity) is Likeness.DIFFERENT
    finally:
        child.communicate()

    assert processes.identify(child.pid) is None


def test_process_that_cannot_be_seen_is_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the system hides other users' processes nobody is judged, and nobody is signalled."""
    me = processes.identify(os.getpid())
    assert me is not None
    monkeypatch.setattr(identities, "PROC", tmp_path)

    assert processes.compare(me) is Likeness.UNKNOWN
    assert processes.identify(me.pid) is None
    assert asyncio.run(processes.adopt(me, tmp_path / "exit", COOKIE)) is Likeness.UNKNOWN


def test_stranger_with_a_reused_number_is_left_alone(command: Callable[..., Command]) -> None:
    """The number is alive but was started at another time: the command has ended, the stranger is not touched."""
    stranger = subprocess.Popen(["/bin/sh", "-c", "read x"], stdin=subprocess.PIPE, start_new_session=True)
    try:
        identity = processes.identify(stranger.pid)
        assert identity is not None
        earlier = msgspec.structs.replace(identity, start_time=identity.start_time - 100)

        assert asyncio.run(processes.adopt(earlier, command().exit_file, COOKIE)) == Exit(None, [])
        assert processes.compare(identity) is Likeness.SAME
    finally:
        stranger.kill()
        stranger.communicate()


def test_name_of_a_process_may_hold_anything(tmp_path: Path) -> None:
    """Parentheses and spaces in a program's name do not shift the fields that are read."""
    program = tmp_path / "a) R 1 (b"
    program.symlink_to("/bin/sleep")
    child = subprocess.Popen([program, "60"])
    try:
        identity = processes.identify(child.pid)
        assert identity is not None
        assert abs(identity.start_time - _my_start_time()) < 100 * os.sysconf("SC_CLK_TCK") * 3600
        assert processes.compare(identity) is Likeness.SAME
    finally:
        child.kill()
        child.wait()


def _my_start_time() -> int:
    me = processes.identify(os.getpid())
    assert me is not None
    return me.start_time


# Ending


def test_term_ignoring_command_is_killed_after_the_grace(command: Callable[..., Command], tmp_path: Path) -> None:
    """It gets its grace and not more."""

    async def look() -> tuple[list[int], Exit, float]:
        process = await processes.start(command(argv=STUBBORN))
        process.release()
        await wait_until_async((tmp_path / "up").exists)
        began = asyncio.get_running_loop().time()
        left = await process.end(0.3)
        return left, await process.wait(), asyncio.get_running_loop().time() - began

    left, ended, took = asyncio.run(look())
    assert (left, ended.code) == ([], 137)
    assert 0.3 <= took < 30, "it would have ended by itself after a minute"


def test_command_may_clean_up_within_the_grace(command: Callable[..., Command], tmp_path: Path) -> None:
    """SIGTERM comes first, and a code of the command's own is kept."""

    async def look() -> Exit:
        process = await processes.start(command("trap 'echo cleaned; exit 12' TERM; >up; while :; do sleep 0.01; done"))
        process.release()
        await wait_until_async((tmp_path / "up").exists)
        await process.end(30)
        return await process.wait()

    assert asyncio.run(look()).code == 12
    assert "cleaned" in (tmp_path / "log").read_text()


def test_stopped_command_is_ended_by_term(command: Callable[..., Command], tmp_path: Path) -> None:
    """A process that was stopped wakes up to see its SIGTERM."""

    async def look() -> Exit:
        process = await processes.start(command(">up; sleep 60"))
        process.release()
        await wait_until_async((tmp_path / "up").exists)
        process.send(signal.SIGSTOP)
        await wait_until_async(lambda: psutil.Process(process.identity.pid).status() == psutil.STATUS_STOPPED)
        await process.end(30)
        return await process.wait()

    assert asyncio.run(look()).code == 143


def test_signal_reaches_the_command_and_not_the_wrapper(command: Callable[..., Command], tmp_path: Path) -> None:
    """What is sent goes to the command, whose answer decides the code."""

    async def look() -> Exit:
        process = await processes.start(command("trap 'exit 21' USR1; >up; while :; do sleep 0.01; done"))
        process.release()
        await wait_until_async((tmp_path / "up").exists)
        process.send(signal.SIGUSR1)
        ended = await process.wait()
        process.send(signal.SIGUSR1)
        return ended

    assert asyncio.run(look()).code == 21


def test_background_children_are_ended_and_named(command: Callable[..., Command], tmp_path: Path) -> None:
    """A command that ends by itself leaves nobody behind."""
    ended = asyncio.run(run(command("sleep 60 & echo $! >child; exit 5")))
    child = int((tmp_path / "child").read_text())

    assert ended == Exit(5, [child])
    assert is_gone(child)


def test_stubborn_background_child_is_killed(command: Callable[..., Command], tmp_path: Path) -> None:
    """One that ignores SIGTERM gets SIGKILL after the short grace."""
    text = f"{shlex.join(STUBBORN)} & while [ ! -e up ]; do sleep 0.01; done"
    ended = asyncio.run(run(command(text)))

    assert (ended.code, len(ended.leftovers)) == (0, 1)
    assert is_gone(ended.leftovers[0])


def test_runaway_grandchild_is_found_by_its_cookie(command: Callable[..., Command], tmp_path: Path) -> None:
    """`setsid` and a double fork do not save a process from the end of its step."""

    async def look() -> tuple[int, list[int], Exit]:
        process = await processes.start(command(f"{RUNAWAY}; sleep 60"))
        process.release()
        await wait_until_async((tmp_path / "up").exists)
        runaway = int((tmp_path / "up").read_text())
        assert os.getsid(runaway) != process.identity.pid
        return runaway, await process.end(30), await process.wait()

    runaway, left, ended = asyncio.run(look())
    assert left == []
    assert is_gone(runaway)
    assert ended.code == 143


def test_descendant_in_another_session_is_found_without_a_cookie(
    command: Callable[..., Command], tmp_path: Path
) -> None:
    """A child that cleared its environment and made a session of its own is still a descendant."""
    child = "import os, time; os.setsid(); open('up', 'w').write(str(os.getpid())); time.sleep(60)"
    made = command(f'env -i {sys.executable} -c "{child}" & wait')

    async def look() -> tuple[int, list[int]]:
        process = await processes.start(made)
        process.release()
        await wait_until_async(lambda: (tmp_path / "up").exists() and (tmp_path / "up").read_text())
        return int((tmp_path / "up").read_text()), await process.end(30)

    runaway, left = asyncio.run(look())
    assert left == []
    assert is_gone(runaway)


def test_other_steps_of_the_job_are_not_touched(command: Callable[..., Command], tmp_path: Path) -> None:
    """Ending one step leaves another one of the same job alone."""
    other_environment = {"PATH": os.environ["PATH"], **COOKIE, "CA_STEP_ID": "other"}

    async def look() -> tuple[Exit, Exit]:
        one = await processes.start(command("sleep 60"))
        two = await processes.start(
            command(
                "while [ ! -e go ]; do sleep 0.01; done",
                environment=other_environment,
                exit_file=tmp_path / "exit2",
            )
        )
        one.release()
        two.release()
        await one.end(30)
        (tmp_path / "go").touch()
        return await one.wait(), await two.wait()

    assert asyncio.run(look()) == (Exit(143, []), Exit(0, []))


@linux
@pytest.mark.parametrize("stubborn", [False, True])
def test_escapee_is_ended_with_its_command(command: Callable[..., Command], tmp_path: Path, *, stubborn: bool) -> None:
    """Neither session nor environment nor parent tell where it came from, but its mark does."""

    async def look() -> tuple[psutil.Process, list[int]]:
        process = await processes.start(command(f"{escapees.escape(tmp_path / 'pid', stubborn=stubborn)}; sleep 60"))
        process.release()
        escapee = await asyncio.to_thread(escapees.found, tmp_path / "pid")
        return escapee, await process.end(0.3 if stubborn else 30)

    escapee, left = asyncio.run(look())
    assert left == []
    assert not escapees.runs(escapee)


@linux
@pytest.mark.parametrize("cookie", [COOKIE, {}])
def test_escapee_of_an_adopted_command_is_ended(
    command: Callable[..., Command], tmp_path: Path, cookie: dict[str, str]
) -> None:
    """The next daemon knows the mark too, also of a command that belongs to no job."""
    text = f"{escapees.escape(tmp_path / 'pid')}; sleep 60"
    made = command(text, environment={"PATH": os.environ["PATH"], **cookie})
    identity = dying_daemon(made, RELEASE_AND_DIE)
    escapee = escapees.found(tmp_path / "pid")

    async def look() -> list[int]:
        process = await processes.adopt(identity, made.exit_file, cookie)
        assert isinstance(process, processes.Process)
        return await process.end(30)

    assert asyncio.run(look()) == []
    assert not escapees.runs(escapee)


@linux
def test_what_a_lost_command_left_is_ended(command: Callable[..., Command], tmp_path: Path) -> None:
    """Somebody kills the wrapper: there is no code, and nothing of the command goes on."""

    async def look() -> tuple[psutil.Process, Exit]:
        process = await processes.start(command(f"{escapees.escape(tmp_path / 'pid')}; exec sleep 60"))
        process.release()
        escapee = await asyncio.to_thread(escapees.found, tmp_path / "pid")
        os.kill(process.identity.pid, signal.SIGKILL)
        return escapee, await process.wait()

    escapee, ended = asyncio.run(look())
    assert ended.code is None
    assert escapee.pid in ended.leftovers
    assert not escapees.runs(escapee)


@linux
@pytest.mark.parametrize("adopted", [False, True])
def test_what_left_its_session_outlives_its_command_but_not_its_job(
    command: Callable[..., Command], tmp_path: Path, *, adopted: bool
) -> None:
    """The server of a build tool is meant to stay for the next step; the end of the whole job is its end too."""
    made = command(f"sleep 60 & {escapees.escape(tmp_path / 'pid')}; until [ -e pid ]; do sleep 0.02; done; exit 3")

    async def end_jobs() -> tuple[bool, list[int]]:
        await processes.end_job("01ANOTHERJOB", 5)
        return escapees.runs(escapee), await processes.end_job(COOKIE["CA_JOB_ID"], 5)

    if adopted:
        identity = dying_daemon(made, RELEASE_AND_DIE)
        wait_until(lambda: is_gone(identity.pid))
        ended = asyncio.run(processes.adopt(identity, made.exit_file, COOKIE))
    else:
        ended = asyncio.run(run(made))
    escapee = escapees.found(tmp_path / "pid")
    assert isinstance(ended, Exit)
    assert (ended.code, len(ended.leftovers)) == (3, 1)
    assert escapee.pid not in ended.leftovers

    assert asyncio.run(end_jobs()) == (True, [])
    assert not escapees.runs(escapee)


@linux
@pytest.mark.parametrize("away", ["", "os.setsid()"])
def test_processes_that_fork_without_end_are_ended(command: Callable[..., Command], tmp_path: Path, away: str) -> None:
    """Each forks and goes before anybody could signal it: they are stopped first, wherever they are."""
    bomb = f"""
        import os, signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for number in range(30):
            if os.fork() == 0:
                {away}
                while True:
                    time.sleep(0.02)
                    if os.fork():
                        os._exit(0)
        open("up", "w").close()
        time.sleep(60)
    """
    mark = marks.of_step(COOKIE["CA_JOB_ID"], COOKIE["CA_STEP_ID"])

    async def look() -> list[int]:
        process = await processes.start(command(argv=[sys.executable, "-c", textwrap.dedent(bomb)]))
        process.release()
        await wait_until_async((tmp_path / "up").exists)
        return await process.end(0)

    assert asyncio.run(look()) == []
    assert [pid for pid in identities.everybody() if carries(mark, pid) and not is_gone(pid)] == []


def carries(mark: marks.Mark, pid: int) -> bool:
    try:
        return mark.is_on(pid)
    except ProcessLookupError:
        return False


@linux
def test_what_could_not_be_ended_is_named(
    command: Callable[..., Command], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system refuses the signal, as for another user's process, the caller learns who is left."""
    send = signal.pidfd_send_signal

    def refuse(descriptor: int, number: int, info: None = None, flags: int = 0) -> None:
        if not flags:
            raise PermissionError
        send(descriptor, number, info, flags)

    async def look() -> tuple[psutil.Process, list[int]]:
        process = await processes.start(command(f"{escapees.escape(tmp_path / 'pid')}; sleep 60"))
        process.release()
        escapee = await asyncio.to_thread(escapees.found, tmp_path / "pid")
        await wait_until_async(lambda: escapee.name() == "sleep")
        monkeypatch.setattr(signal, "pidfd_send_signal", refuse)
        return escapee, await process.end(1)

    escapee, left = asyncio.run(look())
    assert left == [escapee.pid]
    assert processes.named([escapee.pid, NOBODY]) == f"{escapee.pid} (sleep), {NOBODY}"
    escapees.end(escapee)


def test_end_is_safe_at_any_time(command: Callable[..., Command]) -> None:
    """Twice at once, after the end, and while a waiter gave up."""

    async def look() -> tuple[list[list[int]], Exit, list[int]]:
        process = await processes.start(command("sleep 60"))
        process.release()
        impatient = asyncio.create_task(process.wait())
        await asyncio.sleep(0)
        impatient.cancel()
        lefts = await asyncio.gather(process.end(30), process.end(30))
        return list(lefts), await process.wait(), await process.end(30)

    assert asyncio.run(look()) == ([[], []], Exit(143, []), [])


def test_end_waits_for_a_conclusion_under_way(command: Callable[..., Command], tmp_path: Path) -> None:
    """A cancel that comes while leftovers are being ended waits for that and does not start over."""

    async def look() -> Exit:
        process = await processes.start(command("sleep 60 & exit 0"))
        process.release()
        await wait_until_async(lambda: not psutil.pid_exists(process.identity.pid))
        assert await process.end(30) == []
        return await process.wait()

    ended = asyncio.run(look())
    assert (ended.code, len(ended.leftovers)) == (0, 1)


def test_cancelled_end_loses_nothing(command: Callable[..., Command], tmp_path: Path) -> None:
    """When the one who ends it is cancelled in the middle, the exit is still told."""

    async def look() -> Exit:
        process = await processes.start(command(argv=STUBBORN))
        process.release()
        await wait_until_async((tmp_path / "up").exists)
        ending = asyncio.create_task(process.end(60))
        await asyncio.sleep(0)
        ending.cancel()
        await asyncio.wait([ending])
        process.send(signal.SIGKILL)
        return await process.wait()

    assert asyncio.run(look()).code == 137


# Faults and other systems


@pytest.mark.parametrize("place", ["missing/log", "."])
def test_unwritable_log_is_an_error_and_starts_nothing(
    command: Callable[..., Command], tmp_path: Path, place: str
) -> None:
    """The error is one of ours, and names the log."""
    before = psutil.Process().children()
    with pytest.raises(errors.CleverAgentsError, match="log"):
        asyncio.run(run(command(log=tmp_path / place)))

    assert psutil.Process().children() == before


def test_symbolic_link_at_the_logs_place_is_refused(command: Callable[..., Command], tmp_path: Path) -> None:
    """What a step planted there is not written through."""
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "log").symlink_to(tmp_path / "victim")
    with pytest.raises(errors.CleverAgentsError):
        asyncio.run(run(command("echo over")))

    assert (tmp_path / "victim").read_text() == "precious"


def test_full_disk_is_told_by_its_code(command: Callable[..., Command]) -> None:
    """A command that cannot write its log fails as its program does; the daemon goes on."""
    made = command(f"{sys.executable} -c 'print(1)'", log=Path("/dev/full"))

    assert code_of(made) not in {0, None}


def test_nul_in_an_argument_is_refused(command: Callable[..., Command]) -> None:
    """No system can pass it on."""
    with pytest.raises(errors.InvalidArgumentError, match="null"):
        asyncio.run(run(command("a\0b")))


def test_no_descriptor_leaks(command: Callable[..., Command]) -> None:
    """A hundred commands, some of which fail to start, leave the descriptors as they were."""

    async def many() -> tuple[int, int]:
        await run(command())
        before = descriptors()[1]
        for _ in range(50):
            assert (await run(command())).code == 0
            with pytest.raises(errors.InvalidArgumentError):
                await processes.start(command("\0"))
        gc.collect()
        return before, descriptors()[1]

    before, after = asyncio.run(many())
    assert after == before


def test_out_of_descriptors_is_an_error_not_a_hang(command: Callable[..., Command]) -> None:
    """With no descriptor left the start fails with a sentence, and works again afterwards."""

    async def look() -> int | None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors()[0], hard))
        try:
            held: list[int] = []
            with contextlib.suppress(OSError):
                while True:
                    held.append(os.open("/dev/null", os.O_RDONLY))
            with pytest.raises(errors.InternalError, match="Too many open files"):
                await processes.start(command())
            for descriptor in held:
                os.close(descriptor)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return (await run(command())).code

    assert asyncio.run(look()) == 0


def test_many_commands_at_once_all_get_their_own_code(command: Callable[..., Command], tmp_path: Path) -> None:
    """Fifty at once do not mix."""

    async def many() -> list[Exit]:
        return await asyncio.gather(
            *(run(command(f"exit {n}", log=tmp_path / f"{n}.log", exit_file=tmp_path / f"{n}.exit")) for n in range(50))
        )

    assert [ended.code for ended in asyncio.run(many())] == list(range(50))


def test_plain_command_looks_at_no_other_process(command: Callable[..., Command]) -> None:
    """A command without leftovers never pays for psutil."""
    made = command()
    program = "process.release(); await process.wait(); print('psutil:', 'psutil' in sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(DAEMON).format(then=program)],
        input=msgspec.json.encode(made, enc_hook=str),
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )

    assert b"psutil: False\n" in done.stderr


def test_poll_tells_the_end_where_the_system_cannot(tmp_path: Path) -> None:
    """Without a descriptor for processes the end is seen soon after, and signals go by number."""

    child = subprocess.Popen(["/bin/sh", "-c", "read x"], stdin=subprocess.PIPE, start_new_session=True)

    async def look() -> None:
        watch = exit_watch.ExitWatch(child.pid, poll=True)
        ended = asyncio.Event()
        watch.when_ended(ended.set)
        assert watch.signal(0)
        assert watch.signal_group(0)
        assert not ended.is_set()
        assert watch.signal_group(signal.SIGKILL)
        async with asyncio.timeout(30):
            await ended.wait()
        child.communicate()
        assert not watch.signal(0)
        assert not watch.signal_group(0)
        watch.close()

    asyncio.run(look())


def test_system_without_descriptors_for_processes_does_it_all(
    command: Callable[..., Command], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Codes, leftovers and ending are the same where the end of a process must be looked for."""

    def refuse(_pid: int, _flags: int = 0) -> int:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(os, "pidfd_open", refuse)

    async def look() -> tuple[list[int], Exit]:
        process = await processes.start(command(f"{RUNAWAY}; sleep 60"))
        process.release()
        await wait_until_async((tmp_path / "up").exists)
        return await process.end(30), await process.wait()

    ended = asyncio.run(run(command("sleep 60 & exit 5")))
    assert (ended.code, len(ended.leftovers)) == (5, 1)
    assert asyncio.run(look()) == ([], Exit(143, []))


def test_older_kernel_signals_the_group_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Linux 6.9 a pidfd cannot name a group; the number does it."""
    monkeypatch.setattr(exit_watch, "_PIDFD_SIGNAL_GROUP", 1 << 30)
    child = subprocess.Popen(["/bin/sh", "-c", "read x"], stdin=subprocess.PIPE, start_new_session=True)
    watch = exit_watch.ExitWatch(child.pid)

    assert watch.signal_group(signal.SIGTERM)
    assert child.wait() == -signal.SIGTERM
    assert not watch.signal_group(signal.SIGTERM)
    watch.close()
    child.communicate()


# The mark


@linux
def test_probe_shows_the_level(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried with a real process, and where the system refuses, that is said with its words."""
    assert marks.probe().whole

    def refuse(_pid: int, _resource: int, _limits: tuple[int, int] = (0, 0)) -> tuple[int, int]:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(resource, "prlimit", refuse)
    assert not marks.probe().whole
    assert "Operation not permitted" in marks.probe().sentence


@linux
def test_without_a_mark_everything_else_works(
    command: Callable[..., Command], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Session, environment and descendants still tell; that there is no mark is logged once."""

    def refuse(_pid: int, _resource: int, _limits: tuple[int, int] = (0, 0)) -> tuple[int, int]:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(resource, "prlimit", refuse)
    marks._tell.cache_clear()  # pyright: ignore[reportPrivateUsage]

    async def look() -> tuple[list[int], Exit]:
        await run(command())
        process = await processes.start(command(f"{RUNAWAY}; sleep 60"))
        process.release()
        await wait_until_async((tmp_path / "up").exists)
        return await process.end(30), await process.wait()

    assert asyncio.run(look()) == ([], Exit(143, []))
    assert is_gone(int((tmp_path / "up").read_text()))
    (said,) = [record.message for record in caplog.records if "cannot be marked" in record.message]
    assert "RLIMIT_LOCKS: [Errno 38]" in said


@linux
def test_mark_of_another_user_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """What may not be asked for by the call stands in a file that everybody may read."""
    mark = marks.of_step("01JOB", "fix")
    child = subprocess.Popen(["/bin/sh", "-c", "read x"], stdin=subprocess.PIPE)
    try:
        assert marks.put(child.pid, mark)

        def refuse(_pid: int, _resource: int) -> tuple[int, int]:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

        monkeypatch.setattr(resource, "prlimit", refuse)
        assert mark.is_on(child.pid)
        assert marks.of_job("01JOB").is_on(child.pid)
        assert not marks.of_step("01JOB", "other").is_on(child.pid)
        assert not marks.of_job("01OTHER").is_on(child.pid)
        assert not mark.is_on(os.getpid())
    finally:
        child.communicate(b"\n")


@linux
def test_process_whose_first_thread_ended_lives() -> None:
    """The system calls it a zombie, but its other threads run."""
    exit_thread = {"x86_64": 60, "aarch64": 93}.get(os.uname().machine)
    if exit_thread is None:
        pytest.skip("the number of the system call is not known")
    program = f"""
        import ctypes, threading, sys
        threading.Thread(target=sys.stdin.read).start()
        ctypes.CDLL(None).syscall({exit_thread}, 0)
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdin=subprocess.PIPE)
    try:
        wait_until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE)
        assert processes.identify(child.pid) is not None
    finally:
        child.kill()
        child.communicate()
