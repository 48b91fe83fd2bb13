"""Becoming a daemon and being the only one: real forks, real locks, hostile callers and hostile files."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from daemon import detach, processes
from daemon.detach import InstanceLock, PidFile
from store import clock, errors
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
NOBODY = 2**22 + 1  # above the largest number that Linux gives

CALLER = """
import json, os, signal, sys, time
from pathlib import Path
from daemon import detach
from store import errors

log = Path({log!r})

def serve(notify):
    notify.ready(str(os.getpid()))
    signal.pause()

{body}
"""
PRINT_IT = "print(detach.detach(main, log=log))"
PRINT_THE_ERROR = """
try:
    detach.detach(main, log=log)
except errors.CleverAgentsError as error:
    print(json.dumps([type(error).__name__, error.message, error.detail, error.suggestions]))
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "daemon.log"


@pytest.fixture
def script(log: Path) -> Callable[[str], list[str]]:
    """The command line of a caller that does `body`."""

    def make(body: str) -> list[str]:
        return [sys.executable, "-c", CALLER.format(log=str(log), body=textwrap.dedent(body))]

    return make


@pytest.fixture
def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def daemons() -> Iterator[list[int]]:
    """Numbers of daemons to end after the test."""
    started: list[int] = []
    yield started
    for pid in started:
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda pid=pid: processes.identify(pid) is None)


