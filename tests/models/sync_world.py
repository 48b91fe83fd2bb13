"""Clients of team servers in the test's process: real stores and handlers, the real engine, and a network that fails on demand.

Each keeps an account of what was made there, and says at any time whether something was lost or overwritten unseen.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import msgspec

from daemon import protocol
from daemon.calls import Call, Daemon
from daemon.feed import Feed
from daemon.handlers import action, actor, project
from daemon.lifecycle import Lifecycle
from daemon.phases.context import Services
from daemon.settings import Settings
from daemon.sync import bodies
from daemon.sync.engine import Engine, Outcome
from daemon.sync.merging import Policy
from daemon.sync.origins import Endpoint
from daemon.sync.remote import FullSyncRequiredError, Remote
from daemon.sync.syncer import Syncer
from daemon.team import answers, wire
from daemon.workers import Workers
from store import definitions, entities, errors, names, opening, paths
from store.database import Database, Transaction
from store.records import Entity
from tests.models.sync_servers import NAMESPACE, NOTHING, Edit, Key, Server, Version, Write, key_of
from tests.stores import SettableClock

NONSENSE = "nonsense"
"""In definitions that nobody can use."""
SECRET = "stays at home"

T = TypeVar("T")
What = Literal["now", "pull", "push", "full"]
Side = Literal["local", "server"]
Trouble = Literal["request lost", "reply lost", "refused", "dies"]


class Fault(NamedTuple):
    """What goes wrong at the `at`-th request of a sync, or for `dies` after its `at`-th write.

    `meddle` is something that happens while the request is on its way, `answered` while its answer is.
    """

    kind: Trouble | Literal["meddle", "answered"]
    at: int
    meddle: Callable[[], Awaitable[object]] | None = None


class Killed(Exception):  # noqa: N818  what happens to the client
    """The client's process is gone."""


class Link(Remote):
    """The way from a client to its server, without HTTP."""

    def __init__(self, client: "Client") -> None:
        super().__init__(
            Endpoint(url="http://team.example", namespace=NAMESPACE, token=None, tls_verify=True, timeout=60)
        )
        self.client = client
        self.fault: Fault | None = None
        self.requests = 0
        self.methods: list[str] = []

    async def _call(self, method: str, params: msgspec.Struct, kind: type[T]) -> T:
        self.requests += 1
        self.methods.append(method.rpartition("/")[2])
        request = wire.RpcRequest(id=names.new_ulid(), method=method, params=msgspec.Raw(msgspec.json.encode(params)))
        body = msgspec.json.encode(request)
        assert SECRET.encode() not in body
        fault = self.fault if self.fault is not None and self.fault.at == self.requests else None
        if fault is not None and fault.kind == "request lost":
            raise errors.UnreachableError("the request was lost")
        if fault is not None and fault.kind == "meddle" and fault.meddle is not None:
            await fault.meddle()
        if fault is not None and fault.kind == "refused":
            self.client.doubt()
            body = answers.error(request.id, wire.FULL_SYNC_REQUIRED, "full_sync_required", "so the test wants it")
        else:
            body = await self._carried_out(body)
        if fault is not None and fault.kind == "reply lost":
            raise errors.UnreachableError("the reply was lost")
        if fault is not None and fault.kind == "answered" and fault.meddle is not None:
            await fault.meddle()
        return bodies.result(self._endpoint, body, str(request.id), kind)

    async def _carried_out(self, body: bytes) -> bytes:
        answer, written = await self.client.server.handle(self.client.name, body)
        if b'"full_sync_required"' in answer:
            self.client.doubt()
        for write, replaced in written:
            known = self.client.entity(write.key)
            assert (known.revision, known.content) == replaced, f"{write} replaced what its writer has not seen"
            self.client.check_kept(write.key, replaced.content)
        return answer


class Dying(Database):
    """A store whose process ends after some of its writes."""

    def __init__(self, inner: Database, writes: int) -> None:
        self._inner = inner
        self._left = writes
        self.read = inner.read
        self.clock = inner.clock

    async def write(self, work: Callable[[Transaction], T]) -> T:
        result = await self._inner.write(work)
        self._left -= 1
        if self._left == 0:
            raise Killed
        return result


