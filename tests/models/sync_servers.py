"""Team servers in the test's process: real store, real methods, and an account of what was ever written to them."""

import shutil
from pathlib import Path
from typing import NamedTuple

import msgspec

from daemon.team import rpc, wire
from daemon.team.access import Caller
from daemon.team.methods import Methods
from store import names, team, team_opening
from tests.stores import SettableClock

NAMESPACE = "team"


class Key(NamedTuple):
    """What a definition is known by."""

    kind: wire.Kind
    name: str

    @property
    def whole(self) -> str:
        return f"{NAMESPACE}/{self.name}"


class Version(NamedTuple):
    """A definition on a server; no content means that it was deleted, revision 0 that it was never there."""

    revision: int
    content: str | None


NOTHING = Version(0, None)


class Write(NamedTuple):
    """A revision that a server gave."""

    by: str
    key: Key
    version: Version


class Edit(NamedTuple):
    """What a client made of a definition, and nobody may lose."""

    key: Key
    content: str | None


def key_of(kind: str, name: str) -> Key:
    return Key(msgspec.convert(kind, wire.Kind), name)


def text(key: Key, description: str) -> str:
    """A definition that can be used."""
    head = f'name: {key.whole}\ndescription: "{description}"\n'
    return head + ("type: command\ncommand: ['true']\n" if key.kind == "actor" else "steps: [{id: one, run: 'true'}]\n")


class Server:
    """A team server, and what was ever written to it.

    Attributes:
        history: The revisions of the database as it is now; one that was put back has an older one.
        contents: Everything that a definition ever was, in databases that were replaced too.
    """

    def __init__(self, path: Path, clock: SettableClock) -> None:
        self.path = path
        self.clock = clock
        self.history: list[Write] = []
        self.contents: set[Edit] = set()
        self.versions: set[tuple[Key, Version]] = set()
        self.copy: list[Write] | None = None
        team_opening.prepare(path)

    async def start(self) -> None:
        self.db = team_opening.open_(self.path, self.clock)
        self.methods = Methods(self.db, team.Recent(self.db.read), lambda _namespace: None)

    async def stop(self) -> None:
        await self.db.close()

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def back_up(self) -> None:
        await self.stop()
        shutil.copy(self.path, self._copied)
        self.copy = list(self.history)
        await self.start()

    async def put_back(self) -> None:
        """The database becomes what it was at `back_up`."""
        assert self.copy is not None
        await self.stop()
        shutil.copy(self._copied, self.path)
        self.history = list(self.copy)
        await self.start()

    async def collect(self) -> None:
        await self.db.write(team.collect)

    @property
    def _copied(self) -> Path:
        return self.path.with_suffix(".copy")

    def rows(self) -> dict[Key, Version]:
        """What is there, deletions included."""
        page = team.changed(self.db.read, NAMESPACE, 0, limit=10_000, size=2**40)
        return {key_of(found.kind, found.name): Version(found.revision, found.content) for found in page.entities}

    def at(self, key: Key) -> Version:
        return self.rows().get(key, NOTHING)

    async def handle(self, by: str, body: bytes) -> tuple[bytes, list[tuple[Write, Version]]]:
        """The answer to a request; and what it wrote, each with what it replaced."""
        before = self.rows()
        answer = await rpc.answer(body, wire.A2A_VERSION, self.methods.of(Caller(None, by)))
        after = self.rows()
        written: list[tuple[Write, Version]] = []
        for key, version in sorted(after.items(), key=lambda found: found[1].revision):
            self.contents.add(Edit(key, version.content))
            self.versions.add((key, version))
            if version != before.get(key):
                write = Write(by, key, version)
                self.history.append(write)
                written.append((write, before.get(key, NOTHING)))
        return answer, written

    async def push_raw(self, key: Key, content: str | None) -> None:
        """What another program pushes, which has seen what is there."""
        change = wire.Change(
            kind=key.kind,
            name=key.name,
            base_revision=self.at(key).revision,
            content=content,
            deleted=content is None,
        )
        params = wire.PushParams(namespace=NAMESPACE, changes=[change], idempotency_key=names.new_ulid())
        request = wire.RpcRequest(id="1", method=wire.PUSH, params=msgspec.Raw(msgspec.json.encode(params)))
        answer, _ = await self.handle("stranger", msgspec.json.encode(request))
        assert b'"accepted"' in answer
