"""A daemon is killed at every step of a sync: the next one gets in step, and each edit is on the server once."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

import pytest

from daemon import protocol
from daemon.team import wire
from store import errors
from tests import daemons
from tests.crashes import sharing
from tests.crashes.comparing import check_equal, check_idle, held, locked, revision_of, rows, still
from tests.crashes.sharing import Member
from tests.team.server import TeamServer, serving
from tests.waiting import wait_until

MANY = wire.PAGE_DEFAULT + 1
"""Definitions that take two pages."""
COMMENTED = '# mine\n[core]\nlog-level = "info"  # keep\n'


class Group:
    """A team server and a member with a living daemon, for several tests, each with a namespace of its own."""

    def __init__(self, server: TeamServer, home: daemons.Home) -> None:
        self.server = server
        self.home = home
        self.daemon = home.start(**sharing.ALONE)
        self._numbers = itertools.count(1)

    def fresh_namespace(self) -> str:
        return f"crew{next(self._numbers)}"


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    directory = tmp_path_factory.mktemp("group")
    with daemons.temporary_home(directory / "h") as home, serving(directory) as server:
        yield Group(server, home)


class Left(NamedTuple):
    """What there is when a daemon has died: on the server, and in its own store.

    Attributes:
        given: Revisions that the server gave.
        here: Definitions of the namespace.
        pending: Changes that are not known to be on the server.
        unanswered: Whether a push was prepared whose answer was not taken over.
        known: Whether the server's state was ever taken over.
    """

    given: int
    here: int
    pending: int
    unanswered: bool
    known: bool


class Stage:
    """One namespace, which a daemon shares that is to die, and the group's member."""

    def __init__(self, group: Group, home: daemons.Home) -> None:
        self.group = group
        self.home = home
        self.namespace = group.fresh_namespace()
        self.other = self.member(group.daemon.ask)
        self.other.connect()

    @property
    def url(self) -> str:
        return self.group.server.url

    def member(self, ask: sharing.Ask) -> Member:
        return Member(ask, self.url, self.namespace)

    def push(self, name: str, word: str, *, base: int = 0) -> None:
        sharing.push(self.group.server, name, word, base=base, namespace=self.namespace)

    def push_many(self) -> None:
        """Somebody else makes what takes two pages."""
        names = [f"a{number}" for number in range(MANY)]
        changes = [
            wire.Change(kind="actor", name=name, content=sharing.text(f"{self.namespace}/{name}", "x"))
            for name in names
        ]
        for some in (changes[: wire.PUSH_LIMIT], changes[wire.PUSH_LIMIT :]):
            self.group.server.push(*some, namespace=self.namespace)

    def dying(self, point: str) -> tuple[daemons.Daemon, Member]:
        """A daemon that dies there; what it is asked after that comes to nothing."""
        daemon = self.home.launch(crash_at=point, **sharing.ALONE)
        assert "ready" in daemon.first_word()
        return daemon, self.member(daemon.try_ask)

    def next(self) -> tuple[daemons.Daemon, Member]:
        daemon = self.home.start(**sharing.ALONE)
        return daemon, self.member(daemon.ask)

    def left(self) -> Left:
        states = rows(self.home.paths.database, "SELECT push_json FROM sync_states WHERE namespace = ?", self.namespace)
        pending = "SELECT count(*) FROM entities WHERE namespace = ? AND pending IS NOT NULL"
        return Left(
            given=revision_of(self.group.server.database, self.namespace),
            here=len(held(self.home, self.namespace)),
            pending=rows(self.home.paths.database, pending, self.namespace)[0][0],
            unanswered=any(push is not None for (push,) in states),
            known=bool(states),
        )

    def check_in_step(self, daemon: daemons.Daemon, words: Mapping[str, str], *, revision: int) -> None:
        """Both members sync, and have what the server has; after that nobody writes anything."""
        both = daemon, self.group.daemon
        for one in both:
            one.ask(protocol.SyncRun())
        check_equal(self.group.server.database, [self.home, self.group.home], self.namespace, words, revision=revision)
        with still(self.group.server.database), still(self.home.paths.database), still(self.group.home.paths.database):
            for one in both:
                check_idle(one.ask(protocol.SyncRun()))


@pytest.fixture
def stage(group: Group, home: daemons.Home) -> Stage:
    return Stage(group, home)


