"""One run of `ca`: what was asked, the way to the daemon, and where answers go."""

import sys
import time
from collections.abc import Mapping
from functools import cached_property
from typing import Any, TypeVar

from cleveragents_tui import client as clients
from cleveragents_tui import output
from cleveragents_tui.output import NeedsCallerError, Output, Result
from daemon import protocol
from store import errors
from store import paths as places
from store.version import VERSION

V = TypeVar("V")


READS: frozenset[type] = frozenset({
    protocol.Status, protocol.DaemonStatus, protocol.Diagnostics, protocol.EventList, protocol.PlanList, protocol.PlanShow,
    protocol.PlanTree, protocol.PlanDiff, protocol.PlanErrors, protocol.JobList, protocol.JobShow, protocol.ActionList,
    protocol.ActionShow, protocol.ActorList, protocol.ActorShow, protocol.PlanArtifacts, protocol.PlanExplain,
    protocol.PlanPreview, protocol.PlanConflicts, protocol.PlanBoard, protocol.JobBoard,
    protocol.ProjectList, protocol.ProjectShow, protocol.LockList, protocol.ServerStatus, protocol.SyncStatus,
    protocol.SyncConflicts,
})  # fmt: skip
"""Requests that change nothing, so that asking twice does no harm."""


REPAIRING = frozenset({"info", "diagnostics", "config get", "config set", "config unset", "config path"})
"""Commands for finding out what is wrong with the configuration, and for putting it right."""

PAGED = frozenset({
    "plan diff", "plan logs", "plan tree", "plan list", "plan errors", "plan explain", "plan artifacts",
    "plan conflicts", "sync conflicts", "job logs", "job list", "events", "daemon logs",
})  # fmt: skip
"""Commands whose output may be longer than a screen."""

NEED_CALLER = frozenset({
    "tui", "demo", "plan follow", "plan wait", "job follow", "job wait", "lock run", "daemon start", "daemon restart",
    "server serve", "server start",
})  # fmt: skip
"""Commands that take the terminal, last long, or start what goes on after them: only the process that was called has the
terminal, the time and the limits for that."""


