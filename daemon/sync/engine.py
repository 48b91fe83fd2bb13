"""One sync: pull what is new, push what was changed here. Each page and each answer is one transaction with its cursor.

It is told when; one at a time is what `daemon.sync.syncer` sees to. Whatever is killed in the middle is done again from
the store: pages are applied again with the same result, an unanswered push is sent again under its key.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import msgspec

from daemon.sync import incoming, merging, pushing, showing
from daemon.sync.failures import REFUSALS
from daemon.sync.incoming import Incoming
from daemon.sync.merging import Effect, Policy
from daemon.sync.remote import FullSyncRequiredError, Remote
from daemon.sync_views import SyncConflictView
from daemon.team import wire
from store import entities, errors
from store.database import Database, Transaction
from store.records import Entity, SyncState

ROUNDS = 5
"""Pushes of one sync whose conflicts were settled at once and that go on from there; more is somebody else's race to win."""
PAGES = 100_000
"""A full sync that has more pages than this goes round in circles."""


class Outcome(msgspec.Struct):
    """What a sync changed: definitions taken over, removed and pushed, and new conflicts."""

    pulled: int = 0
    removed: int = 0
    pushed: int = 0
    conflicts: int = 0

    def count(self, effect: Effect) -> None:
        """One more definition."""
        self.pulled += effect is Effect.TAKEN
        self.removed += effect is Effect.REMOVED
        self.conflicts += effect is Effect.CONFLICT


class Fetched(msgspec.Struct, frozen=True):
    """Everything that the server has, looked at and not taken over yet; `before` is where this home stood when it was asked."""

    before: SyncState | None
    server_id: str
    epoch: str
    cursor: str
    versions: list[Incoming]


