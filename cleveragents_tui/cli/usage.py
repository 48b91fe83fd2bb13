"""What the parser refuses, as an error of ours: which command, what is wrong with it, and what was probably meant."""

import importlib
from collections.abc import Iterable

import click

from cleveragents_tui.cli.commands import Noun, words
from cleveragents_tui.cli.session import Session
from store import errors, names

_COMMANDS = {
    "doctor": "diagnostics", "check": "diagnostics", "help": "--help", "version": "--version", "init": "project add",
    "ps": "status", "top": "status", "settings": "config list", "workers": "daemon status", "event": "events",
    "exec": "run", "do": "run",
}  # fmt: skip
_VERBS = {
    "ls": ("list",), "rm": ("remove", "cancel"), "delete": ("remove", "cancel"), "del": ("remove", "cancel"),
    "new": ("create", "add", "use"), "add": ("create", "use"), "create": ("add", "use"), "register": ("create", "add"),
    "run": ("execute",), "retry": ("execute",), "resume": ("execute",), "continue": ("execute",), "start": ("execute",),
    "stop": ("cancel",), "kill": ("cancel", "stop"), "abort": ("cancel",), "merge": ("apply",), "accept": ("apply",),
    "reject": ("cancel",), "reset": ("revert",), "why": ("explain",), "log": ("logs",), "output": ("logs",),
    "watch": ("follow",), "tail": ("follow",), "info": ("show", "status"), "get": ("show",), "view": ("show",),
    "clean": ("prune",), "gc": ("prune",), "advise": ("prompt",), "reload": ("restart",),
}  # fmt: skip
"""What other programs call it: suggested, not accepted. Of several verbs the first that the noun has."""
_VERBED_NOUNS = ("plan", "action", "actor", "project", "job", "daemon", "config")


def explain(error: click.ClickException, session: Session, nouns: Iterable[str]) -> errors.UsageError:
    """The `usage` error for what click refused; the session's command is set from it."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context is not None else "ca"
    session.command = words(context) if context is not None else ""
    match error:
        case click.exceptions.NoSuchCommand():
            return _no_command(path, error.command_name, list(nouns) if path == "ca" else _verbs(context))
        case click.NoSuchOption():
            return _no_option(path, error)
        case click.exceptions.NoArgsIsHelpError():
            verbs = ", ".join(_verbs(context))
            return errors.UsageError(f"`{path}` needs a verb: {verbs}", suggestions=[f"{path} --help"])
        case click.MissingParameter():
            name = _name(error.param) if error.param is not None else "an argument"
            return errors.UsageError(f"`{path}` needs {name}", suggestions=[_usage(context), f"{path} --help"])
        case _:
            return errors.UsageError(_as_sentence(error.format_message()), suggestions=[f"{path} --help"])


def _no_command(path: str, name: str, candidates: list[str]) -> errors.UsageError:
    meant = (
        next((verb for verb in _VERBS.get(name, ()) if verb in candidates), None)
        if path != "ca"
        else _COMMANDS.get(name)
    )
    near = meant or names.nearest(name, candidates)
    guesses = [f"{path} {near}"] if near else []
    if path == "ca" and not meant:
        guesses += [f"ca {noun} {name}" for noun in _VERBED_NOUNS if name in _verbs_of(noun)]
    hint = f"; did you mean `{guesses[0]}`?" if guesses else ""
    return errors.UsageError(
        f"there is no command `{path} {name}`{hint}",
        detail={"command": name, "nearest": guesses},
        suggestions=[*guesses, f"{path} --help"],
    )


def _no_option(path: str, error: click.NoSuchOption) -> errors.UsageError:
    near = [option for option in error.possibilities or [] if option.startswith("-")]
    hint = f"; did you mean {near[0]}?" if near else ""
    return errors.UsageError(
        f"`{path}` has no option {error.option_name}{hint}",
        detail={"option": error.option_name, "nearest": near},
        suggestions=[f"{path} --help"],
    )


def _verbs(context: click.Context | None) -> list[str]:
    if context is None or not isinstance(context.command, click.Group):
        return []
    return context.command.list_commands(context)


def _verbs_of(noun: str) -> Iterable[str]:
    command = importlib.import_module(f"cleveragents_tui.cli.{noun}").command
    return command.list_commands(click.Context(command)) if isinstance(command, Noun) else ()


def _usage(context: click.Context | None) -> str:
    if context is None:
        return "ca --help"
    pieces = context.command.collect_usage_pieces(context)
    needed = [
        f"{_name(option)} {option.make_metavar(context)}"
        for option in context.command.params
        if isinstance(option, click.Option) and option.required
    ]
    return " ".join([context.command_path, *(piece for piece in pieces if piece != "[OPTIONS]"), *needed])


def _name(parameter: click.Parameter) -> str:
    return parameter.opts[0] if isinstance(parameter, click.Option) else parameter.human_readable_name


def _as_sentence(message: str) -> str:
    return message[:1].lower() + message[1:].rstrip(".")
