"""Starting, being found, being stuck and dying: one daemon a home, whatever lies around and whoever comes at once."""

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from daemon import processes, protocol
from tests import daemons
from tests.waiting import wait_until

PING = protocol.Ping()


def daemons_of(home: daemons.Home) -> set[int]:
    """The daemon processes of this home."""
    return {pid for pid in daemons.processes_of(home.root) if daemons.runs(pid) and is_daemon(pid)}


def the_daemon_of(home: daemons.Home) -> int:
    """The one that stays; who started it may still be ending."""
    wait_until(lambda: len(daemons_of(home)) == 1)
    return min(daemons_of(home))


def is_daemon(pid: int) -> bool:
    try:
        return psutil.Process(pid).cmdline()[1:4] == ["-P", "-m", "daemon"]
    except psutil.Error:
        return False


def pid_in(view: dict[str, Any]) -> int:
    """Of the daemon, which is the whole document or a part of it."""
    return int(view.get("daemon", view)["pid"])


def at_once(home: daemons.Home, *commands: list[str], **extra: str) -> "list[subprocess.CompletedProcess[str]]":
    """Run commands that begin at the same moment."""
    barrier = threading.Barrier(len(commands))
    done: list[subprocess.CompletedProcess[str]] = []

    def come(words: list[str]) -> None:
        barrier.wait(daemons.SECONDS)
        done.append(home.ca(*words, **extra))

    threads = [threading.Thread(target=come, args=[words]) for words in commands]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return done


