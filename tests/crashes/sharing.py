"""Ways that pass the commits of a sync; the team server is there for as long as a way goes on."""

import contextlib
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Literal

from daemon import protocol
from daemon.team import wire
from store import entities, errors
from tests import daemons
from tests.team.server import NAMESPACE, TeamServer, serving

if TYPE_CHECKING:
    from tests.crashes.scenarios import Scene

Ask = Callable[[protocol.Request[Any]], Any]

ALONE = {"CLEVERAGENTS_SERVER_SYNC_AUTO": "false"}
"""The environment of a daemon that syncs when it is told to."""


def text(name: str, word: str) -> str:
    """The content of an actor; `name` is the whole one."""
    return f"name: {name}\ntype: command\ncommand: [{word}]\n"


class Member:
    """Somebody who shares a namespace.

    Args:
        ask: Of the own daemon.
        url: The team server's.
        namespace: The one that is shared.
    """

    def __init__(self, ask: Ask, url: str, namespace: str = NAMESPACE) -> None:
        self.ask = ask
        self.url = url
        self.namespace = namespace

    def connect(self) -> None:
        self.ask(protocol.ServerConnect(url=self.url, namespace=self.namespace))

    def disconnect(self) -> None:
        self.ask(protocol.ServerDisconnect())

    def edit(self, name: str, word: str) -> None:
        """Make or change an actor."""
        content = text(f"{self.namespace}/{name}", word).encode()
        self.ask(protocol.ActorCreate(content=content, source="test", update=True))

    def remove(self, name: str) -> None:
        self.ask(protocol.ActorRemove(actor=f"{self.namespace}/{name}"))

    def sync(self, what: Literal["now", "pull", "push", "full"] = "now") -> None:
        self.ask(protocol.SyncRun(what=what))

    def resolve(self, name: str, take: Literal["local", "server"]) -> None:
        self.ask(protocol.SyncResolve(kind="actor", name=f"{self.namespace}/{name}", take=take))


def push(server: TeamServer, name: str, word: str, *, base: int = 0, namespace: str = NAMESPACE) -> None:
    """Somebody else makes or changes an actor on what they have seen."""
    change = wire.Change(kind="actor", name=name, base_revision=base, content=text(f"{namespace}/{name}", word))
    pushed = server.push(change, namespace=namespace)
    assert [result.status for result in pushed.results] == ["accepted"]


def collide(member: Member, server: TeamServer) -> None:
    """The actor `x` is changed by the member and by somebody else."""
    member.edit("x", "base")
    member.sync()
    push(server, "x", "theirs", base=1, namespace=member.namespace)
    member.edit("x", "ours")
    member.sync()


# --- the ways -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def connected(scene: "Scene") -> Generator[tuple[Member, TeamServer]]:
    (scene.directory / "team").mkdir()
    with serving(scene.directory / "team") as server:
        member = Member(scene.ask, server.url)
        member.connect()
        yield member, server


def connecting(scene: "Scene") -> None:
    with connected(scene):
        pass


def disconnecting(scene: "Scene") -> None:
    with connected(scene) as (member, _):
        member.disconnect()


def pulling(scene: "Scene") -> None:
    with connected(scene) as (member, server):
        push(server, "x", "theirs")
        member.sync()


def pushing(scene: "Scene") -> None:
    with connected(scene) as (member, _):
        member.edit("x", "ours")
        member.sync()


def refused(scene: "Scene") -> None:
    """The definition is longer than the server takes; no daemon would take it today."""
    with connected(scene) as (member, _):
        member.edit("x", "ours")
        content = text(f"{NAMESPACE}/x", f"ours] #{'x' * wire.CONTENT_LIMIT}")
        store = daemons.raw_store(scene.home)
        store.execute("UPDATE actors SET content = ?, digest = ?", (content, entities.digest(content)))
        store.close()
        member.sync()


def colliding(scene: "Scene") -> None:
    with connected(scene) as (member, server):
        collide(member, server)


def resolving(scene: "Scene") -> None:
    with connected(scene) as (member, server):
        collide(member, server)
        member.resolve("x", "server")


def failing(scene: "Scene") -> None:
    """The server goes away."""
    with connected(scene) as (member, _):
        pass
    with contextlib.suppress(errors.UnreachableError):
        member.sync()


def recovering(scene: "Scene") -> None:
    """For a while the server has a part of its store somewhere else."""
    with connected(scene) as (member, server):
        push(server, "x", "theirs")
        server.write(lambda tx: tx.execute("ALTER TABLE entities RENAME TO elsewhere"))
        with contextlib.suppress(errors.UnreachableError):
            member.sync()
        server.write(lambda tx: tx.execute("ALTER TABLE elsewhere RENAME TO entities"))
        member.sync()


def describing(scene: "Scene") -> None:
    """Somebody else says something about a project that has a directory here."""
    scene.prepare()
    (scene.directory / "folder").mkdir()
    with connected(scene) as (member, server):
        scene.ask(protocol.ProjectAdd(path=str(scene.directory / "folder"), name=f"{NAMESPACE}/folder"))
        member.sync()
        content = f"name: {NAMESPACE}/folder\nkind: folder\ndescription: theirs\n"
        server.push(wire.Change(kind="project", name="folder", base_revision=1, content=content))
        member.sync()