@pytest.fixture
def call(script: Callable[[str], list[str]], environment: dict[str, str]) -> Callable[..., str]:
    """Runs a caller with its output in a pipe until that pipe is closed by all, and gives the output."""

    def run(body: str, **options: Any) -> str:
        done = subprocess.run(
            script(body), env=environment, capture_output=True, text=True, check=False, timeout=20, **options
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


# The daemon and its caller


def test_caller_in_a_pipe_returns_while_the_daemon_serves(call: Callable[..., str], daemons: list[int]) -> None:
    """`x=$(ca daemon start)` returns: no end of the caller's pipes stays open in the daemon."""
    pid = int(call("main = serve\n" + PRINT_IT))
    daemons.append(pid)

    assert processes.identify(pid) is not None


def test_daemon_is_cut_off_from_its_caller(call: Callable[..., str], daemons: list[int], tmp_path: Path) -> None:
    """A session of its own that it does not lead, directory `/`, umask 077, its streams, and no other descriptor."""
    body = """
    kept = [os.dup(0) for _ in range(200)]
    for descriptor in kept:
        os.set_inheritable(descriptor, True)
    def main(notify):
        streams = [os.path.realpath(f"/dev/fd/{number}") for number in range(3)] if sys.platform == "linux" else []
        descriptors = sorted(map(int, os.listdir("/dev/fd")))[:-1]  # the last one is the listing
        umask = os.umask(0)
        parent = os.getppid()
        notify.ready(json.dumps([os.getpid(), os.getsid(0), os.getcwd(), umask, streams, descriptors]))
        signal.pause()
    """
    pid, session, cwd, umask, streams, descriptors = json.loads(call(body + "\n" + textwrap.indent(PRINT_IT, "    ")))
    daemons.append(pid)

    assert session not in {pid, os.getsid(0)}
    assert (cwd, umask) == ("/", 0o077)
    assert streams == ["/dev/null", str(tmp_path / "logs/daemon.log"), str(tmp_path / "logs/daemon.log")]
    assert len(descriptors) == 4  # the streams and the pipe to the caller


def test_what_the_daemon_prints_is_in_a_private_log(call: Callable[..., str], log: Path) -> None:
    """Both streams, also what is written at the very end and what no encoding can hold."""
    call(r"""
    def main(notify):
        print("to stdout \udcff")
        print("to stderr", file=sys.stderr)
        os.write(1, b"raw\n")
        notify.ready("")
        sys.stdout.write("no newline")
        assert sys.stdin.read() == ""
    detach.detach(main, log=log)
    """)

    wait_until(lambda: "no newline" in log.read_text())
    assert log.read_text() == "to stdout \\udcff\nto stderr\nraw\nno newline"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert stat.S_IMODE(log.parent.stat().st_mode) == 0o700


def test_buffered_output_of_the_caller_is_written_once(call: Callable[..., str]) -> None:
    """What the caller had not flushed yet appears once, in its own output."""
    body = """
    def main(notify):
        notify.ready("up")
    sys.stdout.write("before ")
    """

    assert call(body + "\n" + textwrap.indent(PRINT_IT, "    ")) == "before up"


@pytest.mark.parametrize("closed", ["0", "1", "2", "0, 1", "1, 2", "0, 1, 2"])
def test_caller_with_closed_streams_gets_its_daemon(
    script: Callable[[str], list[str]],
    environment: dict[str, str],
    log: Path,
    daemons: list[int],
    closed: str,
) -> None:
    """Descriptors 0 to 2 that are free do not mix up the pipe, the log and the streams."""
    answer = log.parent.parent / "answer"
    body = f"main = serve\nPath({str(answer)!r}).write_text(detach.detach(main, log=log))"
    redirections = " ".join(f"{number}<&-" for number in closed.split(", "))
    shell = ["/bin/sh", "-c", f'exec "$@" {redirections}', "sh", *script(body)]
    done = subprocess.run(shell, env=environment, check=False, timeout=20)
    daemons.append(int(answer.read_text()))

    assert done.returncode == 0
    assert log.read_text() == ""


def test_caller_in_a_deleted_directory_gets_its_daemon(
    call: Callable[..., str], daemons: list[int], tmp_path: Path
) -> None:
    """The daemon does not care where it was started."""
    gone = tmp_path / "gone"
    gone.mkdir()
    pid = int(call(f"os.chdir({str(gone)!r}); os.rmdir({str(gone)!r})\nmain = serve\n{PRINT_IT}"))
    daemons.append(pid)

    assert processes.identify(pid) is not None


def test_signals_of_the_caller_are_forgotten(call: Callable[..., str], daemons: list[int]) -> None:
    """Under nohup, behind `&`, with signals blocked or a handler set: the daemon starts afresh."""
    body = """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR1])
    def main(notify):
        odd = [number for number in range(1, 32) if signal.getsignal(number) != signal.SIG_DFL]
        notify.ready(json.dumps([os.getpid(), odd, len(signal.pthread_sigmask(signal.SIG_BLOCK, []))]))
        signal.pause()
    """
    pid, odd, blocked = json.loads(call(body + "\n" + textwrap.indent(PRINT_IT, "    ")))
    daemons.append(pid)

    assert odd == sorted([signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ])  # as every Python begins
    assert blocked == 0


def test_daemon_outlives_the_callers_session(
    script: Callable[[str], list[str]], environment: dict[str, str], daemons: list[int]
) -> None:
    """The terminal is closed: everything of the caller's group is killed, and the daemon goes on."""
    body = "main = serve\nprint(detach.detach(main, log=log), flush=True)\nsignal.pause()"
    with subprocess.Popen(
        script(body), env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as caller:
        assert caller.stdout is not None
        pid = int(caller.stdout.readline())
        daemons.append(pid)
        os.killpg(caller.pid, signal.SIGHUP)
        os.killpg(caller.pid, signal.SIGKILL)

    identity = processes.identify(pid)
    assert identity is not None
    assert os.getsid(pid) != caller.pid


def test_caller_leaves_no_zombie(call: Callable[..., str]) -> None:
    """The process between the two forks is reaped."""
    body = """
    import psutil
    def main(notify):
        notify.ready("")
    detach.detach(main, log=log)
    print(len(psutil.Process().children()))
    """

    assert call(body) == "0"


# Why it does not serve


@pytest.mark.parametrize("way", ["notify.failed(error)", "raise error"])
def test_error_of_the_daemon_is_raised_in_the_caller(call: Callable[..., str], way: str) -> None:
    """Its class, message, detail and suggestions arrive whole."""
    body = f"""
    def main(notify):
        error = errors.InvalidConfigError("bad \\u00e9", detail={{"key": ["a", 1]}}, suggestions=["do this"])
        {way}
    """
    told = json.loads(call(textwrap.dedent(body) + PRINT_THE_ERROR))

    assert told == ["InvalidConfigError", "bad é", {"key": ["a", 1]}, ["do this"]]


@pytest.mark.parametrize(
    ("death", "said"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "about to"),
        ("os._exit(0)", "about to"),
        ("raise RuntimeError('broken')", "RuntimeError: broken"),
        ("raise SystemExit('enough')", "about to"),
        ("pass", "about to"),
    ],
)
def test_daemon_that_dies_silently_is_told_with_its_last_lines(
    call: Callable[..., str], log: Path, death: str, said: str
) -> None:
    """The error names the log and shows what this daemon, not an earlier one, wrote last."""
    log.parent.mkdir()
    log.write_text("an earlier daemon\n")
    body = f"""
    def main(notify):
        print("about to")
        {death}
    """
    kind, message, detail, _ = json.loads(call(textwrap.dedent(body) + PRINT_THE_ERROR))

    assert kind == "InternalError"
    assert said in message
    assert detail["log"] == str(log)
    assert detail["last_lines"][0] == "about to"


def test_daemon_that_dies_without_a_word_is_told(call: Callable[..., str], log: Path) -> None:
    """Even an empty log is something to say."""
    kind, message, detail, _ = json.loads(call("def main(notify):\n    os._exit(3)\n" + PRINT_THE_ERROR))

    assert kind == "InternalError"
    assert "its log says nothing" in message
    assert detail == {"log": str(log), "last_lines": []}


def test_only_the_first_word_counts(call: Callable[..., str]) -> None:
    """What comes after `ready` neither changes the answer nor fails, caller gone or not."""
    body = """
    def main(notify):
        notify.ready("first")
        notify.ready("second")
        notify.failed(errors.LostError("third"))
        raise errors.LostError("fourth")
    """

    assert call(body + "\n" + textwrap.indent(PRINT_IT, "    ")) == "first"


def test_word_longer_than_a_pipe_arrives_whole(call: Callable[..., str]) -> None:
    """A megabyte is more than any pipe holds at once."""
    body = """
    def main(notify):
        notify.ready("x" * 1_000_000)
    """

    assert call(body + "\n" + textwrap.indent(PRINT_IT, "    ")) == "x" * 1_000_000


def test_dead_caller_does_not_hurt_the_daemon(
    script: Callable[[str], list[str]], environment: dict[str, str], tmp_path: Path, daemons: list[int]
) -> None:
    """The caller is killed while it waits; the daemon says its word to nobody and serves."""
    body = f"""
    place = Path({str(tmp_path)!r})
    def main(notify):
        (place / "up").touch()
        while not (place / "go").exists():
            time.sleep(0.01)
        notify.ready("")
        (place / "new").write_text(str(os.getpid()))
        (place / "new").rename(place / "serves")
        signal.pause()
    detach.detach(main, log=log)
    """
    with subprocess.Popen(script(body), env=environment) as caller:
        wait_until((tmp_path / "up").exists)
        caller.kill()
    (tmp_path / "go").touch()

    wait_until((tmp_path / "serves").exists)
    daemons.append(int((tmp_path / "serves").read_text()))
    assert processes.identify(daemons[0]) is not None


@pytest.mark.parametrize("kind", ["directory", "symlink", "under a file"])
def test_log_that_cannot_be_opened_is_an_error_at_once(tmp_path: Path, kind: str) -> None:
    """Nothing is forked; the caller hears which file it was."""
    place = tmp_path / "daemon.log"
    match kind:
        case "directory":
            place.mkdir()
        case "symlink":
            place.symlink_to(tmp_path / "elsewhere")
        case _:
            place.touch()
            place /= "log"

    with pytest.raises(errors.CleverAgentsError, match=r"daemon\.log"):
        detach.detach(lambda notify: notify.ready(""), log=place)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(("free", "said"), [(0, "Too many"), (1, "Too many"), (3, "Too many"), (4, "up")])
def test_out_of_descriptors_is_told(call: Callable[..., str], free: int, said: str) -> None:
    """A caller that can open almost nothing more hears it at once, or gets its daemon."""
    body = f"""
    import resource
    def main(notify):
        notify.failed(errors.LostError("up"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
    held = []
    try:
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    for _ in range({free}):
        os.close(held.pop())
    """
    _, message, *_ = json.loads(call(textwrap.dedent(body) + PRINT_THE_ERROR))

    assert said in message


# The instance lock


def test_second_holder_gets_none_until_the_first_is_gone(tmp_path: Path) -> None:
    """One at a time; the file stays."""
    path = tmp_path / "daemon.lock"
    first = InstanceLock.acquire(path)
    assert first is not None
    assert InstanceLock.acquire(path) is None

    first.release()
    first.release()
    again = InstanceLock.acquire(path)
    assert again is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again.release()
    assert path.exists()


def test_lock_is_free_when_its_holder_was_killed(tmp_path: Path, environment: dict[str, str]) -> None:
    """The kernel lets go of it, and a command that the holder started does not keep it."""
    path = tmp_path / "daemon.lock"
    program = (
        "import os, signal, pathlib\n"
        "from daemon.detach import InstanceLock\n"
        f"lock = InstanceLock.acquire(pathlib.Path({str(path)!r}))\n"
        "quiet = [(os.POSIX_SPAWN_OPEN, 1, '/dev/null', 1, 0)]\n"
        "child = os.posix_spawn('/bin/sleep', ['sleep', '60'], {}, file_actions=quiet)\n"
        "print(child, flush=True)\n"
        "signal.pause()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        child = int(holder.stdout.readline())
        assert InstanceLock.acquire(path) is None
        holder.kill()

    lock = InstanceLock.acquire(path)
    os.kill(child, signal.SIGKILL)
    assert lock is not None
    lock.release()


def test_eight_at_once_make_one_instance(tmp_path: Path, environment: dict[str, str]) -> None:
    """Exactly one of eight processes that start together holds the lock."""
    program = (
        "import sys, pathlib\n"
        "from daemon.detach import InstanceLock\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        f"lock = InstanceLock.acquire(pathlib.Path({str(tmp_path / 'lock')!r}))\n"
        "print('mine' if lock else 'taken', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", program], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(8)
    ]
    answers = [_line(racer) for racer in racers]
    assert answers == ["ready"] * 8

    for racer in racers:
        _go(racer)
    answers = [_line(racer) for racer in racers]
    for racer in racers:
        racer.communicate()

    assert sorted(answers) == ["mine"] + ["taken"] * 7


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_something_else_at_the_locks_place_is_refused_and_untouched(tmp_path: Path) -> None:
    """A link, a directory, a pipe or a missing directory: each is an error that names the place."""
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(errors.PermissionDeniedError, match="symbolic link"):
        InstanceLock.acquire(tmp_path / "link")
    with pytest.raises(errors.InvalidConfigError, match="pipe"):
        InstanceLock.acquire(tmp_path / "pipe")
    with pytest.raises(errors.CleverAgentsError, match="directory"):
        InstanceLock.acquire(tmp_path / "directory")
    with pytest.raises(errors.NotFoundError, match="missing"):
        InstanceLock.acquire(tmp_path / "missing" / "lock")
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize(("number", "kind"), [("ENOLCK", errors.InvalidConfigError), ("EIO", errors.InternalError)])
def test_file_system_without_locks_is_named(
    tmp_path: Path, environment: dict[str, str], number: str, kind: type[errors.CleverAgentsError]
) -> None:
    """The system call is made to fail as on such a file system; the error says what to do."""
    program = (
        "import errno, fcntl, os, pathlib\n"
        "from daemon.detach import InstanceLock\n"
        "from store import errors\n"
        "def refuse(descriptor, operation):\n"
        f"    raise OSError(errno.{number}, os.strerror(errno.{number}))\n"
        "fcntl.flock = refuse\n"
        "try:\n"
        f"    InstanceLock.acquire(pathlib.Path({str(tmp_path / 'lock')!r}))\n"
        "except errors.CleverAgentsError as error:\n"
        "    print(type(error).__name__, error.message)\n"
    )
    said = subprocess.check_output([sys.executable, "-c", program], env=environment, text=True)

    assert said.startswith(f"{kind.__name__} ")
    assert str(tmp_path / "lock") in said


# The PID file


@pytest.fixture
def pid_file(tmp_path: Path) -> Path:
    return tmp_path / "daemon.pid"


def here(**changes: Any) -> PidFile:
    return msgspec.structs.replace(PidFile.here(version="1.0", socket="/run/s"), **changes)


def test_pid_file_of_a_live_process_names_its_holder(pid_file: Path) -> None:
    """What was written is read, is private, and is believed because the process is the same."""
    PidFile.write(pid_file, here())

    assert PidFile.read(pid_file) == here()
    assert PidFile.holder(pid_file) == here()
    assert here().identity == processes.identify(os.getpid())
    assert stat.S_IMODE(pid_file.stat().st_mode) == 0o600
    assert list(pid_file.parent.iterdir()) == [pid_file]


@pytest.mark.parametrize(
    "changes",
    [{"pid": NOBODY}, {"pid": 2**40}, {"start_time": 1}, {"boot_id": "another"}],
    ids=["dead", "no number at all", "reused", "other boot"],
)
def test_stale_pid_file_has_no_holder_and_is_not_removed(pid_file: Path, changes: dict[str, Any]) -> None:
    """A number alone, of whatever process, proves nothing."""
    PidFile.write(pid_file, here(**changes))

    assert PidFile.holder(pid_file) is None
    PidFile.remove(pid_file)
    assert PidFile.read(pid_file) == here(**changes)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234\n",
        b"-1",
        b"text",
        b"\xff\xfe\x00",
        b"{",
        b"null",
        b"[" * 3000,
        b'{"pid": "1", "start_time": 1, "boot_id": "b", "version": "1"}',
        b'{"pid": 0, "start_time": 1, "boot_id": "b", "version": "1"}',
        b'{"pid": -1, "start_time": 1, "boot_id": "b", "version": "1"}',
        b'{"pid": 1}',
        b"x" * 5_000_000,
        b" " * 5_000_000 + b'{"pid": 1, "start_time": 1, "boot_id": "b", "version": "1"}',
    ],
    ids=lambda content: repr(content[:24]),
)
def test_garbage_is_no_pid_file(pid_file: Path, content: bytes) -> None:
    """Whatever the file holds, reading it neither fails nor names anybody, and writing replaces it."""
    pid_file.write_bytes(content)

    assert PidFile.read(pid_file) is None
    assert PidFile.holder(pid_file) is None
    PidFile.remove(pid_file)
    assert pid_file.read_bytes() == content
    PidFile.write(pid_file, here())
    assert PidFile.read(pid_file) == here()