def json_of(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["data"]


@pytest.mark.parametrize("words", [("daemon", "start"), ("daemon", "status"), ("status",)])
def test_eight_that_start_it_at_once_get_one_daemon_and_eight_answers(
    home: daemons.Home, words: tuple[str, ...]
) -> None:
    if words == ("daemon", "status"):
        home.start()
    done = at_once(home, *([[*words, "--format", "json"]] * 8))

    assert [one.returncode for one in done] == [0] * 8, [one.stderr for one in done]
    pids = {pid_in(json_of(one)) for one in done}
    assert len(pids) == 1
    wait_until(lambda: daemons_of(home) == pids)  # one that was refused the lock may still be ending


PAUSE = """
import fcntl, os, time
where, real, starter = {place!r}, fcntl.flock, os.getpid()

def say(word):
    open(f"{{where}}/{{word}}.{{os.getpid()}}", "w").close()

def until(word, number):
    while sum(name.startswith(word) for name in os.listdir(where)) < number:
        time.sleep(0.005)

def flock(descriptor, how):
    if os.getpid() == starter or os.path.exists(f"{{where}}/over"):
        return real(descriptor, how)
    say("came")
    until("came", 8)
    try:
        real(descriptor, how)
    except BlockingIOError:
        say("refused")
        raise
    until("refused", 7)
    open(f"{{where}}/over", "w").close()

fcntl.flock = flock
"""
"""Put into every process before anything else: all have found no daemon before the first of them may take the lock, and
the one that has it does nothing before all the others were refused."""


def test_eight_starts_that_are_held_at_the_lock_make_one_daemon(home: daemons.Home, tmp_path: Path) -> None:
    """The worst order of all: each saw that there is none, and seven were refused by one that does not serve yet."""
    place = tmp_path / "pause"
    place.mkdir()
    (place / "sitecustomize.py").write_text(PAUSE.format(place=str(place)))
    path = f"{place}:{os.environ.get('PYTHONPATH', '')}"
    done = at_once(home, *([["status", "--format", "json"]] * 8), PYTHONPATH=path)

    assert [one.returncode for one in done] == [0] * 8, [one.stderr for one in done]
    assert len(list(place.glob("came.*"))) == 8
    (pid,) = {pid_in(json_of(one)) for one in done}
    wait_until(lambda: daemons_of(home) == {pid})


def test_a_second_daemon_is_refused_and_the_first_goes_on(home: daemons.Home) -> None:
    first = home.start()
    word = home.launch().first_word()

    assert "running already" in word["error"]
    assert str(first.pid) in word["error"]
    assert first.ask(PING) == "pong"


def info_of(pid: int, **changes: object) -> bytes:
    good = {"pid": pid, "start_time": 1, "boot_id": "other", "version": "0", "socket": "/x", "url": None}
    return json.dumps({**good, **changes}).encode()


def stranger_info(pid: int) -> bytes:
    identity = processes.identify(pid)
    assert identity is not None
    return info_of(pid, start_time=identity.start_time, boot_id=identity.boot_id)


GARBAGE: dict[str, Callable[[int], bytes]] = {
    "a stranger": stranger_info,
    "a number that was reused": info_of,
    "another boot": lambda pid: info_of(pid, boot_id="00000000-0000-0000-0000-000000000000"),
    "nothing": lambda _pid: b"",
    "a negative number": lambda _pid: b"-1\n",
    "negative": lambda _pid: info_of(-1),
    "everybody": lambda _pid: info_of(0),
    "a bare number": lambda pid: str(pid).encode(),
    "text": lambda _pid: b"hello\n",
    "five megabytes": lambda _pid: b"1" * 5_000_000,
    "not UTF-8": lambda _pid: b'{"pid": "\xff"}',
    "a huge number": lambda _pid: info_of(2**70),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_whatever_the_pid_file_says_the_daemon_starts_and_signals_nobody(home: daemons.Home, name: str) -> None:
    """The file is information, never proof."""
    home.paths.create()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        home.paths.pid_file.write_bytes(GARBAGE[name](stranger.pid))

        daemon = home.start()
        assert daemon.ask(PING) == "pong"
        assert json_of(home.ca("daemon", "status", "--format", "json"))["pid"] == daemon.pid
        assert msgspec.json.decode(home.paths.pid_file.read_bytes())["pid"] == daemon.pid
        stopped = home.ca("daemon", "stop")

        assert stopped.returncode == 0, stopped.stderr
        assert stranger.poll() is None
        stranger.communicate(b"\n")


@pytest.mark.parametrize("kind", ["directory", "link", "pipe"])
def test_a_pid_file_that_is_no_file_is_no_obstacle_to_an_answer(home: daemons.Home, kind: str) -> None:
    """The daemon serves, or says by name what is in its way; it does not wait and does not follow a link."""
    home.paths.create()
    place, target = home.paths.pid_file, home.root / "target"
    target.write_text("mine")
    if kind == "directory":
        place.mkdir()
    elif kind == "link":
        place.symlink_to(target)
    else:
        os.mkfifo(place)

    word = home.launch().first_word()

    assert "ready" in word or str(place) in word["error"]
    assert target.read_text() == "mine"


def test_a_killed_daemon_is_replaced_by_the_next_command(home: daemons.Home, tmp_path: Path) -> None:
    """Its socket and its PID file are still there; nobody waits for anything because of them."""
    with daemons.temporary_home(tmp_path / "empty") as empty:
        cold = seconds_of_status(empty)
    first = home.start()
    first.kill()
    took = seconds_of_status(home)

    assert took < cold + protocol.HELLO_SECONDS - 1, "it waited for a hello"
    assert the_daemon_of(home) != first.pid


def seconds_of_status(home: daemons.Home) -> float:
    begin = time.monotonic()
    json_of(home.ca("status", "--format", "json"))
    return time.monotonic() - begin


def test_a_stopped_daemon_is_not_answering_and_gets_no_rival(home: daemons.Home) -> None:
    """SIGSTOP: the lock is still held; the command says so instead of waiting for ever."""
    daemon = home.start()
    daemon.process.send_signal(signal.SIGSTOP)
    try:
        done = at_once(home, ["status"], ["daemon", "start"])
    finally:
        daemon.process.send_signal(signal.SIGCONT)

    assert [one.returncode for one in done] == [5, 5]
    assert ["not answering" in one.stderr for one in done] == [True, True]
    wait_until(lambda: daemons_of(home) == {daemon.pid})
    assert daemon.ask(PING) == "pong"


def bad_config(home: daemons.Home) -> str:
    home.paths.config_file.write_text("[core\n")
    return "config.toml"


def bad_value(home: daemons.Home) -> str:
    home.paths.config_file.write_text('[core]\nlog-level = "loud"\n')
    return "core.log-level"


def damaged_store(home: daemons.Home) -> str:
    home.paths.database.write_bytes(b"not a database" * 1000)
    return "store.db"


def newer_store(home: daemons.Home) -> str:
    home.start().kill()
    connection = daemons.raw_store(home)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    return "version 99"


def lock_is_a_link(home: daemons.Home) -> str:
    home.paths.lock_file.symlink_to(home.root / "elsewhere")
    return "daemon.lock"


def data_is_a_file(home: daemons.Home) -> str:
    for directory in ("sandboxes", "repos", "backups", "environments"):
        (home.paths.data / directory).rmdir()
    home.paths.data.rmdir()
    home.paths.data.write_text("mine")
    return str(home.paths.data)


def log_is_a_directory(home: daemons.Home) -> str:
    home.paths.daemon_log.mkdir()
    return "daemon.log"


OBSTACLES = [bad_config, bad_value, damaged_store, newer_store, lock_is_a_link, data_is_a_file, log_is_a_directory]


@pytest.mark.parametrize("obstacle", OBSTACLES, ids=lambda obstacle: obstacle.__name__)
def test_a_start_that_fails_says_why(home: daemons.Home, obstacle: Callable[[daemons.Home], str]) -> None:
    """With the name of what is wrong and exit 5, not after a time-out; nothing stays behind."""
    home.paths.create()
    named = obstacle(home)

    done = home.ca("daemon", "start")

    assert done.returncode != 0
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    wait_until(lambda: not daemons_of(home))


def test_a_locked_store_is_named_at_the_start(home: daemons.Home) -> None:
    home.start().kill()
    holder = daemons.raw_store(home)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        done = home.ca("daemon", "start")
    finally:
        holder.execute("ROLLBACK")
        holder.close()

    assert done.returncode == 5
    assert "locked by another program" in done.stderr


def test_a_read_only_home_is_named_at_the_start(tmp_path: Path) -> None:
    """As a user for whom modes count, or on a file system that is read-only."""
    place = tmp_path / "ro"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(place)], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        place.chmod(0o500)
    try:
        with daemons.temporary_home(place / "h") as home:
            done = home.ca("daemon", "start")
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "-l", str(place)], check=True)
        place.chmod(0o700)

    assert done.returncode != 0
    assert str(place) in done.stderr
    assert "Traceback" not in done.stderr


