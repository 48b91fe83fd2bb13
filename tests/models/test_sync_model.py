"""Any sequence of changes, syncs, losses and restores: nothing is lost or overwritten unseen, and in the end all agree."""

import itertools
import sys
import tempfile
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from daemon.sync.engine import Outcome
from daemon.sync.merging import Policy
from daemon.team.wire import PUSH
from store import definitions, errors
from store.database import Database
from tests.models.sync_servers import Key, text
from tests.models.sync_world import NONSENSE, Client, Fault, Side, Trouble, What, World

pytestmark = pytest.mark.timeout(300)

CLIENTS = "abc"
KEYS = (Key("actor", "x"), Key("action", "x"))
MONTHS = 91 * 86_400

Content = Literal["new", "shared", "as on the server", "removed"]
Moment = Literal["meddle", "answered"]

clients = st.integers(0, len(CLIENTS) - 1)
keys = st.sampled_from(KEYS)
contents = st.sampled_from(["new", "new", "shared", "as on the server", "removed"])
whats = st.sampled_from(["now", "now", "now", "pull", "push", "full"])
policies = st.sampled_from(["manual", "local_wins", "server_wins"])
sides = st.sampled_from(["local", "server"])
losses = st.sampled_from(["request lost", "reply lost", "reply lost", "refused", "dies", "dies"])
moments = st.sampled_from(["meddle", "answered"])
places = st.integers(1, 4)