class Session:
    """What every verb is given.

    Attributes:
        command: The command in words, as the envelope names it.
        out: The streams and the format.
        messages: Sentences that came with the daemon's answers.
    """

    def __init__(self, environ: Mapping[str, str], *, apart: bool = False) -> None:
        """A run with this environment; `apart` in a process that carries it out for the one that was called."""
        self.started = time.monotonic()
        self.environ = environ
        self.command = ""
        self.out = Output(environ, sys.stdout, sys.stderr, now=time.time(), apart=apart)
        self.messages: list[str] = []
        self._format: str | None = None
        self._apart = apart
        self._acted = False

    @cached_property
    def paths(self) -> places.Paths:
        return places.resolve(self.environ)

    def setting(self, key: str, *, project: str | None = None, flag: str | None = None) -> Any:
        """The value of a configuration key."""
        # Reading the file is not for free, and most commands need no key.
        from store.config import Config  # noqa: PLC0415  as said

        return Config(self.paths.config_file, self.environ).get(key, project=project, flag=flag).value

    def ask_for_format(self, name: str | None) -> None:
        """Note `--format`; the one nearest to the verb wins."""
        if name is not None:
            self._format = name
            self.out.choose(name)

    def settle_format(self) -> None:
        """The format: the flag, else the environment, else the configuration file if there is one."""
        if self._format is not None:
            return
        given = self.environ.get("CLEVERAGENTS_CORE_FORMAT", "").strip().lower()
        if given in output.FORMATS:
            self.out.choose(given)
        elif given or self.paths.config_file.exists():
            self.out.choose(str(self.setting("core.format")))

    def begin(self, command: str, *, following: bool = False, waiting: bool = False) -> None:
        """A command is about to run; one that follows something prints as it happens."""
        self.command = command
        if following or waiting or command in NEED_CALLER:
            self.need_caller()
        try:
            if command != "completion":  # a script for a shell, unless the flag says otherwise
                self.settle_format()
        except errors.CleverAgentsError:
            if command not in REPAIRING:
                raise
        if command in PAGED and not following:
            self.out.hold()

    def need_caller(self) -> None:
        """What comes now is only for the process that was called; before anything is printed or changed.

        Raises:
            NeedsCallerError: this is another one.
        """
        if self._apart:
            raise NeedsCallerError

    @cached_property
    def client(self) -> clients.Client:
        """The connection to the daemon, which is started when it does not run."""
        found = self.connect()
        self._mention_version(found)
        return found

    def connect(self) -> clients.Client:
        """A connection of its own; the daemon is started when it does not run.

        Raises:
            CleverAgentsError: there is none, and none may be, or could be, started.
        """
        if not self._apart or self._acted:
            return clients.connect_or_start(self.paths.socket, self.environ, self.say)
        try:
            found = clients.connect(self.paths.socket)
        except (clients.NoDaemonError, clients.ConnectionLostError, clients.VersionSkewError) as error:
            raise NeedsCallerError from error
        if found.hello.draining or found.hello.version != VERSION:
            raise NeedsCallerError
        return found

    def existing(self) -> clients.Client | None:
        """The connection to the daemon, None when none runs; for commands that never start one."""
        try:
            found = clients.connect(self.paths.socket)
        except (clients.NoDaemonError, clients.ConnectionLostError):  # the latter is one that has just died
            from cleveragents_tui import starting  # noqa: PLC0415  as below

            found = starting.recall(self.paths, self.environ)
        if found is not None:
            self._mention_version(found)
        return found

    def _mention_version(self, found: clients.Client) -> None:
        if found.hello.version != VERSION:
            from cleveragents_tui import starting  # noqa: PLC0415  a command that finds its daemon does not need it

            older = starting.is_older(found.hello.version)
            how = "renew it with: ca daemon restart" if older else "update this program"
            self.messages.append(f"the daemon is version {found.hello.version}, this is {VERSION}; {how}")

    def call(self, request: protocol.Request[V], *, timeout: float | None = clients.REQUEST_SECONDS) -> V:
        """Ask the daemon, and wait for the answer; what only reads is asked again when the daemon dies meanwhile."""
        connected = self.client
        self._acted = self._acted or type(request) not in READS
        try:
            answer = connected.call(request, timeout=timeout)
        except clients.ConnectionLostError:
            if type(request) not in READS:
                raise
            del self.client
            answer = self.client.call(request, timeout=timeout)
        self.collect(self.client)
        return answer

    def collect(self, source: clients.Client) -> None:
        """Take over the sentences that came with a client's answers."""
        self.messages += source.messages
        source.messages.clear()

    def say(self, line: str) -> None:
        """A line of talk, at once."""
        self.out.talk(self.out.talk_look.dim(line))

    @property
    def interactive(self) -> bool:
        """Whether somebody sits there who can be asked.

        Raises:
            NeedsCallerError: there is, and this is not the process that was called, which can ask.
        """
        there = sys.stdin.isatty() and self.out.stderr.isatty()
        if there:
            self.need_caller()
        return there

    @property
    def watched(self) -> bool:
        """Whether somebody sits there who can watch."""
        return self.out.stdout.isatty() and self.out.stderr.isatty()

    @property
    def has_screen(self) -> bool:
        """Whether the dashboard can be shown: a terminal to draw on (it does so on stderr) and to read keys from."""
        return self.interactive and self.watched and self.environ.get("TERM", "") not in {"", "dumb"}

    def must_be_told(self, *, yes: bool) -> bool:
        """Whether a destructive verb has to ask first.

        Raises:
            UsageError: it has to, and nobody is there to answer.
        """
        if yes:
            return False
        if not self.interactive:
            raise errors.UsageError(
                f"`ca {self.command}` asks before it acts, and there is no terminal to ask on; say --yes",
                suggestions=[f"ca {self.command} … --yes"],
            )
        return True

    def confirm(self, *lines: str) -> None:
        """Show what is about to happen and ask; only `y` and `yes` go on.

        Raises:
            DeclinedError: the answer was no.
        """
        *shown, question = lines
        self.out.talk(*shown)
        self.out.stderr.write(f"{question} [y/N] ")
        self.out.stderr.flush()
        if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
            raise DeclinedError("nothing was done")

    def finish(self, result: Result[Any]) -> int:
        """Print what the verb came to; returns the exit code."""
        return self.out.finish(self.command, result, self.messages, self._elapsed())

    def fail(self, error: errors.CleverAgentsError) -> int:
        """Print an error; returns the exit code."""
        return self.out.fail(self.command, error, self.messages, self._elapsed())

    def interrupted(self) -> int:
        """Print that Ctrl-C ended the command; returns the exit code."""
        return self.out.interrupted(self.command, self.messages, self._elapsed())

    def _elapsed(self) -> int:
        return round((time.monotonic() - self.started) * 1000)


class DeclinedError(errors.PlanCancelledError):
    """The user said no."""