def test_it_starts_from_a_directory_that_is_deleted(home: daemons.Home, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f'cd {gone} && rmdir {gone} && exec "{daemons.CA}" status --format json'
    done = subprocess.run(
        ["/bin/sh", "-c", script], env=home.environment(), capture_output=True, text=True, check=False, timeout=40
    )

    assert done.returncode == 0, done.stderr
    pid = the_daemon_of(home)
    assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")


def test_a_start_inside_a_substitution_returns(home: daemons.Home) -> None:
    """`x=$(ca daemon start)` waits for every holder of the pipe; the daemon is none."""
    done = subprocess.run(
        ["/bin/sh", "-c", f'x=$("{daemons.CA}" daemon start 2>&1); echo "got $x" | head -1'],
        env=home.environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )

    assert done.stdout.startswith("got ")
    assert the_daemon_of(home)


def test_a_start_with_closed_streams_works(home: daemons.Home) -> None:
    script = f'exec "{daemons.CA}" daemon start <&- >&- 2>&-'
    subprocess.run(["/bin/sh", "-c", script], env=home.environment(), check=False, timeout=20)

    with home.wire() as wire:
        assert wire.call(PING) == "pong"


def test_the_end_of_the_terminal_is_not_the_end_of_the_daemon(home: daemons.Home) -> None:
    """It has a session of its own, so a SIGHUP to the caller's group does not reach it."""
    # It is ignored under nohup, and a shell cannot change that.
    inherited = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    starter = subprocess.Popen(
        ["/bin/sh", "-c", f'"{daemons.CA}" daemon start >/dev/null 2>&1; echo up; cat'],
        env=home.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    signal.signal(signal.SIGHUP, inherited)
    with starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == b"up\n"
        os.killpg(starter.pid, signal.SIGHUP)
        starter.wait(daemons.SECONDS)

    with home.wire() as wire:
        assert wire.call(PING) == "pong"
    pid = the_daemon_of(home)
    assert os.getsid(pid) != starter.pid


def test_autostart_can_be_forbidden(home: daemons.Home) -> None:
    done = home.ca("plan", "list", CLEVERAGENTS_NO_AUTOSTART="1")

    assert done.returncode == 5
    assert "CLEVERAGENTS_NO_AUTOSTART" in done.stderr
    wait_until(lambda: not daemons_of(home))


def test_hangup_opens_the_log_again(home: daemons.Home) -> None:
    """After the log was moved away, what follows goes to a new file."""
    daemon = home.start()
    moved = home.paths.daemon_log.with_suffix(".old")
    home.paths.daemon_log.rename(moved)
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "SIGHUP" in moved.read_text())
    wait_until(home.paths.daemon_log.exists)  # the stacks of SIGQUIT go there too
    daemon.process.send_signal(signal.SIGQUIT)
    wait_until(lambda: "Current thread" in home.log())
    daemon.process.send_signal(signal.SIGTERM)
    daemon.wait_end()

    assert "stopping" in home.log()
    assert "stopping" not in moved.read_text()
    assert stat.S_IMODE(home.paths.daemon_log.stat().st_mode) == 0o600


def test_hangup_takes_the_new_log_level(home: daemons.Home) -> None:
    daemon = home.start()
    home.paths.config_file.write_text('[core]\nlog-level = "error"\n')
    daemon.process.send_signal(signal.SIGHUP)
    daemon.process.send_signal(signal.SIGTERM)
    daemon.wait_end()

    assert "stopping" not in home.log()


def test_hangup_with_a_broken_configuration_ends_nothing(home: daemons.Home) -> None:
    daemon = home.start()
    home.paths.config_file.write_text("[core\n")
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "SIGHUP" in home.log())

    assert daemon.ask(PING) == "pong"
    assert daemon.process.poll() is None


