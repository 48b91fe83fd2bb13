"""Push, pull and full sync: every change is seen by everybody, once, in order, and nobody writes over what he has not seen."""

import base64
import itertools
import random
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.team import wire
from daemon.team.cursors import Cursor
from store import team
from tests.stores import SettableClock
from tests.team.server import NAMESPACE, TeamServer, action, beginning, pages, push_params, serving, written

DAY = 86_400


def contents(entities: list[wire.Entity]) -> dict[str, str | None]:
    return {entity.name: entity.content for entity in entities}


# --- push ----------------------------------------------------------------------------------------------------------------


def test_a_definition_is_created_changed_and_deleted(server: TeamServer) -> None:
    first = server.put("a", "one")
    second = server.put("a", "two", base=1)
    third = server.remove("a", base=2)

    assert [(found.status, found.revision) for found in (first, second, third)] == [
        ("accepted", 1),
        ("accepted", 2),
        ("accepted", 3),
    ]
    (tombstone,) = server.pull(beginning(server)).changes
    assert (tombstone.revision, tombstone.deleted, tombstone.content, tombstone.digest) == (3, True, None, None)
    assert server.full().entities == []


def test_an_entity_has_everything_that_is_known_of_it(server: TeamServer) -> None:
    change = action("a", "näme: ✓\n")
    server.push(change)

    (entity,) = server.full().entities

    assert (entity.kind, entity.namespace, entity.name, entity.revision) == ("action", NAMESPACE, "a", 1)
    assert (entity.content, entity.digest, entity.deleted) == (change.content, change.digest, False)
    assert entity.updated_by == "loopback"
    assert entity.updated_at.endswith("Z")


def test_kinds_and_namespaces_are_apart(server: TeamServer) -> None:
    for kind in ("action", "actor", "project"):
        change = wire.Change(kind=kind, name="a", content=kind)
        assert server.push(change).results[0].status == "accepted"
    assert server.push(action("a", "x"), namespace="others").results[0].revision == 1

    assert [(entity.kind, entity.content) for entity in server.full().entities] == [
        ("action", "action"),
        ("actor", "actor"),
        ("project", "project"),
    ]
    assert server.status().entities == 3


@pytest.mark.parametrize("base", [0, 1, 3, 99])
def test_a_change_that_was_made_from_another_revision_is_a_conflict(server: TeamServer, base: int) -> None:
    server.put("a", "one")
    server.put("a", "two", base=1)

    found = server.put("a", "mine", base=base)

    assert (found.status, found.revision) == ("conflict", 2)
    assert found.current is not None
    assert (found.current.content, found.current.revision) == ("two", 2)
    assert contents(server.full().entities) == {"a": "two"}


def test_a_deletion_stands_in_the_way_like_a_change(server: TeamServer) -> None:
    """Edit against delete, both ways; who has seen the deletion may write again."""
    server.put("a", "one")
    server.put("b", "one")
    server.remove("a", base=1)
    server.put("b", "two", base=2)

    edited = server.put("a", "mine", base=1)
    deleted = server.remove("b", base=2)
    again = server.put("a", "again", base=3)

    assert edited.status == deleted.status == "conflict"
    assert edited.current is not None
    assert (edited.current.deleted, edited.current.revision) == (True, 3)
    assert deleted.current is not None
    assert deleted.current.content == "two"
    assert (again.status, again.revision) == ("accepted", 5)


def test_a_change_of_what_never_was_there_is_a_conflict_with_nothing(server: TeamServer) -> None:
    found = server.put("a", "mine", base=7)

    assert (found.status, found.revision, found.current) == ("conflict", None, None)


def test_what_is_already_so_is_accepted_and_not_written(server: TeamServer) -> None:
    """Two who make the same change do not collide, and nobody has anything to pull."""
    server.put("a", "one")
    before = server.status().cursor

    same = server.put("a", "one", base=0)
    nothing = server.remove("b", base=4)

    assert (same.status, same.revision) == ("accepted", 1)
    assert (nothing.status, nothing.revision) == ("accepted", None)
    assert server.status().cursor == before
    server.remove("a", base=1)
    assert server.remove("a", base=1).revision == 2


