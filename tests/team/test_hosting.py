"""A team server in the background: started once, found, ended, killed, and started again."""

import contextlib
import fcntl
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from daemon import processes
from daemon.team import granting, wire
from store import clock
from tests.homes import Home
from tests.team.hosts import NAMESPACE, Host, call, names, push, read_pid_file
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def host(home: Home) -> Iterator[Host]:
    """A home of the test's own; whatever serves in it ends with it."""
    host = Host(home)
    yield host
    for process in host.processes():
        with contextlib.suppress(psutil.Error):
            process.kill()


@pytest.fixture
def stranger() -> Iterator[psutil.Popen]:
    """A process that has nothing to do with any server."""
    with psutil.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


# --- once ---------------------------------------------------------------------------------------------------------------


def test_start_tells_where_it_answers_and_stop_leaves_nothing(host: Host) -> None:
    started = host.start()

    assert httpx.get(f"{started['url']}/health").json()["status"] == "ok"
    noted = read_pid_file(host.pid_file)
    assert (noted["pid"], noted["url"]) == (started["pid"], started["url"])
    assert (started["pid_file"], started["log"]) == (str(host.pid_file), str(host.log))
    assert [found.pid for found in host.processes()] == [started["pid"]]

    assert host.stop() == {"running": False, "stopped": True, "pid": started["pid"]}
    assert host.processes() == []
    assert not host.pid_file.exists()
    assert "serves" in host.said()
    assert "has ended" in host.said()


def test_a_second_start_is_told_where_the_first_one_is(host: Host) -> None:
    first = host.start()

    error = host.refused(code=4)
    elsewhere = host.refused("--pid-file", str(host.home.root / "other.pid"), code=4)

    assert error["code"] == "already_running"
    assert error["detail"] == elsewhere["detail"] == {"pid": first["pid"], "url": first["url"]}
    assert first["url"] in error["message"]
    assert str(first["pid"]) in error["message"]
    assert "already" in host.said()


def test_stop_without_a_server_says_so(host: Host) -> None:
    assert host.stop() == {"running": False, "stopped": False, "pid": None}

    host.start()
    host.stop()
    assert host.stop()["stopped"] is False


def test_two_starts_at_once_have_one_server(host: Host) -> None:
    starting = [host.home.spawn("server", "start", "--port", "0", "--format", "json") for _ in range(2)]

    documents = [json.loads(process.communicate(timeout=40)[0]) for process in starting]

    (started,) = [found["data"] for found in documents if found["status"] == "ok"]
    (refused,) = [found["error"] for found in documents if found["status"] == "error"]
    assert refused["detail"]["url"] == started["url"]
    # who was refused may still be on its way out
    wait_until(lambda: [found.pid for found in host.processes()] == [started["pid"]])


def test_a_store_that_somebody_else_holds_is_left_alone(host: Host) -> None:
    """The lock is the proof, whether or not anybody is noted."""
    host.data.mkdir(parents=True)
    lock = granting.lock_file(host.data / "server.db")
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        error = host.refused(code=4)

    assert error["code"] == "already_running"
    assert error["detail"] == {"pid": None, "url": None}
    assert not (host.data / "server.db").exists()


def test_two_servers_of_one_home_have_their_own_pid_files(host: Host) -> None:
    other = str(host.home.root / "other.pid")
    first = host.start()
    second = host.start("--database", str(host.home.root / "other.db"), "--pid-file", other)

    push(second["url"], "here")
    assert (names(first["url"]), names(second["url"])) == ([], ["here"])
    assert read_pid_file(host.pid_file)["pid"] == first["pid"]
    assert host.stop("--pid-file", other)["pid"] == second["pid"]
    assert not Path(other).exists()
    assert host.stop()["pid"] == first["pid"]


def test_a_server_with_a_pid_file_of_its_own_is_found_without_naming_it(host: Host) -> None:
    """The home knows its server wherever else it is noted."""
    given = host.home.root / "run.pid"
    started = host.start("--pid-file", str(given))

    assert started["pid_file"] == str(given)
    assert host.stop()["pid"] == started["pid"]
    assert not given.exists()