class SyncModel(RuleBasedStateMachine):
    """What each client and each server has is compared with the account that the world keeps of it."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.world = World(Path(self.directory.name), CLIENTS, servers=2)
        self.run = self.world.run
        self.clients = self.world.clients
        self.server, _ = self.world.servers
        self.numbers = itertools.count(1)

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self.settle()
        finally:
            self.world.close()
            self.directory.cleanup()

    @initialize(policy=policies)
    def all_have_the_same(self, policy: Policy) -> None:
        for key in KEYS:
            self.run(self.clients[0].put(key, self.new_text(key)))
        for client in self.clients:
            client.policy = policy
            self.run(client.sync())

    def new_text(self, key: Key) -> str:
        return text(key, f"number {next(self.numbers)}")

    async def make(self, client: Client, key: Key, content: Content) -> None:
        known = client.entity(key)
        if content == "new":
            await client.put(key, self.new_text(key))
        elif content == "shared":
            await client.put(key, text(key, "shared"))
        elif content == "as on the server" and known.content is not None and known.invalid is None:
            await client.put(key, known.content)
        elif content == "removed":
            await client.remove(key)

    # --- people --------------------------------------------------------------------------------------------------------

    @rule(at=clients, key=keys, content=contents)
    def change(self, at: int, key: Key, content: Content) -> None:
        self.run(self.make(self.clients[at], key, content))

    @rule(at=clients, other=clients, key=keys, content=contents, others=contents)
    def change_the_same(self, at: int, other: int, key: Key, content: Content, others: Content) -> None:
        """Somebody else is the first one whom the server hears."""
        self.run(self.make(self.clients[at], key, content))
        self.run(self.make(self.clients[other], key, others))
        self.run(self.clients[other].sync())

    @rule(at=clients)
    def work_with_what_is_here(self, at: int) -> None:
        """A definition that is nobody else's business, and a plan of an action that is not reusable."""
        client = self.clients[at]
        self.run(client.put_private("x"))
        if client.here(KEYS[1]) is not None:
            self.run(client.db.write(lambda tx: definitions.archive_action(tx, KEYS[1].whole)))

    @rule(at=clients, policy=policies)
    def choose_policy(self, at: int, policy: Policy) -> None:
        self.clients[at].policy = policy

    @rule(at=clients, take=sides)
    def resolve(self, at: int, take: Side) -> None:
        client = self.clients[at]
        for key in client.conflicts()[:1]:
            try:
                self.run(client.resolve(key, take))
            except errors.InvalidActionError:
                assert take == "server"

    @rule(key=keys, what=st.sampled_from(["fine", "nonsense", "deleted"]))
    def somebody_else_pushes(self, key: Key, what: str) -> None:
        nonsense = f"name: [{NONSENSE} {next(self.numbers)}"
        content = {"fine": self.new_text(key), "nonsense": nonsense, "deleted": None}[what]
        self.run(self.server.push_raw(key, content))

    # --- syncs ---------------------------------------------------------------------------------------------------------

    @rule(at=clients, what=whats)
    def sync(self, at: int, what: What) -> None:
        assert self.run(self.clients[at].sync(what)) is not None

    @rule(at=clients, what=whats, kind=losses, place=places)
    def sync_in_trouble(self, at: int, what: What, kind: Trouble, place: int) -> None:
        self.run(self.clients[at].sync(what, Fault(kind, place)))

    @rule(at=clients, what=whats, key=keys, content=contents, kind=moments, place=places)
    def change_while_it_syncs(  # noqa: PLR0917  each is drawn by itself
        self, at: int, what: What, key: Key, content: Content, kind: Moment, place: int
    ) -> None:
        client = self.clients[at]
        self.run(client.sync(what, Fault(kind, place, lambda: self.make(client, key, content))))

    @rule(at=clients, other=clients, what=whats, kind=moments, place=places)
    def two_sync_at_once(self, at: int, other: int, what: What, kind: Moment, place: int) -> None:
        if at != other:
            self.run(self.clients[at].sync(what, Fault(kind, place, self.clients[other].sync)))

    # --- servers -------------------------------------------------------------------------------------------------------

    @rule(copy=st.booleans())
    def restart(self, *, copy: bool) -> None:
        self.run(self.server.back_up() if copy else self.server.restart())

    @precondition(lambda self: self.server.copy is not None)
    @rule()
    def put_back(self) -> None:
        self.world.put_back()

    @rule()
    def months_pass(self) -> None:
        for client in self.clients:
            client.doubt()
        self.world.clock.advance(MONTHS)
        for server in self.world.servers:
            self.run(server.collect())

    @rule(at=clients, to=st.integers(0, 1))
    def connect(self, at: int, to: int) -> None:
        self.run(self.clients[at].connect(self.world.servers[to]))

    # --- what holds at any time ----------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_lost(self) -> None:
        self.world.check()

    # --- what holds in the end -----------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Everybody syncs with one server, and choices are made: then all are equal, and there is nothing left to do."""
        server = self.clients[0].server
        for client in self.clients:
            if client.server is not server:
                self.run(client.connect(server))
        for _ in range(len(self.clients) + 2):
            for at, client in enumerate(self.clients):
                self.choose(at)
                self.run(client.sync())
        self.nothing_is_lost()
        rows = server.rows()
        for client in self.clients:
            assert client.conflicts() == []
            for key in KEYS:
                entity, there = client.entity(key), rows.get(key)
                assert (entity.pending, entity.refused) == (None, None)
                assert entity.content == (there.content if there else None)
                assert entity.invalid is not None or client.here(key) == entity.content
        before = [db.read.scalar("PRAGMA data_version") for db in self.databases()]
        for client in self.clients:
            assert self.run(client.sync()) == Outcome()
            assert PUSH.rpartition("/")[2] not in client.link.methods
        assert [db.read.scalar("PRAGMA data_version") for db in self.databases()] == before

    def choose(self, at: int) -> None:
        client = self.clients[at]
        for key in client.conflicts():
            take: Side = "local" if client.entity(key).theirs_revision else "server"
            try:
                self.run(client.resolve(key, take if at else "local"))
            except errors.InvalidActionError:
                self.run(client.resolve(key, "local"))

    def databases(self) -> list[Database]:
        return [client.db for client in self.clients] + [server.db for server in self.world.servers]


# Making a failure shorter takes minutes, longer than a test may.
SyncModel.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, derandomize=True, phases=[Phase.generate]
)
TestSync = SyncModel.TestCase