def test_changes_of_one_push_are_judged_each_by_itself(server: TeamServer) -> None:
    server.put("a", "one")

    answer = server.push(action("a", "late"), action("b", "new"), action("b", "newer", base=2), action("", "x"))

    assert [(found.name, found.status, found.revision) for found in answer.results] == [
        ("a", "conflict", 1),
        ("b", "accepted", 2),
        ("b", "accepted", 3),
        ("", "rejected", None),
    ]
    assert answer.cursor == server.status().cursor
    assert contents(server.full().entities) == {"a": "one", "b": "newer"}


@pytest.mark.parametrize(
    "change",
    [
        wire.Change(kind="action", name="Not legal", content="x"),
        wire.Change(kind="action", name="a/b", content="x"),
        wire.Change(kind="action", name="../a", content="x"),
        wire.Change(kind="action", name="a" * 65, content="x"),
        wire.Change(kind="action", name="a"),
        wire.Change(kind="action", name="a", content=""),
        wire.Change(kind="action", name="a", content="x", deleted=True),
        wire.Change(kind="action", name="a", content="x" * (wire.CONTENT_LIMIT + 1)),
        wire.Change(kind="action", name="a", content="é" * (wire.CONTENT_LIMIT // 2 + 1)),
    ],
)
def test_what_can_never_be_taken_is_rejected_with_a_reason(standing: TeamServer, change: wire.Change) -> None:
    (found,) = standing.push(change).results

    assert found.status == "rejected"
    assert found.reason
    assert standing.status().entities == 0


def test_a_rejected_change_says_what_the_server_has(server: TeamServer) -> None:
    server.put("a", "one")

    assert server.put("a", "", base=1).revision == 1


@pytest.mark.parametrize(
    "wrong",
    [
        wire.Change(kind="action", name="a", content="x", digest="0" * 64),
        wire.Change(kind="action", name="a", digest="0" * 64, deleted=True),
    ],
)
def test_a_digest_that_does_not_fit_refuses_the_whole_push(server: TeamServer, wrong: wire.Change) -> None:
    """What arrived is not what was sent."""
    params = push_params(action("b", "fine"), wrong)

    assert server.error(wire.PUSH, params) == (wire.INVALID_ENTITY, "invalid_argument")
    assert server.status().entities == 0


def test_any_text_comes_back_as_it_was(server: TeamServer) -> None:
    text = "\x00\u2028\U0001f600 \r\n\t'\"\\" + base64.b64encode(random.Random(1).randbytes(999)).decode()
    server.put("a", text)

    assert contents(server.full().entities) == {"a": text}


def test_the_same_push_again_is_answered_as_before(server: TeamServer) -> None:
    """The reply was lost: nothing is written twice, whatever happened since."""
    params = push_params(action("a", "one"), action("b", "two", base=9), key="k1")
    first = server.result(wire.PUSH, params)
    server.put("a", "by another", base=1)
    cursor = server.status().cursor

    again = server.result(wire.PUSH, {**params, "cursor": cursor})

    assert again == first
    assert server.status().cursor == cursor


def test_a_key_belongs_to_its_changes_and_its_namespace(server: TeamServer) -> None:
    server.put("a", "one", key="k1")

    other = push_params(action("a", "two", base=1), key="k1")

    assert server.error(wire.PUSH, other) == (wire.CONFLICT, "sync_conflict")
    assert contents(server.full().entities) == {"a": "one"}
    assert server.put("a", "theirs", key="k1", namespace="others").status == "accepted"


def test_of_two_pushes_of_the_same_base_exactly_one_wins(tmp_path: Path) -> None:
    """Whether they come to one process or to two."""
    with serving(tmp_path, workers=2) as one, serving(tmp_path, workers=2) as two:
        one.put("a", "0")
        for base in range(1, 11):
            with ThreadPoolExecutor(4) as pool:
                attempts = [
                    pool.submit(server.put, "a", f"{base} {n}", base) for n, server in enumerate((one, two) * 2)
                ]
            found = [attempt.result() for attempt in attempts]

            assert sorted(result.status for result in found) == ["accepted", "conflict", "conflict", "conflict"]
            assert {result.revision for result in found} == {base + 1}


def test_two_processes_write_at_once_and_lose_nothing(tmp_path: Path) -> None:
    with serving(tmp_path, workers=2) as one, serving(tmp_path, workers=2) as two:
        with ThreadPoolExecutor(8) as pool:
            attempts = [pool.submit((one, two)[n % 2].put, f"n{n}", str(n)) for n in range(100)]
        revisions = [attempt.result().revision for attempt in attempts]

        assert sorted(revision or 0 for revision in revisions) == list(range(1, 101))
        assert contents(one.full().entities) == contents(two.full().entities) == {f"n{n}": str(n) for n in range(100)}


def test_an_answer_with_too_many_contents_is_refused_and_nothing_is_written(server: TeamServer) -> None:
    """A small request must not cost a huge answer; after a pull there are no such conflicts."""
    names = [f"n{number}" for number in range(10)]
    for name in names:
        server.put(name, name * (wire.CONTENT_LIMIT // len(name)))

    params = push_params(action("new", "x"), *(action(name, "mine") for name in names))

    assert server.error(wire.PUSH, params) == (wire.CONFLICT, "sync_conflict")
    assert server.status().entities == 10


# --- pull and full -------------------------------------------------------------------------------------------------------


def test_a_pull_with_nothing_new_says_so(server: TeamServer) -> None:
    """Also of a namespace in which nothing ever happened."""
    for _ in range(2):
        cursor = server.status().cursor
        page = server.pull(cursor)
        assert (page.changes, page.more, page.cursor) == ([], False, cursor)
        server.put("a", "one")


def test_a_namespace_that_begins_can_be_followed_from_before(server: TeamServer) -> None:
    cursor = server.status().cursor
    server.put("a", "one")

    assert contents(server.pull(cursor).changes) == {"a": "one"}


def test_the_status_agrees_with_the_rest(server: TeamServer) -> None:
    server.put("a", "one")
    server.put("b", "one")
    server.remove("a", base=1)
    status, full, pull = server.status(), server.full(), server.pull(beginning(server))

    assert status.entities == len(full.entities) == 1
    assert status.cursor == full.cursor == pull.cursor
    assert (status.server_id, status.epoch) == (full.server_id, full.epoch) == (pull.server_id, pull.epoch)


def test_pages_have_as_many_as_were_asked_for(server: TeamServer) -> None:
    server.push(*(action(f"n{number:02}", "x") for number in range(7)))

    sizes = [(len(page.changes), page.more) for page in pages(server, beginning(server), 3)]

    assert sizes == [(3, True), (3, True), (1, False)]
    assert len(server.pull(beginning(server), wire.PAGE_LIMIT * 5).changes) == 7
    assert [page.more for page in pages(server, beginning(server), 7)] == [False]


def test_a_full_sync_comes_in_pages(server: TeamServer) -> None:
    server.push(*(action(f"n{number}", "x") for number in range(5)))
    first = server.full(limit=2)
    second = server.full(first.next_page_token, limit=2)
    third = server.full(second.next_page_token, limit=2)

    names = [entity.name for page in (first, second, third) for entity in page.entities]
    assert names == ["n0", "n1", "n2", "n3", "n4"]
    assert third.next_page_token is None
    assert first.cursor == second.cursor == third.cursor


Batch = list[tuple[str, bool]]
"""Names that are written one after the other, and whether to delete them."""
WRITES = st.lists(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.booleans()), max_size=4), max_size=8)


class Team:
    """A namespace of its own, what was written there, and its pages."""

    numbers = itertools.count(1)

    def __init__(self, server: TeamServer, limit: int) -> None:
        self.server = server
        self.namespace = f"n{next(self.numbers)}"
        self.limit = limit
        self.revisions: dict[str, int] = {}
        self.truth: dict[str, str | None] = {}

    def write(self, batch: Batch) -> None:
        for name, deleted in batch:
            content = None if deleted else f"{name}{next(self.numbers)}"
            base = self.revisions.get(name, 0)
            change = wire.Change(kind="action", name=name, base_revision=base, content=content, deleted=deleted)
            (result,) = self.server.push(change, namespace=self.namespace).results
            assert result.status == "accepted"
            self.revisions[name] = result.revision or 0
            self.truth[name] = content

    def pull(self, cursor: str) -> wire.PullResult:
        params = {"namespace": self.namespace, "cursor": cursor, "limit": self.limit}
        return msgspec.convert(self.server.result(wire.PULL, params), wire.PullResult)

    def full(self, page_token: str | None) -> wire.FullResult:
        params = {"namespace": self.namespace, "page_token": page_token, "limit": self.limit}
        return msgspec.convert(self.server.result(wire.FULL, params), wire.FullResult)

    def check(self, replica: "Replica") -> None:
        """See that a copy is what was written."""
        alive = {name: content for name, content in self.truth.items() if content is not None}
        assert {name: content for name, content in replica.contents.items() if content is not None} == alive


class Replica:
    """A client's copy; it fails when it is given anything twice."""

    def __init__(self) -> None:
        self.contents: dict[str, str | None] = {}
        self._seen: set[tuple[str, int]] = set()

    def follow(self, team: Team, cursor: str, meanwhile: list[Batch]) -> None:
        """Pull until there is nothing more; between any two pages somebody writes."""
        more = True
        while more or meanwhile:
            page = team.pull(cursor)
            for entity in page.changes:
                assert (entity.name, entity.revision) not in self._seen
                self._seen.add((entity.name, entity.revision))
                self.contents[entity.name] = entity.content
            cursor, more = page.cursor, page.more or bool(meanwhile)
            team.write(meanwhile.pop() if meanwhile else [])


@settings(max_examples=10, deadline=None)
@given(first=WRITES, meanwhile=WRITES, limit=st.integers(1, 4))
def test_a_reader_who_pages_while_others_write_misses_and_repeats_nothing(
    standing: TeamServer, first: list[Batch], meanwhile: list[Batch], limit: int
) -> None:
    crew = Team(standing, limit)
    for batch in first:
        crew.write(batch)
    replica = Replica()

    replica.follow(crew, str(Cursor(standing.status().epoch, team.beginning(crew.namespace))), list(meanwhile))

    crew.check(replica)


@settings(max_examples=10, deadline=None)
@given(first=WRITES, meanwhile=WRITES, limit=st.integers(1, 4))
def test_a_full_sync_while_others_write_is_whole_after_the_pulls_that_follow(
    standing: TeamServer, first: list[Batch], meanwhile: list[Batch], limit: int
) -> None:
    crew = Team(standing, limit)
    for batch in first:
        crew.write(batch)
    replica = Replica()
    left = list(meanwhile)

    page = crew.full(None)
    replica.contents.update(contents(page.entities))
    while page.next_page_token is not None:
        crew.write(left.pop() if left else [])
        page = crew.full(page.next_page_token)
        replica.contents.update(contents(page.entities))
    replica.follow(crew, page.cursor, left)

    crew.check(replica)


# --- cursors of another history ------------------------------------------------------------------------------------------


def needs_full_sync(server: TeamServer, cursor: str) -> bool:
    """Whether every method that takes a cursor sends its client back to the start."""
    params = {"namespace": NAMESPACE, "cursor": cursor}
    push = push_params(action("from-before", "x"), cursor=cursor)
    page = {"namespace": NAMESPACE, "page_token": f"{cursor}.action.a"}
    before = server.status()
    found = [
        server.error(method, given) == (wire.FULL_SYNC_REQUIRED, "full_sync_required")
        for method, given in ((wire.PULL, params), (wire.PUSH, push), (wire.FULL, page))
    ]
    assert server.status() == before, "a refused push wrote something"
    return all(found)


def test_a_cursor_of_another_epoch_namespace_or_future_is_not_taken(server: TeamServer, tmp_path: Path) -> None:
    server.put("a", "one")
    here = server.status().cursor
    epoch, revision, chain = here.split(".")
    others = server.push(action("a", "one"), namespace="others").cursor
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with serving(elsewhere) as another:
        another.put("a", "one")
        foreign = another.status().cursor

    assert needs_full_sync(server, foreign)
    assert needs_full_sync(server, others)
    assert needs_full_sync(server, f"{epoch}.{int(revision) + 1}.{chain}")
    assert needs_full_sync(server, f"{epoch}.{10**18 - 1}.{chain}")
    assert needs_full_sync(server, f"{epoch}.0.{chain}")
    assert needs_full_sync(server, f"{epoch}.{revision}.{'0' * 16}")
    assert server.pull(here).changes == []


def test_a_server_that_was_restored_from_a_copy_is_told_apart(tmp_path: Path) -> None:
    """Who had seen what is gone must not go on as if it were there; who stands where the copy was made may."""
    with serving(tmp_path) as server:
        server.put("a", "one")
        early = server.status().cursor
    copy = tmp_path / "copy"
    shutil.copy(tmp_path / "server.db", copy)
    with serving(tmp_path) as server:
        server.put("b", "lost")
        late = server.status().cursor
    shutil.copy(copy, tmp_path / "server.db")

    with serving(tmp_path) as server:
        assert needs_full_sync(server, late)
        server.put("c", "other")
        assert needs_full_sync(server, late)
        server.put("d", "more")
        assert needs_full_sync(server, late)
        assert contents(server.pull(early).changes) == {"c": "other", "d": "more"}


# --- what is forgotten ---------------------------------------------------------------------------------------------------


def test_deletions_are_kept_for_90_days(tmp_path: Path) -> None:
    """Then who has not been there since has to start again, and nobody else."""
    clock = SettableClock()
    with serving(tmp_path, clock=clock) as server:
        origin = beginning(server)
        server.put("a", "one")
        server.put("b", "stays")
        before = server.status().cursor
        server.remove("a", base=1)
        after = server.status().cursor
        clock.advance(89 * DAY)
        collect(server, clock)
        assert [change.deleted for change in server.pull(before).changes] == [True]

        clock.advance(2 * DAY)
        collect(server, clock)

        assert needs_full_sync(server, before)
        assert needs_full_sync(server, origin)
        assert server.pull(after).changes == []
        assert contents(server.full().entities) == {"b": "stays"}
        assert server.put("c", "new").revision == 4
        assert contents(server.pull(after).changes) == {"c": "new"}
        assert server.write(lambda tx: tx.execute("SELECT name FROM entities ORDER BY name")) == [("b",), ("c",)]
        assert server.put("a", "again").status == "accepted"


def test_an_idle_namespace_is_never_forgotten(tmp_path: Path) -> None:
    clock = SettableClock()
    with serving(tmp_path, clock=clock) as server:
        server.put("a", "one")
        cursor = server.status().cursor
        for _ in range(3):
            clock.advance(1000 * DAY)
            collect(server, clock)

        assert server.pull(cursor).changes == []
        assert server.put("b", "two").revision == 2


def test_the_server_collects_when_it_starts(tmp_path: Path) -> None:
    clock = SettableClock()
    with serving(tmp_path, clock=clock) as server:
        server.put("a", "one", key="k1")
        before = beginning(server)
    clock.advance(100 * DAY)
    with serving(tmp_path, clock=clock) as server:
        server.put("b", "two")  # written after what was asked for at the start

        assert needs_full_sync(server, before)
        assert server.write(lambda tx: tx.execute("SELECT count(*) FROM pushes")) == [(1,)]


def test_answers_are_kept_for_7_days(tmp_path: Path) -> None:
    clock = SettableClock()
    with serving(tmp_path, clock=clock) as server:
        server.put("a", "one", key="k1")
        clock.advance(6 * DAY)
        collect(server, clock)
        other = push_params(action("a", "two", base=1), key="k1")
        assert server.error(wire.PUSH, other)[0] == wire.CONFLICT

        clock.advance(2 * DAY)
        collect(server, clock)

        assert server.put("a", "two", base=1, key="k1").revision == 2


def collect(server: TeamServer, clock: SettableClock) -> None:
    """What the server does once a day."""
    written(server.database, team.collect, clock)
