"""What the team server stores: definitions with their revisions, the history of each namespace, and tokens.

A namespace's history is a row for each revision with a hash over every change up to it. So a client that says where it
stands is recognised, or told apart from one whose history went another way: the database may have been restored from a copy.
"""

import contextlib
import hashlib
from collections.abc import Generator
from typing import NamedTuple

import msgspec

from store import rows
from store.clock import SECOND
from store.database import Reader, Transaction
from store.records import Record

DAY = 86_400 * SECOND
DELETIONS_KEPT = 90 * DAY
ANSWERS_KEPT = 7 * DAY

_SQL = rows.statements("team")


class Token(Record, frozen=True):
    """Who may read or write a namespace; `digest` is the token's SHA-256."""

    token_id: str
    digest: str
    namespace: str
    role: str
    name: str
    created_at: int
    revoked_at: int | None


class Entity(Record, frozen=True):
    """A definition, or that it was deleted: then it has no content."""

    namespace: str
    kind: str
    name: str
    revision: int
    content: str | None
    digest: str | None
    deleted: int
    updated_at: int
    updated_by: str


class Change(msgspec.Struct, frozen=True):
    """What a client wants a definition to be; no content deletes it.

    Attributes:
        base_revision: The one that the client has seen; 0 for none.
    """

    kind: str
    name: str
    base_revision: int
    content: str | None


class Verdict(msgspec.Struct, frozen=True):
    """What became of a change.

    Attributes:
        revision: The definition's now; None when there is nothing of that name.
        current: What stands in the way, when it was not accepted.
    """

    accepted: bool
    revision: int | None
    current: Entity | None = None


class Position(NamedTuple):
    """A place in a namespace's history."""

    revision: int
    chain: str


class Standing(NamedTuple):
    """Which database this is, and where the history of a namespace stands in it."""

    server_id: str
    epoch: str
    newest: Position


class NoticeRow(NamedTuple):
    """That a definition changed."""

    kind: str
    name: str
    revision: int
    deleted: bool
    chain: str


class Page(NamedTuple):
    """Some definitions, and whether there are more."""

    entities: list[Entity]
    more: bool


class Recent:
    """What every request asks for, read anew only when somebody has written since: SQLite is asked each time.

    Args:
        db: Never writes itself.
    """

    def __init__(self, db: Reader) -> None:
        self._db = db
        self._version = -1
        self._tokens: dict[str, Token] = {}
        self._standings: dict[str, Standing] = {}

    def token(self, digest: str) -> Token | None:
        """The token of a digest, also a revoked one."""
        self._forget_when_old()
        found = self._tokens.get(digest) or token_by_digest(self._db, digest)
        if found is not None:
            self._tokens[digest] = found
        return found

    def standing(self, namespace: str) -> Standing:
        """Which database this is, and where a namespace stands, at one moment."""
        self._forget_when_old()
        found = self._standings.get(namespace) or standing(self._db, namespace)
        if found.newest.revision:  # a caller without a token may name any number of empty ones
            self._standings[namespace] = found
        return found

    def _forget_when_old(self) -> None:
        version = self._db.scalar(_SQL["writes"])
        if version != self._version:
            self._tokens.clear()
            self._standings.clear()
            self._version = version