class Client:
    """A daemon's sync, with the handlers that people change definitions by.

    Attributes:
        made: How often each edit was made.
        ran: What was ever in force here.
        open: Edits of which nothing is known yet but that they are in force here.
        doubtful: What was sent and may have been taken over, while its answer can never be heard any more.
        strayed: Whether the server's history was ever exchanged for another one.
    """

    db: Database
    call: Call
    link: Link

    def __init__(self, name: str, directory: Path, clock: SettableClock, server: Server) -> None:
        self.name = name
        self.directory = directory
        self.clock = clock
        self.server = server
        self.policy: Policy = "manual"
        self.made: Counter[Edit] = Counter()
        self.ran: set[Edit] = set()
        self.open: set[Edit] = set()
        self.doubtful: set[Edit] = set()
        self.strayed = False
        directory.mkdir()

    async def start(self) -> None:
        self.db = opening.open_store(self.directory / "store.db", self.directory / "backups", self.clock)
        places = paths.resolve({"CLEVERAGENTS_HOME": str(self.directory)})
        settings = Settings(places.config_file, {})
        services = Services(self.db, Feed(), Lifecycle(settings), settings, places)
        workers = Workers(self.db, services.lifecycle, settings, {})
        syncer = Syncer(services)
        self.call = Call(Daemon(services, workers, "1", 0, lambda _seconds, _force: None, syncer, workers.obey), [])
        self.link = Link(self)

    async def stop(self) -> None:
        await self.link.close()
        await self.db.close()

    # --- what people do ------------------------------------------------------------------------------------------------

    async def put(self, key: Key, content: str) -> None:
        """`ca action|actor create FILE --update`."""
        before = self.here(key)
        await self._create(key.kind, content)
        if before != content:
            self._edited(key, before, content)

    async def remove(self, key: Key) -> None:
        """`ca action|actor remove NAME`, when it is there."""
        before = self.here(key)
        if before is None:
            return
        if key.kind == "action":
            await action.remove(self.call, protocol.ActionRemove(key.whole))
        else:
            await actor.remove(self.call, protocol.ActorRemove(key.whole))
        self._edited(key, before, None)

    async def put_all(self, contents: Mapping[Key, str]) -> None:
        """Many actors at once, without the checks of the handler."""

        def put(tx: Transaction) -> None:
            for key, content in contents.items():
                definitions.put_actor(tx, key.whole, content, description="")
                entities.changed_here(tx, "actor", key.whole)

        before = {key: self.here(key) for key in contents}
        await self.db.write(put)
        for key, content in contents.items():
            self._edited(key, before[key], content)

    async def put_private(self, name: str) -> None:
        """A definition that is nobody else's."""
        content = f"name: local/{name}\ndescription: {SECRET}\ntype: command\ncommand: ['true']\n"
        await self._create("actor", content)

    async def add_project(self, directory: Path, name: str) -> None:
        await project.add(self.call, protocol.ProjectAdd(str(directory), name))

    async def remove_project(self, name: str) -> None:
        await project.remove(self.call, protocol.ProjectRemove(name))

    async def resolve(self, key: Key, take: Side) -> None:
        await self.engine().resolve(key.kind, key.name, take)

    async def _create(self, kind: str, content: str) -> None:
        if kind == "action":
            await action.create(self.call, protocol.ActionCreate(content.encode(), "a file", update=True))
        else:
            await actor.create(self.call, protocol.ActorCreate(content.encode(), "a file", update=True))

    def _edited(self, key: Key, before: str | None, content: str | None) -> None:
        """Whoever changes what is in force here knows what that was."""
        self.made[Edit(key, content)] += 1
        self.ran |= {Edit(key, before), Edit(key, content)}
        self.open.discard(Edit(key, before))
        if self.entity(key).pending is not None or Edit(key, content) in self.unanswered():
            self.open.add(Edit(key, content))

    # --- the sync ------------------------------------------------------------------------------------------------------

    def engine(self, db: Database | None = None) -> Engine:
        return Engine(db or self.db, NAMESPACE, lambda: self.policy)

    async def sync(self, what: What = "now", fault: Fault | None = None) -> Outcome | None:
        """One sync; None when the fault ended it."""
        self.link.fault, self.link.requests, self.link.methods = fault, 0, []
        engine = self.engine(Dying(self.db, fault.at) if fault and fault.kind == "dies" else None)
        try:
            match what:
                case "now":
                    return await engine.now(self.link)
                case "pull":
                    return await engine.pull(self.link)
                case "push":
                    return await engine.push(self.link)
                case "full":
                    return await engine.full(self.link)
        except (errors.UnreachableError, Killed, FullSyncRequiredError):
            if fault is None:
                raise
            return None
        finally:
            self.link.fault = None

    async def connect(self, server: Server) -> Outcome:
        """`ca server connect`: what the server has is fetched first, and taken over then."""
        self.keep()
        self.doubt()
        self.server = server
        engine = self.engine()
        taken = await engine.take(await engine.fetch(self.link))
        assert taken is not None
        return taken

    # --- what is there -------------------------------------------------------------------------------------------------

    def here(self, key: Key) -> str | None:
        """The content that is in force."""
        read = definitions.action if key.kind == "action" else definitions.actor
        found = read(self.db.read, key.whole)
        return found.content if found else None

    def entity(self, key: Key) -> Entity:
        return entities.known(self.db.read, key.kind, key.whole)

    def entities(self) -> list[Entity]:
        return entities.every(self.db.read, NAMESPACE)

    def conflicts(self) -> list[Key]:
        return [key_of(found.kind, found.name) for found in entities.conflicts(self.db.read, NAMESPACE)]

    def lost(self, key: Key) -> list[tuple[str, str | None]]:
        """The versions that lost, oldest first: whose they were and what."""
        found = reversed(entities.versions(self.db.read, NAMESPACE))
        return [(version.origin, version.content) for version in found if (version.kind, version.name) == key]

    def unanswered(self) -> set[Edit]:
        """What was sent and not answered yet."""
        state = entities.state(self.db.read, NAMESPACE)
        if state is None or state.push_json is None:
            return set()
        changes = msgspec.json.decode(state.push_json, type=_Sent).changes
        return {Edit(key_of(change.kind, change.name), change.content) for change in changes}

    # --- the account ---------------------------------------------------------------------------------------------------

    def doubt(self) -> None:
        """The answer to what was sent is never heard now."""
        self.doubtful |= self.unanswered()

    def keep(self) -> None:
        """The server's history is about to become another one: what came from it may be nowhere else than here."""
        self.strayed = True
        for entity in self.entities():
            key = key_of(entity.kind, entity.name)
            if (
                entity.kind != "project"
                and entity.pending is None
                and entity.content is not None
                and self.here(key) == entity.content
            ):
                self.open.add(Edit(key, entity.content))

    def check(self) -> None:
        """See that nothing was lost here, and that what is in force is what it is said to be."""
        rows = self.server.rows()
        taken_over = {Edit(write.key, write.version.content) for write in self.server.history}
        for edit in list(self.open):
            deleted = edit.content is None and rows.get(edit.key, NOTHING).content is None
            if edit in taken_over or deleted or edit.content in [content for _, content in self.lost(edit.key)]:
                self.open.remove(edit)
            else:
                assert self.here(edit.key) == edit.content, f"{self.name} has lost {edit}"
        for entity in self.entities():
            key, version = key_of(entity.kind, entity.name), Version(entity.revision, entity.content)
            if version.revision and not (self.strayed and entity.in_conflict):  # its base may be another server's
                assert (key, version) in self.server.versions, f"{self.name} made up {version}"
            theirs = Edit(key, entity.theirs_content)
            if entity.in_conflict and not self.strayed and theirs not in self.doubtful:
                write = Write(self.name, key, Version(entity.theirs_revision or 0, entity.theirs_content))
                assert write not in self.server.history, f"{self.name} is in conflict with itself about {key}"
            if entity.pending is None and entity.invalid is None and entity.kind != "project":
                assert self.here(key) == entity.content, f"{self.name} does not have {key} as it says"
                self.ran.add(Edit(key, entity.content))

    def check_kept(self, key: Key, content: str | None) -> None:
        """See that what is overwritten from here was in force here, or is kept as the version that lost."""
        if content is None or key.kind == "project" or NONSENSE in content or Edit(key, content) in self.ran:
            return
        assert ("server", content) in self.lost(key), f"{self.name} has overwritten {content!r} and has not kept it"

    def check_history(self) -> None:
        """See that nothing of what was made here was taken over more often than it was made."""
        written = Counter(
            Edit(write.key, write.version.content) for write in self.server.history if write.by == self.name
        )
        for edit, times in written.items():
            if edit not in self.doubtful and edit.key.kind != "project":
                assert times <= self.made[edit], f"{edit} of {self.name} was taken over {times} times"


class _Sent(msgspec.Struct):
    changes: list[wire.Change]


class World:
    """Some clients of the first of some servers; close it."""

    def __init__(self, directory: Path, clients: str, *, servers: int = 1) -> None:
        self.clock = SettableClock()
        self.runner = asyncio.Runner()
        self.servers = [Server(directory / f"server{number}.db", self.clock) for number in range(servers)]
        self.clients = [Client(name, directory / name, self.clock, self.servers[0]) for name in clients]
        for one in (*self.servers, *self.clients):
            self.run(one.start())

    def run(self, work: Awaitable[T]) -> T:
        async def all_of_it() -> T:
            return await work

        return self.runner.run(all_of_it())

    def put_back(self) -> None:
        """The first server's store becomes what it was when it was copied."""
        for client in self.clients:
            if client.server is self.servers[0]:
                client.doubt()
                client.keep()
        self.run(self.servers[0].put_back())

    def check(self) -> None:
        """See that nothing was lost, made up, or taken over twice."""
        for client in self.clients:
            client.check()
            client.check_history()

    def close(self) -> None:
        for one in (*self.clients, *self.servers):
            self.run(one.stop())
        self.runner.close()
