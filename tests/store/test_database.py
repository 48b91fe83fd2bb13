"""Group commit, isolation, durability, and what a full disk does."""

import asyncio
import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from store import errors, events
from store.database import Transaction
from tests.stores import Store, opened
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]


def note(kind: str) -> Callable[[Transaction], str]:
    def work(tx: Transaction) -> str:
        tx.event(kind)
        return kind

    return work


def much(tx: Transaction) -> None:
    tx.event("x", text="y" * 20_000)


def fail(tx: Transaction) -> None:
    tx.event("never")
    raise errors.NotFoundError("no")


def kinds(store: Store) -> list[str]:
    return [event.kind for event in events.since(store.read, 0)]


def test_requests_that_wait_together_share_one_commit(store: Store) -> None:
    commits: list[list[str]] = []
    store.db.on_commit = lambda found: commits.append([event.kind for event in found])

    results = store.together([note(str(n)) for n in range(300)])

    assert results == [str(n) for n in range(300)]
    assert [kind for commit in commits for kind in commit] == [str(n) for n in range(300)]
    assert len(commits) <= 3


def test_a_request_that_fails_takes_nothing_of_the_others(store: Store) -> None:
    """A savepoint each: its own writes go, theirs stay, and only it hears of the error."""
    results = store.together([note("a"), fail, note("b"), fail, note("c")])

    assert [type(result).__name__ for result in results] == ["str", "NotFoundError", "str", "NotFoundError", "str"]
    assert kinds(store) == ["a", "b", "c"]


def test_a_statement_that_fails_is_an_error_of_ours(store: Store) -> None:
    results = store.together([note("a"), lambda tx: tx.execute("INSERT INTO nowhere VALUES (1)"), note("b")])

    assert isinstance(results[1], errors.InternalError)
    assert "nowhere" in results[1].message
    assert kinds(store) == ["a", "b"]


def test_a_defect_in_a_request_is_raised_where_it_was_asked(store: Store) -> None:
    def broken(_tx: Transaction) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.write(broken)

    assert store.write(note("after")) == "after"


def test_a_transaction_reads_its_own_writes_and_others_do_not(store: Store) -> None:
    """Readers see what is committed, not what is being written."""

    def work(tx: Transaction) -> tuple[int, int]:
        tx.event("mine")
        return events.count(tx), 0

    store.write(note("first"))
    inside, _ = store.write(work)

    assert inside == 2
    assert events.count(store.read) == 2


def test_reads_do_not_wait_for_the_writer(store: Store) -> None:
    """A long write holds up nobody who reads; what is read is the state before it."""
    begun, go_on = threading.Event(), threading.Event()

    def slow(tx: Transaction) -> None:
        tx.event("slow")
        begun.set()
        assert go_on.wait(10)

    async def scene() -> int:
        writing = asyncio.create_task(store.db.write(slow))
        await asyncio.to_thread(begun.wait, 10)
        seen = events.count(store.read)
        go_on.set()
        await writing
        return seen

    assert store.loop.run_until_complete(scene()) == 0
    assert kinds(store) == ["slow"]


def test_the_reader_cannot_write(store: Store) -> None:
    with pytest.raises(apsw.ReadOnlyError):
        store.read.execute("DELETE FROM events")


def test_events_are_published_before_their_results(store: Store) -> None:
    """Who was answered finds that the feed has had the event already."""
    order: list[str] = []
    store.db.on_commit = lambda found: order.extend(event.kind for event in found)

    async def asked() -> None:
        await store.db.write(note("moved"))
        order.append("answered")

    store.loop.run_until_complete(asked())

    assert order == ["moved", "answered"]


def test_a_reply_that_nobody_awaits_any_more_is_still_written(store: Store) -> None:
    """A client that hung up in the middle changes nothing for the others."""

    async def scene() -> str:
        gone = asyncio.ensure_future(store.db.write(note("gone")))
        await asyncio.sleep(0)
        gone.cancel()
        return await store.db.write(note("next"))

    assert store.loop.run_until_complete(scene()) == "next"
    assert kinds(store) == ["gone", "next"]