def test_quit_dumps_the_stacks_and_goes_on(home: daemons.Home) -> None:
    daemon = home.start()
    daemon.process.send_signal(signal.SIGQUIT)

    wait_until(lambda: "most recent call first" in home.log())
    assert "store-writer" in home.log() or "database.py" in home.log()
    assert daemon.ask(PING) == "pong"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_graceful_end_leaves_no_socket_no_pid_file_and_a_clean_store(
    home: daemons.Home, number: signal.Signals
) -> None:
    daemon = home.start()
    daemon.process.send_signal(number)
    assert daemon.wait_end() == 0

    assert not home.paths.socket.exists()
    assert not home.paths.pid_file.exists()
    connection = daemons.raw_store(home)
    row = connection.execute("SELECT value FROM meta WHERE key = 'clean'").fetchone()
    connection.close()
    assert row == ("1",)


def test_an_end_at_the_very_beginning_is_clean(home: daemons.Home) -> None:
    """SIGTERM as soon as it serves."""
    for _ in range(3):
        daemon = home.start()
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.wait_end() == 0


def test_an_end_while_clients_wait_is_prompt(home: daemons.Home, project: Path, gate: Path) -> None:
    """They are hung up on; the running step stays."""
    daemon = home.start()
    daemons.add_action(daemon, "work", [f"until [ -e {gate} ]; do sleep 0.02; done"])
    daemon.ask(daemons.use("work", [daemons.add_project(daemon, project)], name="p"))
    daemon.wait_for_step("p", "s1")
    with home.wire() as waiting:
        waiting.ask(protocol.PlanWait(plan="p"))
        daemon.process.send_signal(signal.SIGTERM)
        waiting.until_closed()
    assert daemon.wait_end() == 0
    gate.touch()


def test_running_out_of_descriptors_is_survived(home: daemons.Home) -> None:
    """Clients that find no room are not served; when some leave, others are."""
    daemon = home.start()
    psutil.Process(daemon.pid).rlimit(psutil.RLIMIT_NOFILE, (40, 40))
    wires: list[daemons.Wire] = []
    with contextlib.suppress(TimeoutError, daemons.ConnectionEnded, ConnectionError):
        for _ in range(60):
            wires.append(daemons.Wire(home.paths.socket, seconds=2))  # noqa: PERF401
    assert 5 < len(wires) < 60
    for wire in wires:
        wire.socket.close()

    def served() -> bool:
        try:
            return daemon.ask(PING) == "pong"
        except (OSError, daemons.ConnectionEnded):
            return False

    assert wait_until(served)
    assert daemon.process.poll() is None