class Engine:
    """The sync of one namespace.

    Args:
        db: The store.
        namespace: The one that is shared.
        policy: Which side wins a conflict, asked anew each time.
        pulled: Called after each pull: the push that follows it may still fail.
    """

    def __init__(
        self, db: Database, namespace: str, policy: Callable[[], Policy], pulled: Callable[[], None] = lambda: None
    ) -> None:
        self._db = db
        self.namespace = namespace
        self._policy = policy
        self._pulled = pulled

    async def now(self, remote: Remote) -> Outcome:
        """Pull, then push; and pull again when something was pushed, so that the next sync finds nothing new."""
        outcome = Outcome()
        await self._pull(remote, outcome)
        if await self._push(remote, outcome):
            await self._pull(remote, outcome)
        return outcome

    async def pull(self, remote: Remote) -> Outcome:
        """Take over what is new on the server."""
        outcome = Outcome()
        await self._pull(remote, outcome)
        return outcome

    async def push(self, remote: Remote) -> Outcome:
        """Send what was changed here."""
        outcome = Outcome()
        if entities.state(self._db.read, self.namespace) is None:
            await self._full(remote, outcome)
        await self._push(remote, outcome)
        return outcome

    async def full(self, remote: Remote) -> Outcome:
        """Compare everything, then push."""
        outcome = Outcome()
        await self._ask_again(remote, outcome)
        await self._full(remote, outcome)
        self._pulled()
        await self._push(remote, outcome)
        return outcome

    async def fetch(self, remote: Remote) -> Fetched:
        """Everything that the server has; nothing here is changed."""
        before = entities.state(self._db.read, self.namespace)
        page = await remote.full(None)
        first, versions = page, await self._read(page.entities)
        for _ in range(PAGES):
            if page.next_page_token is None:
                return Fetched(before, first.server_id, first.epoch, first.cursor, versions)
            page = await remote.full(page.next_page_token)
            versions += await self._read(page.entities)
        raise errors.TeamProtocolError(
            "a full sync with the team server does not end", suggestions=["ca server status"]
        )

    async def take(self, fetched: Fetched) -> Outcome | None:
        """Take over everything in one transaction; what the server does not have any more is removed here.

        Returns:
            What that changed; None when another sync came in between, so that it may be too old, and nothing was done.
        """
        outcome = Outcome()
        policy = self._policy()

        def take(tx: Transaction) -> bool:
            if entities.state(tx, self.namespace) != fetched.before:
                return False
            _take_all(tx, self.namespace, fetched, policy, outcome)
            self._tell(tx, outcome)
            return True

        return outcome if await self._db.write(take) else None

    async def resolve(self, kind: str, name: str, take: str) -> SyncConflictView:
        """Settle a conflict with the version of one side; what it was is returned. A push is up to the caller.

        Raises:
            NotFoundError: there is no such conflict.
            InvalidActionError: the server's version cannot be used here.
            SyncConflictError: it is another conflict by now.
        """
        name = pushing.whole_name(self.namespace, name)
        entity = entities.get(self._db.read, kind, name)
        if entity is None or not entity.in_conflict:
            raise errors.NotFoundError(
                f"the {kind} {name} is not in conflict with the team server", suggestions=["ca sync conflicts"]
            )
        new = await asyncio.to_thread(incoming.theirs, entity)
        if take == "server" and new.invalid is not None:
            raise errors.InvalidActionError(
                f"the team server's version of {name} cannot be used here: {new.invalid}",
                suggestions=[f"ca sync resolve {kind} {name} --take local"],
            )

        def settle(tx: Transaction) -> SyncConflictView:
            if not _same_conflict(entities.get(tx, kind, name), entity):
                raise errors.SyncConflictError(f"{name} was changed again meanwhile", suggestions=["ca sync conflicts"])
            view = showing.conflict(tx, entity)
            merging.conflict(tx, entity, new, "local_wins" if take == "local" else "server_wins")
            tx.event("sync.resolved", entity=kind, name=name, take=take)
            return view

        return await self._db.write(settle)

    # --- pulling -----------------------------------------------------------------------------------------------------------

    async def _pull(self, remote: Remote, outcome: Outcome) -> None:
        await self._ask_again(remote, outcome)
        state = entities.state(self._db.read, self.namespace)
        if state is None:
            await self._full(remote, outcome)
        else:
            try:
                await self._pull_pages(remote, state, outcome)
            except FullSyncRequiredError:
                await self._full(remote, outcome)
        await self._settle_open(outcome)
        self._pulled()

    async def _pull_pages(self, remote: Remote, state: SyncState, outcome: Outcome) -> None:
        more = True
        while more:
            page = await remote.pull(state.cursor, state.pushed)
            if (page.server_id, page.epoch) != (state.server_id, state.epoch):
                raise FullSyncRequiredError("the team server is another one than before")
            if page.more and page.cursor == state.cursor:
                raise errors.TeamProtocolError(
                    "the team server says that there is more, and gives nothing", suggestions=["ca server status"]
                )
            more = page.more
            if page.changes or page.cursor != state.cursor or (state.pushed and not more):
                state = await self._take_page(state, page, outcome)

    async def _take_page(self, state: SyncState, page: wire.PullResult, outcome: Outcome) -> SyncState:
        versions = await self._read(page.changes)
        policy = self._policy()
        counted = Outcome()

        def take(tx: Transaction) -> SyncState:
            for new in versions:
                counted.count(merging.meet(tx, new, policy))
            now = entities.state(tx, self.namespace) or state
            following = msgspec.structs.replace(now, cursor=page.cursor, pushed=now.pushed if page.more else None)
            entities.put_state(tx, following)
            self._tell(tx, counted)
            return following

        following = await self._db.write(take)
        _add(outcome, counted)
        return following

    async def _full(self, remote: Remote, outcome: Outcome) -> None:
        taken = await self.take(await self.fetch(remote))
        assert taken is not None, "one sync at a time"
        _add(outcome, taken)

    async def _read(self, found: list[wire.Entity]) -> list[Incoming]:
        """Definitions are parsed beside the event loop: a page may have a thousand, and each costs a millisecond."""
        described = [
            entities.description_here(self._db.read, entity.kind, f"{entity.namespace}/{entity.name}", entity.content)
            for entity in found
        ]
        return await asyncio.to_thread(lambda: list(map(incoming.read, found, described)))

    def _tell(self, tx: Transaction, outcome: Outcome) -> None:
        if outcome.pulled or outcome.removed:
            tx.event("sync.pulled", namespace=self.namespace, changes=outcome.pulled, removed=outcome.removed)

    async def _settle_open(self, outcome: Outcome) -> None:
        """Conflicts that wait for a choice are settled when the policy now makes it."""
        policy = self._policy()
        if policy == "manual" or not entities.conflicts_count(self._db.read, self.namespace):
            return
        for entity in entities.conflicts(self._db.read, self.namespace):
            new = await asyncio.to_thread(incoming.theirs, entity)

            def settle(tx: Transaction, entity: Entity = entity, new: Incoming = new) -> Effect:
                if not _same_conflict(entities.get(tx, entity.kind, entity.whole_name), entity):
                    return Effect.NOTHING
                return merging.conflict(tx, entity, new, policy)

            outcome.count(await self._db.write(settle))

    # --- pushing -----------------------------------------------------------------------------------------------------------

    async def _ask_again(self, remote: Remote, outcome: Outcome) -> None:
        """Hear the answer to what was sent before: only then is it known which of the server's versions are ours.

        A refusal is an answer, and no reason not to pull: what is pending is prepared anew, and refused to whoever pushes.
        """
        state = entities.state(self._db.read, self.namespace)
        push = pushing.unanswered(state) if state is not None else None
        if push is not None:
            with suppress(*REFUSALS):
                await self._send(remote, push, outcome)

    async def _push(self, remote: Remote, outcome: Outcome) -> bool:
        """Send what waits, and what has to be sent again after a conflict that was settled at once."""
        await self._ask_again(remote, outcome)
        sent = False
        for _ in range(ROUNDS):
            if not entities.pending(self._db.read, self.namespace):
                break
            push = await self._db.write(lambda tx: pushing.prepare(tx, self.namespace))
            if push is None:
                break
            await self._send(remote, push, outcome)
            sent = True
        return sent

    async def _send(self, remote: Remote, push: pushing.Push, outcome: Outcome) -> None:
        state = entities.state(self._db.read, self.namespace)
        try:
            found = await remote.push(push.changes, push.key, (state.pushed or state.cursor) if state else None)
        except FullSyncRequiredError:
            await self._full(remote, outcome)
            return
        except REFUSALS:
            await self._db.write(lambda tx: pushing.forget(tx, self.namespace))
            raise
        answered = await asyncio.to_thread(pushing.answers, push, found, self.namespace)
        policy = self._policy()
        accepted, conflicts = await self._db.write(
            lambda tx: pushing.settle(tx, self.namespace, answered, found.cursor, policy)
        )
        outcome.pushed += accepted
        outcome.conflicts += conflicts