def reused(stranger: psutil.Popen) -> bytes:
    return noted(stranger.pid, 1, clock.boot_id())


def other_boot(stranger: psutil.Popen) -> bytes:
    found = processes.identify(stranger.pid)
    assert found is not None
    return noted(stranger.pid, found.start_time, "00000000-0000-0000-0000-000000000000")


def no_server(stranger: psutil.Popen) -> bytes:
    """A living process, recognised, that is no server."""
    found = processes.identify(stranger.pid)
    assert found is not None
    content = json.loads(noted(stranger.pid, found.start_time, found.boot_id))
    return json.dumps({**content, "url": None, "socket": "/tmp/x"}).encode()


def noted(pid: int, start_time: int, boot_id: str) -> bytes:
    content = {"pid": pid, "start_time": start_time, "boot_id": boot_id, "version": "0.1.0", "url": "http://x:1"}
    return json.dumps(content).encode()


def no_pid_file(_stranger: psutil.Popen) -> bytes:
    return b"7" * 5_000_000


@pytest.mark.parametrize("content", [reused, other_boot, no_server, no_pid_file], ids=lambda content: content.__name__)
def test_a_stale_pid_file_stops_nobody_and_is_replaced(
    host: Host, stranger: psutil.Popen, content: Callable[[psutil.Popen], bytes]
) -> None:
    host.data.mkdir(parents=True)
    host.pid_file.write_bytes(content(stranger))

    assert host.stop() == {"running": False, "stopped": False, "pid": None}
    started = host.start()

    assert read_pid_file(host.pid_file)["pid"] == started["pid"]
    assert stranger.is_running()


# --- refused -------------------------------------------------------------------------------------------------------------


def test_a_port_that_is_taken_is_told_by_start(host: Host) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        error = host.home.error("server", "start", "--port", port, code=2)

    assert error["code"] == "invalid_argument"
    assert port in error["message"]
    assert port in host.said()
    wait_until(lambda: not host.processes())
    assert not host.pid_file.exists()


@pytest.mark.parametrize("name", ["nosuch.invalid", "192.0.2.7", "a" * 300, ""])
def test_a_host_that_is_none_is_told_by_start(home: Home, name: str) -> None:
    error = Host(home).refused("--host", name, code=2)

    assert error["code"] == "invalid_argument"
    assert error["suggestions"]


def test_a_pid_file_or_a_store_that_cannot_be_written_is_told_by_start(home: Home) -> None:
    host = Host(home)
    directory = home.root / home.fresh("directory")
    directory.mkdir()
    text = home.root / home.fresh("text")
    text.write_text("a diary\n")

    assert host.refused("--pid-file", str(directory), code=2)["code"] == "invalid_argument"
    assert host.refused("--pid-file", str(directory / "no" / "pid"), code=3)["code"] == "not_found"
    assert host.refused("--database", str(directory / "no" / "server.db"), code=3)["code"] == "not_found"
    assert host.refused("--database", str(text), code=1)["code"] == "store_damaged"
    assert "/proc/" in host.refused("--database", "/proc/server.db", code=3)["message"]
    assert text.read_text() == "a diary\n"
    assert not host.pid_file.exists()


def test_other_machines_need_a_token(host: Host) -> None:
    """Without one the server is for loopback; with one everybody needs it, on loopback too."""
    error = host.refused("--host", "0.0.0.0", code=1)
    assert error["code"] == "forbidden"
    assert "ca server token create" in error["suggestions"][0]

    token = host.token()
    document = host.home.document("server", "start", "--port", "0", "--host", "0.0.0.0")
    url = f"http://127.0.0.1:{document['data']['url'].rpartition(':')[2]}"

    assert any("TLS" in message for message in document["messages"])
    assert httpx.get(f"{url}/health").status_code == 200
    assert httpx.post(f"{url}{wire.RPC_PATH}", json={}).status_code == 401
    push(url, "mine", token=token)
    assert names(url, token) == ["mine"]