# --- reading -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def snapshot(db: Reader) -> Generator[None]:
    """What is read inside is of one moment; there must be no `await` inside."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        db.execute("COMMIT")


def server_id(db: Reader) -> str:
    """Which database this is."""
    return str(db.scalar(_SQL["server_id"]))


def standing(db: Reader, namespace: str) -> Standing:
    """Which database this is, and where a namespace stands, at one moment."""
    ((server_id, epoch, revision, chain),) = db.execute(_SQL["standing"], (namespace,))
    return Standing(server_id, epoch, beginning(namespace) if revision is None else Position(revision, chain))


def newest(db: Reader, namespace: str) -> Position:
    """Where the history of a namespace stands."""
    found = db.execute(_SQL["newest"], (namespace,))
    return Position(*found[0]) if found else beginning(namespace)


def beginning(namespace: str) -> Position:
    """Where the history of every namespace starts."""
    return Position(0, _hash(namespace))


def knows(db: Reader, namespace: str, epoch: str, position: Position) -> bool:
    """Whether the history of a namespace went through a position, and still has everything since."""
    found = standing(db, namespace)
    if epoch != found.epoch:
        return False
    if position == found.newest:
        return True
    return bool(db.scalar(_SQL["chain_at"], (namespace, position.revision)) == position.chain)


def position_at(db: Reader, namespace: str, revision: int) -> Position:
    """The position of a revision that the history still has."""
    return Position(revision, db.scalar(_SQL["chain_at"], (namespace, revision)))


def changed(db: Reader, namespace: str, revision: int, *, limit: int, size: int) -> Page:
    """What changed after a revision, deletions included, in the order of revisions.

    Args:
        db: Inside a `snapshot`.
        namespace: Whose.
        revision: The last one that is not wanted.
        limit: Definitions at most.
        size: Bytes of their contents at most, but for the first.
    """
    bindings = {"namespace": namespace, "revision": revision}
    fitting, more = _fitting(db.execute(_SQL["changed_sizes"], {**bindings, "limit": limit + 1}), limit, size)
    if fitting == 0:
        return Page([], more=False)
    return Page(db.whole(Entity, _SQL["changed"], {**bindings, "limit": fitting}), more)


def alive(db: Reader, namespace: str, after: tuple[str, str], *, limit: int, size: int) -> Page:
    """What is there after a kind and name, in their order; the arguments are those of `changed`."""
    bindings = {"namespace": namespace, "kind": after[0], "name": after[1]}
    fitting, more = _fitting(db.execute(_SQL["alive_sizes"], {**bindings, "limit": limit + 1}), limit, size)
    if fitting == 0:
        return Page([], more=False)
    return Page(db.whole(Entity, _SQL["alive"], {**bindings, "limit": fitting}), more)


def _fitting(sizes: list[tuple[int]], limit: int, size: int) -> tuple[int, bool]:
    """How many definitions go on a page, and whether more follow: contents are long, so none is read to be left out."""
    total = 0
    for count, (length,) in enumerate(sizes):
        total += length
        if count == limit or (count and total > size):
            return count, True
    return len(sizes), False


def get(db: Reader, namespace: str, kind: str, name: str) -> Entity | None:
    """A definition, or that it was deleted."""
    return db.one(Entity, _SQL["get"], (namespace, kind, name))


def notices(db: Reader, namespace: str, revision: int, limit: int) -> list[NoticeRow]:
    """What changed after a revision, in order, without the contents."""
    found = db.execute(_SQL["notices"], {"namespace": namespace, "revision": revision, "limit": limit})
    return [NoticeRow(kind, name, number, bool(deleted), chain) for kind, name, number, deleted, chain in found]


def count(db: Reader, namespace: str) -> int:
    """How many definitions a namespace has."""
    return int(db.scalar(_SQL["count"], (namespace,)))


# --- writing -----------------------------------------------------------------------------------------------------------


def push(tx: Transaction, namespace: str, change: Change, by: str) -> Verdict:
    """Take over a change whose writer has seen what it replaces; one that changes nothing is accepted and not written."""
    current = get(tx, namespace, change.kind, change.name)
    revision = current.revision if current else 0
    if change.content == (current.content if current else None):
        return Verdict(accepted=True, revision=revision or None)
    if change.base_revision != revision:
        return Verdict(accepted=False, revision=revision or None, current=current)
    return Verdict(accepted=True, revision=_put(tx, namespace, change, by))


def _put(tx: Transaction, namespace: str, change: Change, by: str) -> int:
    """Write a change as the next revision of its namespace."""
    digest = None if change.content is None else hashlib.sha256(change.content.encode()).hexdigest()
    before = newest(tx, namespace)
    if before.revision == 0:
        tx.execute(_SQL["log"], (namespace, *before, tx.now))
    revision = before.revision + 1
    chain = _hash(before.chain, revision, change.kind, change.name, digest)
    tx.execute(_SQL["log"], (namespace, revision, chain, tx.now))
    deleted = int(change.content is None)
    row = (namespace, change.kind, change.name, revision, change.content, digest, deleted, tx.now, by)
    tx.execute(_SQL["put"], row)
    return revision


def _hash(*parts: object) -> str:
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]


def answered(db: Reader, namespace: str, key: str) -> tuple[str, str] | None:
    """The digest of the changes that came with an idempotency key, and what they were answered."""
    found = db.execute(_SQL["answered"], (namespace, key))
    return (found[0][0], found[0][1]) if found else None


def remember(tx: Transaction, namespace: str, key: str, digest: str, answer: str) -> None:
    """Keep the answer to a push."""
    tx.execute(_SQL["answer"], (namespace, key, digest, answer, tx.now))


def collect(tx: Transaction) -> None:
    """Forget old deletions, with the history that needs them, and old answers.

    A client that stands before a deletion that was forgotten is told by its place in the history being gone too.
    """
    for namespace, floor in tx.execute(_SQL["floors"], (tx.now - DELETIONS_KEPT,)):
        tx.execute(_SQL["forget_deleted"], (namespace, floor))
        tx.execute(_SQL["forget_changes"], (namespace, floor))
    tx.execute(_SQL["forget_answers"], (tx.now - ANSWERS_KEPT,))


# --- tokens ------------------------------------------------------------------------------------------------------------


def add_token(tx: Transaction, token: Token) -> None:
    """Add a new token."""
    rows.insert(tx, "tokens", token)


def tokens(db: Reader) -> list[Token]:
    """Every token, oldest first."""
    return db.whole(Token, _SQL["tokens"])


def any_token(db: Reader) -> bool:
    """Whether there is any token, also a revoked one."""
    return bool(db.scalar(_SQL["any_token"]))


def token_by_digest(db: Reader, digest: str) -> Token | None:
    """The token of a digest, also a revoked one."""
    return db.one(Token, _SQL["token"], (digest,))


def revoke_token(tx: Transaction, token_id: str) -> Token | None:
    """Take a token out of use; None when there is none. The first time that it was revoked stays."""
    return tx.one(Token, _SQL["revoke"], (tx.now, token_id))
