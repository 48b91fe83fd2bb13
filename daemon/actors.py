"""Actors: what their files say, and the command lines that are made of them.

A file is checked whole when it is registered; a plan looks its actor up again when a step starts, so that a repaired
file works at the next attempt.
"""

import os
import shutil
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, field

from daemon import documents, templates
from daemon.action_section import Section
from store import errors, names, records

PROMPT = "prompt"
"""The one placeholder of an actor's command."""
LONGEST_ARGUMENT = 128 * 1024 - 1
"""Bytes of one argument that Linux takes, whatever the limit for all of them is."""
RESERVED = "builtin"
STEPS, SHELL = "builtin/steps", "builtin/shell"
"""What carries out strategies and steps without an actor file."""

_KEYS = ("name", "type", "command", "env", "timeout", "description")


class Actor(Struct, frozen=True, kw_only=True):
    """A program that carries out prompts or makes strategies.

    Attributes:
        name: `namespace/name`.
        type: There is one so far.
        command: The program and its arguments; `{prompt}` may stand in the arguments.
        env: Variables on top of the action's.
        timeout: Seconds, for steps that have none of their own.
        description: For people.
    """

    name: str
    type: Literal["command"]
    command: list[str]
    env: dict[str, str] = field(default_factory=dict[str, str])
    timeout: float | None = None
    description: str = ""

    @property
    def program(self) -> str:
        return templates.render_text(self.command[0], {})

    @property
    def takes_argument(self) -> bool:
        """Whether the text is part of the command line; otherwise it is the standard input."""
        return any(PROMPT in _placeholders(argument) for argument in self.command[1:])

    def argv(self, text: str) -> list[str]:
        """The command line for `text`: it is data in whole arguments, never read by a shell.

        Raises:
            InvalidArgumentError: an argument becomes longer than the system takes.
        """
        arguments = [templates.render_text(argument, {PROMPT: text}) for argument in self.command[1:]]
        longest = max((len(argument.encode("utf-8", "surrogateescape")) for argument in arguments), default=0)
        if longest > LONGEST_ARGUMENT:
            raise errors.InvalidArgumentError(
                f"the text for {self.name} makes an argument of {longest:,} bytes, and Linux takes {LONGEST_ARGUMENT:,} "
                "at most; an actor whose command has no {prompt} gets it on standard input, without a limit",
                detail={"actor": self.name, "bytes": longest, "limit": LONGEST_ARGUMENT},
                suggestions=[f"ca actor show {self.name}", "ca actor create FILE --update"],
            )
        return [self.program, *arguments]


def parse(text: str | bytes, *, source: str) -> Actor:
    """The actor in a YAML file.

    Args:
        text: The content of the file.
        source: Its name, for messages.

    Raises:
        InvalidActionError: the first problem, with file, line and key where known, and the nearest valid key.
    """
    try:
        return _read(Section.of(documents.read(text, source=source), source, "", _KEYS))
    except errors.InvalidActionError as error:
        error.suggestions = [f"ca actor create {source}"]
        raise


def parsed(record: records.Actor) -> Actor:
    """The definition of a registered actor."""
    return parse(record.content, source=record.name)


def check_program(actor: Actor, environment: Mapping[str, str]) -> None:
    """That the program can be found, as far as that can be known before the step has its directory.

    Args:
        actor: Whose program.
        environment: The one that it gets.

    Raises:
        NotFoundError: it is not there.
    """
    if "/" in actor.program and not actor.program.startswith("/"):
        return  # relative to the sandbox, which an earlier step may fill
    if shutil.which(actor.program, path=environment.get("PATH", os.defpath)) is None:
        where = "does not exist or cannot be run" if "/" in actor.program else "is not on PATH"
        raise errors.NotFoundError(
            f"the program {actor.program!r} of the actor {actor.name} {where}",
            detail={"actor": actor.name, "program": actor.program},
            suggestions=[
                f"install {actor.program}, or change PATH where you run `ca plan use`",
                f"ca actor show {actor.name}",
            ],
        )


def _read(top: Section) -> Actor:
    name = top.name("name")
    if names.split_name(name)[0] == RESERVED:
        top.refuse("name", f"the namespace {RESERVED} is the program's own; choose another one")
    if not top.has("type"):
        top.refuse("type", "is missing; write: type: command")
    top.choice("type", ("command",), None)
    return Actor(
        name=name,
        type="command",
        command=_command(top),
        env=top.environment("env"),
        timeout=top.duration("timeout"),
        description=top.text("description", ""),
    )


def _command(top: Section) -> list[str]:
    if not top.has("command"):
        top.refuse("command", 'is missing; an example is ["claude", "-p", "{prompt}"]')
    command = top.texts("command")
    if not command:
        top.refuse("command", "must have at least the program's name")
    if not command[0].strip():
        top.refuse("command[0]", "must be the name of a program, not empty", line=top.nodes("command")[0].line)
    for number, (argument, node) in enumerate(zip(command, top.nodes("command"), strict=True)):
        for name in _placeholders(argument):
            if number == 0:
                top.refuse(
                    "command[0]", f"the program's own name cannot have a placeholder; {{{name}}} is one", line=node.line
                )
            if name != PROMPT:
                top.refuse(f"command[{number}]", _unknown(name), line=node.line)
    return command


def _unknown(name: str) -> str:
    near = names.nearest(name, [PROMPT])
    hint = f"did you mean {{{near}}}?" if near else f"for the text itself write {{{{{name}}}}}"
    return f"{{{name}}} is not known here, only {{{PROMPT}}} is; {hint}"


def _placeholders(argument: str) -> list[str]:
    return [str(part) for part in templates.split(argument) if isinstance(part, templates.Placeholder)]