def test_a_token_made_or_revoked_while_it_runs_counts_at_once(host: Host) -> None:
    url = host.start()["url"]
    push(url, "before")

    token = host.token("--name", "ci")
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        names(url)
    assert names(url, token) == ["before"]
    host.home.data("server", "token", "revoke", "ci", "--yes")
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        names(url, token)


# --- places --------------------------------------------------------------------------------------------------------------


def test_ipv6(host: Host) -> None:
    url = host.start("--host", "::1")["url"]

    assert url.startswith("http://[::1]:")
    push(url, "six")
    assert names(url) == ["six"]


def test_start_returns_inside_of_a_command_substitution(host: Host) -> None:
    """No descriptor of the caller stays open in the server or its workers."""
    done = host.home.run_shell('x=$("$@" 2>&1); echo "got: $x"', "server", "start", "--port", "0", "--workers", "2")

    assert "got: ▶ the team server is running at http://127.0.0.1:" in done.out
    assert host.stop()["stopped"] is True


def test_start_from_a_directory_that_goes_away(host: Host) -> None:
    leaving = host.home.root / "leaving"
    leaving.mkdir()

    url = host.start("--workers", "2", "--database", "server.db", cwd=leaving)["url"]

    assert (leaving / "server.db").exists()
    push(url, "there")
    assert names(url) == ["there"]


def test_a_long_log_is_put_aside(host: Host) -> None:
    host.log.parent.mkdir(parents=True)
    host.log.write_bytes(b"old\n" * 1_500_000)

    host.start()

    assert host.log.with_name("server.log.1").stat().st_size == 6_000_000
    assert "old" not in host.said()


def test_nothing_of_it_can_be_read_by_others(host: Host) -> None:
    host.token()
    host.start()

    made = [path for path in host.data.iterdir() if path.name.startswith("server.")] + [host.log]
    assert len(made) >= 4
    assert [path for path in made if path.stat().st_mode & 0o077] == []


def test_in_the_foreground_it_says_when_it_answers_and_ends_by_a_signal(host: Host) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        with host.home.spawn("server", "serve", "--port", "0") as serving:
            assert serving.stdout is not None
            ready = json.loads(serving.stdout.readline())["ready"]
            assert ready["pid"] == serving.pid
            assert httpx.get(f"{ready['url']}/health").status_code == 200
            second = host.home.run("server", "serve", "--port", "0", code=4)
            assert (second.out, ready["url"] in second.err) == ("", True)
            assert host.refused(code=4)["detail"]["url"] == ready["url"]

            serving.send_signal(number)
            assert serving.wait(20) == 0
    assert not host.pid_file.exists()


# --- the end -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", ["1", "2"])
def test_open_streams_end_with_the_server(host: Host, workers: str) -> None:
    """Nobody is waited for until a time-out cuts them off."""
    url = host.start("--workers", workers)["url"]
    opened, ended = threading.Semaphore(0), threading.Semaphore(0)

    def listen() -> None:
        parameters = {"namespace": NAMESPACE}
        with httpx.stream("GET", f"{url}{wire.EVENTS_PATH}", params=parameters, timeout=60) as stream:
            assert stream.status_code == 200
            opened.release()
            for _ in stream.iter_raw():
                pass
        ended.release()

    listeners = [threading.Thread(target=listen, daemon=True) for _ in range(3)]
    for listener in listeners:
        listener.start()
    for _ in listeners:
        assert opened.acquire(timeout=20)

    document = host.home.document("server", "stop", "--timeout", "30")

    assert (document["data"]["stopped"], document["messages"]) == (True, [])
    for _ in listeners:
        assert ended.acquire(timeout=20)
    assert "timeout graceful shutdown exceeded" not in host.said()
    wait_until(lambda: not host.processes())


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_that_does_not_end_is_killed_with_its_workers(host: Host, workers: str) -> None:
    started = host.start("--workers", workers)
    os.kill(started["pid"], signal.SIGSTOP)

    document = host.home.document("server", "stop", "--timeout", "0.2")

    assert document["data"]["stopped"] is True
    assert "killed" in document["messages"][0]
    wait_until(lambda: not host.processes())
    assert not host.pid_file.exists()
    assert host.start("--workers", workers)["pid"] != started["pid"]


