"""All processes of one command, however far they moved from it, and how they are ended."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Collection, Mapping

from daemon import exit_watch, identities
from daemon.exit_watch import ExitWatch
from daemon.identities import ProcessIdentity
from daemon.marks import Mark

KILL_WAIT = 2.0
"""Seconds after which a process that got SIGKILL counts as one that cannot be ended."""

_ROUNDS = 5  # of freezing and killing; only what escaped the first one needs another
_LOOKS = 20  # at all processes in one round, until one finds nobody new
_DOUBTS = 3  # looks that find nobody, but miss somebody who came and went, as on a busy machine
_HELD = 64  # descriptors at a time, however large the family is


class Family:
    """All processes of one command, or of all commands of a job.

    They carry its mark, are in its session or group, have its cookie in their environment, or were its descendants when
    its end began. Nobody of the daemon's own session belongs to it.

    Args:
        leader: The command's first process: it leads the session, and is not ended here. None for a job.
        cookie: Variables that only its processes have in their environment; may be empty.
        mark: What only its processes carry.
    """

    def __init__(self, leader: ProcessIdentity | None, cookie: Mapping[str, str], mark: Mark) -> None:
        self.ended: set[int] = set()
        self._leader = leader
        self._cookie = dict(cookie)
        self._mark = mark
        self._numbered = leader is not None
        self._descendants: set[ProcessIdentity] = set()
        self._warned: set[ProcessIdentity] = set()
        self._refused: set[ProcessIdentity] = set()

    @property
    def leader(self) -> ProcessIdentity:
        """The first process of the command."""
        assert self._leader is not None, "only the family of a job has none"
        return self._leader

    def forget_number(self) -> None:
        """The leader is long gone, and its number may be anybody's session: by itself it tells nothing any more."""
        self._numbered = False

    async def warn_runaways(self) -> None:
        """SIGTERM for those which a signal to the group does not reach; remembers all descendants while they are."""
        await asyncio.to_thread(self._remember_descendants)
        for member in await asyncio.to_thread(self._find, everywhere=True):
            if _group_of(member.pid) != self.leader.pid:
                self._warn(member)
            self._warned.add(member)

    async def clear(self, grace: float, *, everywhere: bool = True, watch: ExitWatch | None = None) -> list[int]:
        """End all but the leader: SIGTERM, SIGKILL after `grace` seconds. Returns who could not be ended.

        Args:
            grace: Seconds, also for those who were warned before.
            everywhere: Also those who left the leader's session.
            watch: The leader, held: its group can be stopped as one.
        """
        members = await asyncio.to_thread(self._find, everywhere=everywhere)
        if not members:
            return []
        self.ended |= {member.pid for member in members}
        for member in members - self._warned:
            self._warn(member)
        await _all_ended(members - self._refused, grace)
        killed: set[ProcessIdentity] = set()
        for _ in range(_ROUNDS):
            members = await asyncio.to_thread(self._freeze_and_kill, everywhere=everywhere, watch=watch)
            if members <= killed | self._refused:
                break
            killed |= members
            self.ended |= {member.pid for member in members}
            await _all_ended(members - self._refused, KILL_WAIT)
        if members:
            members = await asyncio.to_thread(self._find, everywhere=everywhere)
        stubborn = {member.pid for member in members}
        self.ended -= stubborn
        return sorted(stubborn)

    def _warn(self, member: ProcessIdentity) -> None:
        self._signal(member, signal.SIGTERM)
        self._signal(member, signal.SIGCONT)  # a stopped process does not see its SIGTERM

    def _find(self, *, everywhere: bool) -> set[ProcessIdentity]:
        found: set[ProcessIdentity] = set()
        for _ in range(_DOUBTS):
            if self._look(found, everywhere=everywhere) or found:
                break
        return found

    def _freeze_and_kill(self, *, everywhere: bool, watch: ExitWatch | None) -> set[ProcessIdentity]:
        """Stop whoever is found until nobody new is: who is stopped cannot fork. Then kill them all."""
        frozen: set[ProcessIdentity] = set()
        group = watch if self._owns_number() else None
        try:
            if group is not None:
                group.signal_group(signal.SIGSTOP)
            doubts = 0
            for _ in range(_LOOKS):
                before = len(frozen)
                if everywhere:
                    self._freeze_marked(frozen)
                complete = self._look(frozen, everywhere=everywhere, send=signal.SIGSTOP)
                doubts = doubts + 1 if len(frozen) == before else 0
                if doubts and (complete or doubts == _DOUBTS):
                    break
        finally:
            for member in frozen:
                self._signal(member, signal.SIGKILL)
            if group is not None:
                group.signal_group(signal.SIGCONT)  # the leader has to go on
        return frozen

    def _freeze_marked(self, frozen: set[ProcessIdentity]) -> None:
        """Stop those with the mark, at a microsecond for everybody else: few have the time to fork and be gone."""
        pids = {member.pid for member in frozen}
        for _ in range(_LOOKS):
            before = len(frozen)
            for pid in sorted(identities.everybody(), reverse=True):
                with contextlib.suppress(ProcessLookupError):
                    if pid in pids or not self._mark.is_on(pid) or self._is_apart(pid):
                        continue
                    pids.add(pid)
                    member = self._stop_marked(pid)
                    if member is not None:
                        frozen.add(member)
            if len(frozen) == before:
                return

    def _stop_marked(self, pid: int) -> ProcessIdentity | None:
        """Who was stopped; None for a zombie, or where it is not allowed."""
        with contextlib.closing(ExitWatch(pid)) as watch:
            if not self._mark.is_on(pid):
                return None
            with contextlib.suppress(PermissionError):  # noted when the signal comes by the other way
                watch.signal(signal.SIGSTOP)
                return identities.identify(pid)
        return None

    def _look(self, known: set[ProcessIdentity], *, everywhere: bool, send: signal.Signals | None = None) -> bool:
        """Look at all processes once, the newest first; who belongs here is added to `known` and signalled at once.

        Returns:
            False when somebody was gone before it was looked at: it may have left a child that was not listed yet.
        """
        complete = True
        owned = self._owns_number()
        parents = {member.pid for member in known}
        for pid in sorted(identities.everybody(), reverse=True):
            try:
                seen = identities.look(pid)
            except OSError:
                continue  # hidden from us
            if seen is None:
                complete = False
                continue
            member = seen.identity(pid)
            if member in known or seen.zombie or (self._leader and identities.is_older(member, self._leader)):
                continue
            try:
                belongs = not self._is_apart(pid) and (
                    self._has(member, owned=owned, everywhere=everywhere) or (everywhere and seen.parent in parents)
                )
            except ProcessLookupError:
                complete = False
                continue
            if belongs:
                known.add(member)
                if send is not None:
                    self._signal(member, send)
        return complete

    def _is_apart(self, pid: int) -> bool:
        return (self._leader is not None and pid == self._leader.pid) or os.getsid(pid) == os.getsid(0)

    def _has(self, member: ProcessIdentity, *, owned: bool, everywhere: bool) -> bool:
        pid = member.pid
        in_session = self._leader is not None and self._leader.pid in {os.getsid(pid), os.getpgid(pid)}
        if in_session and owned:
            return True
        if not in_session and not everywhere:
            return False
        return self._mark.is_on(pid) or identities.carries(pid, self._cookie) or member in self._descendants

    def _owns_number(self) -> bool:
        """A number is not given away while a session or group bears it, so another leader means that ours is gone."""
        if not self._numbered:
            return False
        try:
            found = identities.look(self.leader.pid)
        except OSError:
            return False
        return found is None or found.start_time == self.leader.start_time

    def _signal(self, member: ProcessIdentity, number: signal.Signals) -> None:
        """Signal exactly this process: it is held when its identity is compared."""
        watch = _hold(member)
        if watch is None:
            return
        try:
            watch.signal(number)
        except PermissionError:
            self._refused.add(member)
        finally:
            watch.close()

    def _remember_descendants(self) -> None:
        if identities.identify(self.leader.pid) != self.leader:
            return
        children: dict[int, list[ProcessIdentity]] = {}
        for pid in identities.everybody():
            with contextlib.suppress(OSError):
                if (seen := identities.look(pid)) is not None:
                    children.setdefault(seen.parent, []).append(seen.identity(pid))
        parents = [self.leader.pid]
        while parents:
            found = [child for child in children.pop(parents.pop(), []) if child not in self._descendants]
            self._descendants.update(found)
            parents.extend(child.pid for child in found)


def _hold(member: ProcessIdentity) -> ExitWatch | None:
    """This very process, held; None when it has ended."""
    try:
        watch = ExitWatch(member.pid)
    except ProcessLookupError:
        return None
    # Only now, with the process held by descriptor, does the comparison speak of what will be signalled.
    if identities.identify(member.pid) == member:
        return watch
    watch.close()
    return None


async def _all_ended(members: Collection[ProcessIdentity], seconds: float) -> None:
    """Wait until all have ended, at most so long."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    waiting = list(members)
    while waiting and loop.time() < deadline:
        watches = [watch for member in waiting[:_HELD] if (watch := _hold(member)) is not None]
        await exit_watch.all_ended(watches, deadline - loop.time())
        del waiting[:_HELD]


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except OSError:
        return None