def _take_all(tx: Transaction, namespace: str, fetched: Fetched, policy: Policy, outcome: Outcome) -> None:
    before = fetched.before
    foreign = before is not None and before.server_id != fetched.server_id
    sent = {} if before is None or foreign else pushing.sent(before)
    there = {(new.kind, new.name) for new in fetched.versions}
    for entity in entities.every(tx, namespace):
        key = entity.kind, entity.whole_name
        if key in sent and sent[key] is None and key not in there:
            merging.own(tx, incoming.nothing(*key))
        elif key not in there:
            outcome.count(merging.gone(tx, entity, policy, foreign=foreign))
    for new in fetched.versions:
        if sent.get((new.kind, new.name)) == new.content:
            merging.own(tx, new)
        else:
            outcome.count(merging.meet(tx, new, policy, keep=True))
    entities.put_state(tx, SyncState(namespace, fetched.server_id, fetched.epoch, fetched.cursor))


def _same_conflict(now: Entity | None, then: Entity) -> bool:
    return now is not None and (now.theirs_revision, now.theirs_content, now.pending) == (
        then.theirs_revision, then.theirs_content, then.pending,
    )  # fmt: skip


def _add(outcome: Outcome, more: Outcome) -> None:
    outcome.pulled += more.pulled
    outcome.removed += more.removed
    outcome.pushed += more.pushed
    outcome.conflicts += more.conflicts