def test_more_requests_than_one_batch_holds_are_all_written_in_order(store: Store) -> None:
    store.together([note(str(n)) for n in range(1300)])

    assert [event.kind for event in events.since(store.read, 0, limit=2000)] == [str(n) for n in range(1300)]


def test_who_stands_by_is_called_behind_the_event_in_its_commit(store: Store) -> None:
    """Each event calls one of them, in the order in which they came; who is not called goes on standing by."""
    commits: list[list[str]] = []
    store.db.on_commit = lambda found: commits.append([event.kind for event in found])

    async def scene() -> list[Any]:
        standing = [store.db.stand_by("queued", note(name)) for name in ("first", "second", "third")]
        await store.db.write(note("other"))
        await store.db.write(note("queued"))
        assert [future.done() for future in standing] == [True, False, False]
        await asyncio.gather(*(store.db.write(note("queued")) for _ in range(2)))
        return [future.result() for future in standing]

    assert store.loop.run_until_complete(scene()) == ["first", "second", "third"]
    assert commits[:2] == [["other"], ["queued", "first"]]
    assert sorted(kinds(store)) == sorted(["other", *["queued"] * 3, "first", "second", "third"])


def test_an_event_that_was_taken_back_calls_nobody(store: Store) -> None:
    async def scene() -> bool:
        standing = store.db.stand_by("never", note("called"))
        await asyncio.gather(store.db.write(fail), store.db.write(note("a")), return_exceptions=True)
        with contextlib.suppress(errors.NotFoundError):
            await store.db.write(fail)
        return standing.done()

    assert store.loop.run_until_complete(scene()) is False
    assert kinds(store) == ["a"]


def test_who_is_called_and_fails_takes_nothing_of_the_others(store: Store) -> None:
    async def scene() -> BaseException | None:
        standing = store.db.stand_by("queued", fail)
        await store.db.write(note("queued"))
        return standing.exception()

    assert isinstance(store.loop.run_until_complete(scene()), errors.NotFoundError)
    assert kinds(store) == ["queued"]


def test_who_stands_down_is_not_called(store: Store) -> None:
    async def scene() -> list[Any]:
        standing = [store.db.stand_by("queued", note(name)) for name in ("first", "second")]
        assert store.db.stand_down("queued")
        assert not store.db.stand_down("other")
        await store.db.write(note("queued"))
        assert not store.db.stand_down("queued")
        return [future.result() for future in standing]

    assert store.loop.run_until_complete(scene()) == [None, "second"]
    assert kinds(store) == ["queued", "second"]


def test_close_commits_what_waits_and_refuses_what_comes_later(tmp_path: Path) -> None:
    store = Store(tmp_path)

    async def scene() -> tuple[Any, Any]:
        waiting = [asyncio.ensure_future(store.db.write(note(str(n)))) for n in range(50)]
        await asyncio.sleep(0)
        await store.db.close()
        late = await asyncio.gather(store.db.write(note("late")), return_exceptions=True)
        return await asyncio.gather(*waiting), late[0]

    written, late = store.loop.run_until_complete(scene())
    store.loop.close()

    assert written == [str(n) for n in range(50)]
    assert isinstance(late, errors.DaemonUnavailableError)
    with opened(tmp_path) as again:
        assert events.count(again.read) == 50


def test_closing_twice_is_closing_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.loop.run_until_complete(store.db.close())
    store.close()

    with opened(tmp_path) as again:
        assert again.read.scalar("SELECT value FROM meta WHERE key = 'clean'") == "0"