def test_a_step_that_finds_no_descriptor_fails_with_the_reason(home: daemons.Home, project: Path) -> None:
    """The daemon can open nothing more when a job begins; later the plan goes on as if nothing had been."""
    daemon = home.start()
    daemons.add_action(daemon, "work", ["echo x > new.txt"])
    name = daemons.add_project(daemon, project)
    psutil.Process(daemon.pid).rlimit(psutil.RLIMIT_NOFILE, (psutil.Process(daemon.pid).num_fds() + 2, 4096))
    with home.wire() as wire:
        plan = wire.call(daemons.use("work", [name]))
        ended = wire.call(protocol.PlanWait(plan=plan.plan_id, timeout=30))
        psutil.Process(daemon.pid).rlimit(psutil.RLIMIT_NOFILE, (1024, 4096))
        assert ended.error is not None, ended
        assert "Too many open files" in ended.error.message, ended.error
        wire.call(protocol.PlanExecute(plan=plan.plan_id))
        assert wire.call(protocol.PlanWait(plan=plan.plan_id, timeout=30)).state == "complete"
    daemon.stop()


def test_a_log_at_its_cap_is_rotated(home: daemons.Home) -> None:
    """Before the first line of a new daemon; the oldest goes, and the new one is private."""
    home.paths.create()
    for number, path in enumerate([home.paths.daemon_log, *rotated(home)]):
        path.write_text(f"{number}\n" * 3_000_000)
    home.start().stop()

    assert [path.read_text(errors="replace")[:1] for path in rotated(home)] == ["0", "1", "2"]
    assert home.paths.daemon_log.stat().st_size < 100_000
    assert "serves" in home.log()
    assert stat.S_IMODE(home.paths.daemon_log.stat().st_mode) == 0o600


def rotated(home: daemons.Home) -> list[Path]:
    return [home.paths.daemon_log.with_name(f"{home.paths.daemon_log.name}.{number}") for number in (1, 2, 3)]


def test_a_log_that_cannot_be_rotated_ends_nothing(home: daemons.Home) -> None:
    """Something is in the way of the old log: the daemon serves."""
    home.paths.create()
    home.paths.daemon_log.write_text("x\n" * 3_000_000)
    (home.paths.daemon_log.with_name("daemon.log.1") / "mine").mkdir(parents=True)
    daemon = home.start()

    assert daemon.ask(PING) == "pong"
    daemon.stop()


def test_a_full_disk_at_the_start_is_the_reason(tmp_path: Path) -> None:
    """Not a time-out and not a traceback; with room again it starts."""
    with small_disk(tmp_path) as place, daemons.temporary_home(place / "h") as home:
        home.paths.create()
        fill(place / "filler")
        done = home.ca("daemon", "start")
        (place / "filler").unlink()

        assert done.returncode == 5
        assert "full" in done.stderr or "No space left" in done.stderr, done.stderr
        assert "Traceback" not in done.stderr
        assert home.start().ask(PING) == "pong"


@contextlib.contextmanager
def small_disk(tmp_path: Path) -> Generator[Path]:
    """A file system of four megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("no tmpfs may be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_told_to_the_client_and_survived(tmp_path: Path) -> None:
    """Requests that need no room are answered; once there is room, changes are made again; the end is clean."""
    with small_disk(tmp_path) as place, daemons.temporary_home(place / "h") as home:
        daemon = home.start()
        filler = place / "filler"
        fill(filler)
        codes = {refused(home, number) for number in range(40)}
        assert "disk_full" in codes
        assert codes <= {"disk_full", "done"}
        assert daemon.ask(PING) == "pong"
        filler.unlink()
        assert refused(home, 99) == "done"
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.wait_end() == 0


def fill(file: Path) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
    with contextlib.suppress(OSError):
        while True:
            os.write(descriptor, b"\0" * 4096)
    os.close(descriptor)


def refused(home: daemons.Home, number: int) -> str:
    """The code with which a change is refused, or `done`."""
    content = json.dumps({"name": f"a{number}", "description": "x" * 20_000, "steps": [{"id": "s", "run": "true"}]})
    with home.wire() as wire:
        request = wire.ask(protocol.ActionCreate(content=content.encode(), source="x"))
        answer = wire.receive()
    assert isinstance(answer, protocol.Reply | protocol.Failure)
    assert answer.id == request
    return answer.code if isinstance(answer, protocol.Failure) else "done"
