"""All processes of one command, however far they moved from it, and how they are ended."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping

from daemon import exit_watch, identities
from daemon.exit_watch import ExitWatch
from daemon.identities import ProcessIdentity

KILL_WAIT = 2.0
"""Seconds after which a process that got SIGKILL counts as one that cannot be ended."""

_CLEAR_ROUNDS = 3  # a process that forks while it is being killed is caught in a later round


class Family:
    """All processes of one command: its session and group, its descendants, and who carries its cookie."""

    def __init__(self, leader: ProcessIdentity, cookie: Mapping[str, str]) -> None:
        self.leader = leader
        self.ended: set[int] = set()
        self._cookie = dict(cookie)
        self._descendants: set[ProcessIdentity] = set()
        self._warned: set[int] = set()
        self._numbered = True

    def forget_number(self) -> None:
        """From now on only the cookie tells: the leader is long gone, and its number may be anybody's session."""
        self._numbered = False

    async def warn_runaways(self) -> None:
        """SIGTERM for those which a signal to the group does not reach; remembers all descendants while they are."""
        await asyncio.to_thread(self._remember_descendants)
        members = await self._members()
        for member in members:
            if _group_of(member.pid) != self.leader.pid:
                member.signal(signal.SIGTERM)
            self._warned.add(member.pid)
            member.close()

    async def clear(self, grace: float) -> list[int]:
        """End all but the leader: SIGTERM, after `grace` seconds SIGKILL. Returns who could not be ended."""
        for attempt in range(_CLEAR_ROUNDS):
            members = await self._members()
            if not members:
                return []
            for member in members:
                if attempt == 0 and member.pid in self._warned:
                    continue  # it got its SIGTERM with all the others
                self.ended.add(member.pid)
                member.signal(signal.SIGKILL if attempt else signal.SIGTERM)
                member.signal(signal.SIGCONT)
            await exit_watch.all_ended(members, KILL_WAIT if attempt else max(grace, 0))
        stubborn = await self._members()
        for member in stubborn:
            member.close()
        return [member.pid for member in stubborn]

    async def _members(self) -> list[ExitWatch]:
        members: list[ExitWatch] = []
        for pid in await asyncio.to_thread(self._find):
            with contextlib.suppress(ProcessLookupError):
                watch = ExitWatch(pid)
                if self._has(pid):
                    members.append(watch)
                else:
                    watch.close()
        return members

    def _find(self) -> list[int]:
        import psutil  # noqa: PLC0415  a command that leaves nothing behind needs no look at all processes

        apart = {os.getpid(), self.leader.pid}
        return [pid for pid in psutil.pids() if pid not in apart and self._has(pid)]

    def _has(self, pid: int) -> bool:
        related = (self._is_in_session(pid) and self._owns_number()) or self._carries_cookie(pid)
        if not related and not self._descendants:
            return False
        identity = identities.identify(pid)
        return identity is not None and (related or identity in self._descendants)

    def _is_in_session(self, pid: int) -> bool:
        try:
            return self.leader.pid in {os.getsid(pid), os.getpgid(pid)}
        except OSError:
            return False

    def _owns_number(self) -> bool:
        """A number is not given away while a session or group bears it, so another leader means that ours is gone."""
        if not self._numbered:
            return False
        try:
            found = identities.look(self.leader.pid)
        except OSError:
            return False
        return found is None or found.start_time == self.leader.start_time

    def _carries_cookie(self, pid: int) -> bool:
        if not self._cookie:
            return False
        import psutil  # noqa: PLC0415

        try:
            environment = psutil.Process(pid).environ()
        except (psutil.Error, OSError):
            return False
        return all(environment.get(name) == value for name, value in self._cookie.items())

    def _remember_descendants(self) -> None:
        import psutil  # noqa: PLC0415

        with contextlib.suppress(psutil.Error):
            found = [
                identities.identify(child.pid) for child in psutil.Process(self.leader.pid).children(recursive=True)
            ]
            self._descendants.update(identity for identity in found if identity is not None)


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except OSError:
        return None