WRITER = """
import asyncio, sys
from pathlib import Path
from store import opening
from store.clock import Clock

async def main():
    home = Path(sys.argv[1])
    db = opening.open_store(home / "store.db", home, Clock())
    number = 0
    async def one(n):
        await db.write(lambda tx: tx.event(str(n)))
        print(n, flush=True)
    while True:
        await asyncio.gather(*(one(number + k) for k in range(3)))
        number += 3

asyncio.run(main())
"""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", [1, 2, 5, 9])
def test_nothing_acknowledged_is_lost_by_a_kill(tmp_path: Path, when: str, number: int) -> None:
    """Killed before or after the Nth commit: every reply that came out was durable, and no half of a commit is there."""
    environment = {**os.environ, "CLEVERAGENTS_CRASH_AT": f"store.{when}-commit:{number}"}
    done = subprocess.run(
        [sys.executable, "-c", WRITER, str(tmp_path)], env=environment, cwd=ROOT, capture_output=True, check=False
    )
    acknowledged = [int(line) for line in done.stdout.split()]

    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    with opened(tmp_path) as store:
        durable = [int(kind) for kind in kinds(store)]
        assert store.read.scalar("PRAGMA integrity_check") == "ok"
    assert durable == list(range(len(durable)))
    assert set(acknowledged) <= set(durable)
    assert len(durable) > len(acknowledged) if when == "after" else durable == acknowledged


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes; where none may be mounted, the test has nothing to fill."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("no tmpfs may be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path) -> None:
    """Leave no byte free."""
    descriptor = os.open(disk / "filler", os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        with contextlib.suppress(OSError):
            while True:
                os.write(descriptor, b"\0" * 4096)
    finally:
        os.close(descriptor)


def test_closing_on_a_full_disk_is_no_failure(small_disk: Path) -> None:
    """A daemon that is told to stop then stops; the next one finds an unclean end and checks."""
    store = Store(small_disk)
    try:
        store.write(note("before"))
        fill(small_disk)
        store.together([much] * 20)
        store.loop.run_until_complete(store.db.close())
    finally:
        store.loop.close()
        (small_disk / "filler").unlink()

    with opened(small_disk) as again:
        assert kinds(again) == ["before"]


def test_a_full_disk_is_reported_and_the_store_stays_sound(small_disk: Path) -> None:
    """`disk_full`; what was acknowledged before is there; once there is room it goes on by itself."""
    with opened(small_disk) as store:
        store.write(note("before"))
        fill(small_disk)
        results = store.together([much] * 20)
        assert {type(result) for result in results} == {errors.DiskFullError}
        assert results[0].suggestions
        assert kinds(store) == ["before"]

        (small_disk / "filler").unlink()
        store.write(note("after"))
        assert kinds(store) == ["before", "after"]
        assert store.read.scalar("PRAGMA integrity_check") == "ok"


LIMITED = """
import asyncio, resource, signal, sys
from pathlib import Path
from store import errors, events, opening
from store.clock import Clock

async def main():
    home = Path(sys.argv[1])
    db = opening.open_store(home / "store.db", home, Clock())
    await db.write(lambda tx: tx.event("before"))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    size = max(path.stat().st_size for path in home.glob("store.db*"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 5000, resource.RLIM_INFINITY))
    try:
        await db.write(lambda tx: tx.event("big", text="y" * 2_000_000))
    except errors.CleverAgentsError as error:
        print(error.code)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await db.write(lambda tx: tx.event("after"))
    print(*(event.kind for event in events.since(db.read, 0)))
    await db.close()

asyncio.run(main())
"""


def test_a_file_that_may_not_grow_is_an_error_and_the_store_goes_on(tmp_path: Path) -> None:
    """The write that the system refuses is refused to the one who asked; later ones succeed."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.stdout.split() == ["disk_full", "before", "after"], done.stderr


def test_a_full_disk_at_the_first_start_leaves_no_store(small_disk: Path) -> None:
    """Half a store never has the store's name."""
    fill(small_disk)
    with pytest.raises(errors.DiskFullError):
        Store(small_disk)

    assert not (small_disk / "store.db").exists()
    (small_disk / "filler").unlink()
    with opened(small_disk) as store:
        assert store.write(note("x")) == "x"


def test_the_writer_thread_ends_with_the_store(tmp_path: Path) -> None:
    before = threading.active_count()
    with opened(tmp_path) as store:
        store.write(note("x"))
        assert any(thread.name == "store-writer" for thread in threading.enumerate())

    wait_until(lambda: threading.active_count() <= before + 1)
    assert not any(thread.name == "store-writer" for thread in threading.enumerate())


def test_the_limit_on_open_files_is_not_used_up(tmp_path: Path) -> None:
    """Opening and closing gives back every descriptor."""

    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    with opened(tmp_path):
        pass
    before = open_files()
    for _ in range(5):
        with opened(tmp_path):
            pass

    assert open_files() == before
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > before