def test_it_starts_again_at_the_same_port_after_its_master_was_killed(host: Host) -> None:
    """Workers notice that they are alone; nothing that was acknowledged is lost."""
    first = host.start("--workers", "2")
    port = first["url"].rpartition(":")[2]
    push(first["url"], "kept")
    os.kill(first["pid"], signal.SIGKILL)

    second = host.home.data("server", "start", "--port", port, "--workers", "2")

    assert second["url"] == first["url"]
    assert names(second["url"]) == ["kept"]
    wait_until(lambda: {found.pid for found in host.processes()} == family(second["pid"]))


def family(master: int) -> set[int]:
    return {master, *(child.pid for child in psutil.Process(master).children())}


def test_killed_in_the_middle_of_a_push_it_loses_nothing_that_it_acknowledged(host: Host) -> None:
    for place in ("store.before-commit:4", "store.after-commit:4"):
        url = host.start(env={"CLEVERAGENTS_CRASH_AT": place})["url"]
        stem = place.partition(".")[2].partition(":")[0]
        acknowledged = pushed_until_it_died(url, stem)
        assert acknowledged

        url = host.start()["url"]
        lost = f"{stem}-{len(acknowledged)}"
        kept = [name for name in names(url) if name.startswith(stem)]
        assert kept == [*acknowledged, *([lost] if stem == "after-commit" else [])]
        revision = push(url, lost)["revision"]
        assert push(url, lost)["revision"] == revision
        host.stop()


def pushed_until_it_died(url: str, stem: str) -> list[str]:
    """What was acknowledged of a row of pushes."""
    acknowledged: list[str] = []
    with contextlib.suppress(httpx.TransportError):
        while len(acknowledged) < 20:
            push(url, f"{stem}-{len(acknowledged)}")
            acknowledged.append(f"{stem}-{len(acknowledged)}")
    assert len(acknowledged) < 20, "it did not die"
    return acknowledged


# --- several processes -----------------------------------------------------------------------------------------------------


def test_workers_share_the_store_and_a_killed_one_is_replaced(host: Host) -> None:
    started = host.start("--workers", "2")
    url, master = started["url"], started["pid"]
    one, other = two_workers(host, master)

    # Whoever is killed cannot answer: each write is made by another process, and read by whoever is there.
    one.kill()
    push(url, "first")
    newcomer = wait_until(lambda: set(host.workers(master)) - {one, other})
    other.kill()
    push(url, "second")

    assert names(url) == ["first", "second"]
    wait_until(lambda: len(set(host.workers(master)) - {one, other} - newcomer) == 1)
    assert host.stop()["pid"] == master
    wait_until(lambda: not host.processes())


def test_both_workers_answer(host: Host) -> None:
    """One is stopped for a moment, so that the other has to."""
    started = host.start("--workers", "2")
    workers = two_workers(host, started["pid"])

    for number, sleeping in enumerate(workers):
        sleeping.suspend()
        push(started["url"], f"entity-{number}")
        sleeping.resume()

    assert names(started["url"]) == ["entity-0", "entity-1"]
    assert host.workers(started["pid"]) == workers


def two_workers(host: Host, master: int) -> list[psutil.Process]:
    wait_until(lambda: len(host.workers(master)) == 2)
    return host.workers(master)


IMPATIENT = """
from daemon.team import orders, serving
from store import errors

serving.ANSWER_SECONDS = 1.0
order = orders.Serve(host="127.0.0.1", port=0, workers=2, log_level="info", database=None, rate_limit=0)
try:
    serving.serve(order, print)
except errors.TimedOutError as error:
    print(error.message)
"""