# --- pushing ------------------------------------------------------------------------------------------------------------


EDITED = {"x": "two"}


def make(member: Member) -> None:
    """Two edits that the server knows of, two revisions."""
    member.connect()
    member.edit("x", "one")
    member.edit("y", "one")
    member.sync()


def change(member: Member) -> None:
    """Two more that it does not know of."""
    member.edit("x", "two")
    member.remove("y")


PREPARED = Left(given=2, here=1, pending=2, unanswered=False, known=True)


@pytest.mark.parametrize(
    ("point", "left"),
    [
        ("after:actor.removed", PREPARED),
        ("before:sync.pushed:2", PREPARED._replace(given=4, unanswered=True)),
        ("after:sync.pushed:2", PREPARED._replace(given=4, pending=0)),
    ],
)
def test_a_push_is_carried_out_once(stage: Stage, point: str, left: Left) -> None:
    daemon, member = stage.dying(point)
    make(member)
    change(member)
    member.sync()

    assert daemon.died_of_crash()
    assert stage.left() == left
    stage.check_in_step(stage.next()[0], EDITED, revision=4)


def test_a_push_that_could_not_be_noted_is_not_sent(stage: Stage) -> None:
    daemon, member = stage.next()
    make(member)
    change(member)
    with daemons.Wire(stage.home.paths.socket) as wire_, locked(stage.home.paths.database):
        wire_.ask(protocol.SyncRun())
        wait_until(lambda: daemon.ask(protocol.SyncStatus()).last_error)
        daemon.kill()

    assert stage.left() == PREPARED
    stage.check_in_step(stage.next()[0], EDITED, revision=4)


def test_a_push_that_is_on_its_way_is_sent_again(stage: Stage) -> None:
    """What becomes of the first one is known to nobody: the server may carry it out while the second one comes."""
    daemon, member = stage.next()
    make(member)
    change(member)
    with daemons.Wire(stage.home.paths.socket) as wire_, locked(stage.group.server.database):
        wire_.ask(protocol.SyncRun())
        wait_until(lambda: stage.left() == PREPARED._replace(unanswered=True))
        daemon.kill()

    stage.check_in_step(stage.next()[0], EDITED, revision=4)


def test_changes_made_while_an_answer_was_lost_are_pushed_after_it(stage: Stage) -> None:
    """The version that nobody answered for is our own, not somebody else's."""
    daemon, member = stage.dying("before:sync.pushed:2")
    make(member)
    change(member)
    member.sync()
    assert daemon.died_of_crash()
    second, member = stage.next()
    member.edit("x", "three")

    stage.check_in_step(second, {"x": "three"}, revision=5)
    assert second.ask(protocol.SyncConflicts(history=True)).history == []


def test_an_answer_that_was_lost_is_heard_although_somebody_went_on_from_there(stage: Stage) -> None:
    """The same push under the same key has the same answer: it is no conflict with what was made of it since."""
    daemon, member = stage.dying("before:sync.pushed:2")
    make(member)
    change(member)
    member.sync()
    assert daemon.died_of_crash()
    stage.push("x", "theirs", base=3)

    second, _ = stage.next()
    stage.check_in_step(second, {"x": "theirs"}, revision=5)
    assert second.ask(protocol.SyncConflicts(history=True)).history == []


# --- pulling ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("point", "here"),
    [
        ("before:sync.pulled:1", 0),
        ("after:sync.pulled:1", wire.PAGE_DEFAULT),
        ("before:sync.pulled:2", wire.PAGE_DEFAULT),
        ("after:sync.pulled:2", MANY),
    ],
)
def test_pages_are_taken_over_one_by_one(stage: Stage, point: str, here: int) -> None:
    daemon, member = stage.dying(point)
    member.connect()
    stage.push_many()
    member.sync()

    assert daemon.died_of_crash()
    assert stage.left() == Left(given=MANY, here=here, pending=0, unanswered=False, known=True)
    stage.check_in_step(stage.next()[0], {f"a{number}": "x" for number in range(MANY)}, revision=MANY)