@pytest.mark.parametrize("kind", ["nothing", "directory", "symlink", "pipe", "socket"])
def test_what_is_no_file_is_no_pid_file(pid_file: Path, kind: str) -> None:
    """It is not read, not followed and not removed."""
    match kind:
        case "directory":
            pid_file.mkdir()
        case "symlink":
            PidFile.write(pid_file.with_name("other"), here())
            pid_file.symlink_to("other")
        case "pipe":
            os.mkfifo(pid_file)
        case "socket":
            with socket.socket(socket.AF_UNIX) as bound:
                bound.bind(os.fspath(pid_file))
        case _:
            pass
    before = os.path.lexists(pid_file)

    assert PidFile.read(pid_file) is None
    assert PidFile.holder(pid_file) is None
    PidFile.remove(pid_file)
    assert os.path.lexists(pid_file) == before


def test_own_pid_file_is_removed(pid_file: Path) -> None:
    """Only the process that it names takes it away."""
    PidFile.write(pid_file, here())
    PidFile.remove(pid_file)

    assert not pid_file.exists()


def test_pid_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """The error names the file, and nothing half written stays."""
    (tmp_path / "daemon.pid").mkdir()
    with pytest.raises(errors.CleverAgentsError, match=r"daemon\.pid"):
        PidFile.write(tmp_path / "daemon.pid", here())
    with pytest.raises(errors.NotFoundError):
        PidFile.write(tmp_path / "missing" / "daemon.pid", here())

    assert [path.name for path in tmp_path.iterdir()] == ["daemon.pid"]


def _nobody(_pid: int) -> None:
    return None


def test_process_that_cannot_tell_its_start_writes_no_pid_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its start time a process could not be told from a later one."""
    monkeypatch.setattr(processes, "identify", _nobody)
    with pytest.raises(errors.InternalError):
        PidFile.here(version="1.0")

    assert clock.boot_id()