def test_workers_that_never_answer_are_not_waited_for(host: Host) -> None:
    """Another program has their store for itself when they open it."""
    environ = {**host.home.environ, "PYTHONPATH": str(ROOT)}
    database = host.data / "server.db"
    note = granting.lock_file(database)
    complaints = host.home.root / "complaints"
    with complaints.open("w") as stderr:
        command = [sys.executable, "-c", IMPATIENT]
        process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=stderr, text=True)

    wait_until(lambda: note.exists() and note.read_bytes())
    with contextlib.closing(sqlite3.connect(database)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        wait_until(lambda: "Received SIGTERM" in complaints.read_text())

    assert process.communicate(timeout=40)[0].startswith("the team server did not answer within 1 s")
    wait_until(lambda: not host.processes())


WITHOUT_A_STORE = """
import sys
from pathlib import Path
from daemon.team import listening, web
from store import errors

bound = listening.bind(listening.Place.of("127.0.0.1"), 0, patience=0)
settings = web.Settings(Path("/nonexistent/server.db"), workers=int(sys.argv[1]), rate=0, log_level="info")
try:
    web.serve(settings, bound)
except errors.InternalError as error:
    print(error.message)
"""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_processes_that_cannot_open_the_store_end_the_server(workers: str) -> None:
    command = [sys.executable, "-c", WITHOUT_A_STORE, workers]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}

    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=40)

    assert done.stdout == "the team server could not start; its log says why\n"
    assert "/nonexistent/server.db" in done.stderr


# --- connections -----------------------------------------------------------------------------------------------------------

LIMITED = """
import sys
from pathlib import Path
from daemon.team import listening, web
from store import team_opening

database = Path(sys.argv[1])
team_opening.prepare(database)
bound = listening.bind(listening.Place.of("127.0.0.1"), 0, patience=0)
print(bound.getsockname()[1], flush=True)
web.serve(
    web.Settings(database, workers=1, rate=0, log_level="info", connections=3, head_seconds=float(sys.argv[2])), bound
)
"""


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Callable[[float], int]]:
    """Starts a server with small limits; its port."""
    started: list[subprocess.Popen[str]] = []

    def start(head_seconds: float) -> int:
        command = [sys.executable, "-c", LIMITED, str(tmp_path / "server.db"), str(head_seconds)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        return int(process.stdout.readline())

    yield start
    for process in started:
        with process:
            process.terminate()


def test_a_client_that_never_finishes_its_head_is_let_go(limited: Callable[[float], int]) -> None:
    port = limited(1)

    for beginning in (b"", b"GET /health HTTP/1.1\r\nHost:"):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            client.sendall(beginning)
            assert ended(client)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b""
        while not answer.endswith(b"}"):
            answer += client.recv(4096) or pytest.fail("it was let go with its head whole")
        assert answer.startswith(b"HTTP/1.1 200 OK")
        client.sendall(b"GET /health HTTP/1.1\r\nHost")
        assert ended(client)


def test_one_connection_too_many_is_told_and_far_too_many_are_closed(limited: Callable[[float], int]) -> None:
    port = limited(60)
    url = f"http://127.0.0.1:{port}/health"
    assert httpx.get(url).status_code == 200

    silent = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(3)]
    wait_until(lambda: httpx.get(url).status_code == 503)
    silent += [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(5)]
    assert ended(silent[-1])
    for client in silent:
        client.close()
    wait_until(lambda: answers(url))


def answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


def ended(client: socket.socket) -> bool:
    """Whether the other end closes the connection without another word."""
    try:
        return client.recv(4096) == b""
    except ConnectionResetError:
        return True


def test_requests_are_limited_when_it_is_asked_for(host: Host) -> None:
    """Quiet clients may send five seconds' worth at once; 0 is no limit."""
    url = host.start("--rate-limit", "1")["url"]
    with httpx.Client() as client:
        codes = [client.post(f"{url}{wire.RPC_PATH}", json=[]).status_code for _ in range(10)]
    assert 429 in codes
    host.stop()

    url = host.start("--rate-limit", "0")["url"]
    with httpx.Client() as client:
        assert {client.post(f"{url}{wire.RPC_PATH}", json=[]).status_code for _ in range(600)} == {200}
    assert call(url, wire.STATUS)["entities"] == 0