@pytest.mark.parametrize(("point", "here"), [("before:sync.pulled", 2), ("after:sync.pulled", 3)])
def test_a_full_sync_is_taken_over_whole_or_not_at_all(stage: Stage, point: str, here: int) -> None:
    """With something new there, and a change here that waits."""
    daemon, member = stage.dying(point)
    make(member)
    stage.push("z", "theirs")
    member.edit("x", "two")
    member.sync("full")

    assert daemon.died_of_crash()
    assert stage.left() == Left(given=3, here=here, pending=1, unanswered=False, known=True)
    stage.check_in_step(stage.next()[0], {"x": "two", "y": "one", "z": "theirs"}, revision=4)


# --- settling -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("take", "word", "revision"), [("local", "ours", 3), ("server", "theirs", 2)])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_conflict_is_settled_once(
    stage: Stage, when: str, take: Literal["local", "server"], word: str, revision: int
) -> None:
    daemon, member = stage.dying(f"{when}:sync.resolved")
    member.connect()
    sharing.collide(member, stage.group.server)
    member.resolve("x", take)

    assert daemon.died_of_crash()
    second, member = stage.next()
    if when == "before":
        assert second.ask(protocol.SyncStatus()).conflicts == 1
        member.resolve("x", take)
    stage.check_in_step(second, {"x": word}, revision=revision)
    loser = "ours" if take == "server" else "theirs"
    (lost,) = second.ask(protocol.SyncConflicts(history=True)).history
    assert lost.content == sharing.text(f"{stage.namespace}/x", loser)


# --- connecting ---------------------------------------------------------------------------------------------------------


CONFIG = {"write": False, "fsync": False, "rename": False, "fsync-directory": True, "done": True}
"""The places of a change of the configuration file, and whether it is made."""


@pytest.mark.parametrize(
    ("point", "written", "here"),
    [
        *((f"config.{place}", written, 1) for place, written in CONFIG.items()),
        ("before:sync.pulled", True, 1),
        ("after:sync.pulled", True, 2),
        ("before:server.connected", True, 2),
        ("after:server.connected", True, 2),
    ],
)
def test_a_connect_is_made_or_not(stage: Stage, point: str, written: bool, here: int) -> None:  # noqa: FBT001  a case
    """The file is the old or the new one, byte for byte; the next daemon goes by it, and connecting again is as good."""
    stage.push("x", "theirs")
    stage.home.paths.create()
    stage.home.paths.config_file.write_text(COMMENTED)
    daemon, member = stage.dying(point)
    member.edit("y", "ours")
    member.connect()

    assert daemon.died_of_crash()
    found = stage.home.paths.config_file.read_text()
    assert stage.left() == Left(given=1, here=here, pending=1, unanswered=False, known=here == 2)
    second, member = stage.next()
    if written:
        member.sync()
        assert stage.left() == Left(given=2, here=2, pending=0, unanswered=False, known=True)
    else:
        assert found == COMMENTED
        assert second.ask(protocol.ServerStatus()).mode == "disabled"
        check_not_connected(member)
    member.connect()
    stage.check_in_step(second, {"x": "theirs", "y": "ours"}, revision=2)
    new = stage.home.paths.config_file.read_text()
    assert new.startswith(COMMENTED)
    assert found == (new if written else COMMENTED)
    assert [path.name for path in stage.home.paths.config.iterdir() if path.name.endswith(".new")] == []


@pytest.mark.parametrize(
    ("point", "written"),
    [
        ("config.rename:2", False),
        ("config.fsync-directory:2", True),
        ("before:server.disconnected", True),
        ("after:server.disconnected", True),
    ],
)
def test_a_disconnect_is_made_or_not(stage: Stage, point: str, written: bool) -> None:  # noqa: FBT001  a case
    """What came from the server stays, and so does what waits to be pushed."""
    stage.push("x", "theirs")
    daemon, member = stage.dying(point)
    member.connect()
    connected = stage.home.paths.config_file.read_text()
    member.edit("y", "ours")
    member.disconnect()

    assert daemon.died_of_crash()
    assert stage.left() == Left(given=1, here=2, pending=1, unanswered=False, known=True)
    second, member = stage.next()
    if written:
        check_not_connected(member)
        assert stage.url not in stage.home.paths.config_file.read_text()
        member.connect()
    else:
        assert stage.home.paths.config_file.read_text() == connected
    stage.check_in_step(second, {"x": "theirs", "y": "ours"}, revision=2)


def check_not_connected(member: Member) -> None:
    with pytest.raises(errors.UnreachableError, match="no team server is connected"):
        member.sync()
