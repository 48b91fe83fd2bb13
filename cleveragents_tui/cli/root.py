"""`ca` as click sees it: the nouns, and the parser's refusals as errors of ours."""

# ruff: noqa: ARG002  click decides what its methods are given

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from cleveragents_tui import output
from cleveragents_tui.cli.commands import HELP_NAMES, HELP_WIDTH, common_options
from cleveragents_tui.cli.session import Session
from store.version import VERSION

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Entry(NamedTuple):
    """A command of the first level: where it lives and what it is for."""

    module: str
    help: str


COMMANDS = {
    "tui": Entry("cleveragents_tui.cli.tui", "The dashboard: see everything, act on everything."),
    "status": Entry("cleveragents_tui.cli.status", "What needs you, what runs, what waits."),
    "run": Entry("cleveragents_tui.cli.run", "One command in a sandbox of the project you are in."),
    "plan": Entry("cleveragents_tui.cli.plan", "Use actions, watch plans, review and apply their changes."),
    "action": Entry("cleveragents_tui.cli.action", "Reusable descriptions of work."),
    "actor": Entry("cleveragents_tui.cli.actor", "Programs that carry out steps, such as coding agents."),
    "project": Entry("cleveragents_tui.cli.project", "Directories that plans work on."),
    "job": Entry("cleveragents_tui.cli.job", "Phases of plans, as the daemon works on them."),
    "lock": Entry("cleveragents_tui.cli.lock", "Leases that keep people, scripts and plans out of each other's way."),
    "events": Entry("cleveragents_tui.cli.events", "What happened, in order."),
    "config": Entry("cleveragents_tui.cli.config", "Settings, and where each one comes from."),
    "server": Entry("cleveragents_tui.cli.server", "Share definitions by a team server, or host one."),
    "sync": Entry("cleveragents_tui.cli.sync", "What is shared, and what waits for you."),
    "daemon": Entry("cleveragents_tui.cli.daemon", "The process in the background."),
    "diagnostics": Entry("cleveragents_tui.cli.diagnostics", "Check everything that can be checked."),
    "info": Entry("cleveragents_tui.cli.info", "What a bug report needs, without secrets."),
    "completion": Entry("cleveragents_tui.cli.completion", "Completion of commands, ids and names in your shell."),
    "demo": Entry("cleveragents_tui.cli.demo", "The whole product on a sample repository."),
}
"""Each module has its click command as `command`, and is imported when it is used."""

CLICKS_LEAST = 52
"""Columns: click writes help for no less."""


class Root(click.Group):
    """`ca` itself."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every noun, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        try:
            module: Any = importlib.import_module(entry.module)
        except ModuleNotFoundError as error:
            if error.name != entry.module:
                raise
            return None
        return module.command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with our nouns to choose a suggestion from."""
        name = args[0]
        if not (name.startswith("-") or ctx.resilient_parsing) and self.get_command(ctx, name) is None:
            raise click.exceptions.NoSuchCommand(name, possibilities=COMMANDS, ctx=ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem[str]]":
        """The nouns from the table: completion imports none of them."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415  only a shell that completes needs it

        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        return [
            CompletionItem(name, help=entry.help) for name, entry in COMMANDS.items() if name.startswith(incomplete)
        ]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The nouns from the table: help imports none of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Examples"):
            for line in (
                "ca run -- ruff check --fix .",
                "ca plan use modernise web --follow",
                "ca plan diff modernise-1",
            ):
                formatter.write(f"  {line}\n")


def _print_version(context: click.Context, _parameter: click.Parameter, value: bool) -> None:  # noqa: FBT001  click calls it so
    if value and not context.resilient_parsing:
        click.echo(f"ca {VERSION}")
        context.exit()


def make_root() -> Root:
    """The command `ca`."""
    version = click.Option(
        ["--version"],
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_print_version,
        help="Print the version and exit.",
    )
    return Root(
        "ca",
        params=[*common_options(), version],
        help="Let commands and coding agents change your code: in a sandbox, reviewed, undoable.",
        context_settings={**HELP_NAMES, "max_content_width": HELP_WIDTH},
        invoke_without_command=True,
    )


def dispatch(session: Session, arguments: Sequence[str]) -> int:
    """Parse a command line and carry it out; returns the exit code.

    Raises:
        CleverAgentsError: what the verb raised, or `usage` for what the parser refused.
    """
    try:
        return _dispatch(session, list(arguments))
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.Abort as error:
        raise KeyboardInterrupt from error
    except click.ClickException as error:
        from cleveragents_tui.cli.usage import explain  # noqa: PLC0415  only a refusal needs it

        session.ask_for_format(wanted_format(arguments))
        raise explain(error, session, COMMANDS) from error


def _dispatch(session: Session, arguments: list[str]) -> int:
    with make_root().make_context("ca", arguments, obj=session, terminal_width=_narrow(session)) as context:
        code = context.command.invoke(context)
        if context.invoked_subcommand is None:
            return _dispatch(session, [*arguments, "status"])
        return int(code or 0)


def _narrow(session: Session) -> int | None:
    """The width for help on a terminal that is narrower than the least that click assumes."""
    width = session.out.look.width
    return width - 2 if width < CLICKS_LEAST else None


def wanted_format(arguments: Sequence[str]) -> str | None:
    """The format that an argument list asks for, as far as it can be told without parsing it."""
    found: str | None = None
    for index, argument in enumerate(arguments):
        if argument == "--":
            break
        if argument in {"-f", "--format"}:
            found = arguments[index + 1] if index + 1 < len(arguments) else found
        elif argument.startswith("--format="):
            found = argument.partition("=")[2]
        elif argument.startswith("-f") and not argument.startswith("--"):
            found = argument[2:].removeprefix("=")
    return found if found in output.FORMATS else None
