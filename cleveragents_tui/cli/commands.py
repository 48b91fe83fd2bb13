"""What a command of `ca` is made of: nouns, verbs, and the options that every verb has.

A verb is a function that takes the session and its parsed options and returns a `Result`:

    @command.verb(examples=["ca plan show fix-types"])
    @click.argument("plan")
    def show(session: Session, plan: str) -> Result[views.PlanView]:
        '''Everything about one plan.'''
        return Result(session.call(protocol.PlanShow(plan=plan)), plan_text.show)
"""

# ruff: noqa: ARG002  click decides what its methods are given

import importlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import click

from cleveragents_tui import output
from cleveragents_tui.cli.session import Session
from cleveragents_tui.output import Result

if TYPE_CHECKING:  # the module is for shells that complete, and slow to import
    from click.shell_completion import CompletionItem

VerbFunction = Callable[..., Result[Any]]
HELP_NAMES = {"help_option_names": ["-h", "--help"]}
HELP_WIDTH = 100
INTEGER_BITS = 64


def current() -> Session:
    """The session of the command that is being parsed."""
    session = click.get_current_context().find_object(Session)
    assert session is not None, "the root context is made with a session"
    return session


def _choose_format(_context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    current().ask_for_format(value)


def _choose_pager(_context: click.Context, _parameter: click.Parameter, value: bool) -> None:  # noqa: FBT001  click calls it so
    if value:
        current().out.paged = False


def common_options() -> list[click.Parameter]:
    """The options that every command has: `--format` and `--no-pager`."""
    chosen = click.Option(
        ["-f", "--format"],
        type=click.Choice(output.FORMATS),
        metavar="FORMAT",
        expose_value=False,
        is_eager=True,
        callback=_choose_format,
        help="How to print: auto (rich on a terminal, else plain), rich, plain, json, yaml.",
    )
    direct = click.Option(
        ["--no-pager"],
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_choose_pager,
        help="Print at once, also what is longer than the screen.",
    )
    return [chosen, direct]


def words(context: click.Context) -> str:
    """The command of a context, without the program: `plan show`."""
    return context.command_path.partition(" ")[2]


NAMED = {
    "plan": "plan", "plans": "plan", "project": "project", "projects": "project", "action": "action", "job": "job",
    "jobs": "job", "actor": "actor", "key": "key", "keys": "key", "pairs_": "pair", "step": "step", "profile": "profile",
    "child": "child", "mode": "mode", "file": "file", "path": "directory",
    "conflict": "conflict", "conflicts": "conflict",
    "take": "version", "conflicting": "shared definition",
}  # fmt: skip
"""What a parameter of this name stands for, for completion in a shell."""


class NameOf(click.types.StringParamType):
    """Text that names something: a shell can complete it."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem[str]]":
        """What `incomplete` may become."""
        from cleveragents_tui.cli.completing import candidates  # noqa: PLC0415  only a shell that completes needs it

        return candidates(ctx, self.kind, incomplete)


def _name_things(parameters: Iterable[click.Parameter]) -> None:
    for parameter in parameters:
        kind = NAMED.get(parameter.name or "")
        if parameter.name == "name" and isinstance(parameter, click.Argument):
            kind = "noun"  # `ca project show NAME`: of the thing that the noun is about
        if kind is not None and parameter.type is click.STRING:
            parameter.type = NameOf(kind)


def _refuse_impossible_numbers(context: click.Context) -> None:
    """Neither the store nor the protocol has room for more than 64 bits, and `nan` lies in no range, nor does `inf`."""
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        if isinstance(value, int) and value.bit_length() >= INTEGER_BITS:
            raise click.BadParameter(f"{value} is too large a number", context, parameter)
        if isinstance(value, float) and isinstance(parameter.type, click.FloatRange) and not math.isfinite(value):
            raise click.BadParameter(f"{value} is not a finite number", context, parameter)


class Verb(click.Command):
    """A command that does something."""

    def __init__(self, name: str | None, *, examples: Sequence[str] = (), **settings: Any) -> None:
        settings.setdefault("context_settings", HELP_NAMES)
        super().__init__(name, **settings)
        self.examples = list(examples)
        _name_things(self.params)
        self.params += common_options()

    def invoke(self, ctx: click.Context) -> int:
        """Run the verb and print what it came to; returns the exit code."""
        _refuse_impossible_numbers(ctx)
        session = current()
        session.begin(words(ctx), following=bool(ctx.params.get("follow")), waiting=bool(ctx.params.get("wait")))
        function = cast("VerbFunction", self.callback)
        return session.finish(function(session, **ctx.params))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _write_examples(formatter, self.examples)


class Noun(click.Group):
    """A group of verbs about one thing."""

    def __init__(self, name: str, *, examples: Sequence[str] = (), **settings: Any) -> None:
        settings.setdefault("context_settings", HELP_NAMES)
        super().__init__(name, **settings)
        self.examples = list(examples)
        self.params += common_options()

    def verb(self, name: str | None = None, *, examples: Sequence[str]) -> Callable[[VerbFunction], Verb]:
        """Make a function a verb of this noun; its docstring is the help."""
        return make_verb(name, examples=examples, register=self.add_command)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Verbs in the order in which they were written down."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs, each with the whole first sentence of its help."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Verbs"):
            formatter.write_dl([(name, verb.get_short_help_str(limit=200)) for name, verb in found if verb is not None])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does; an unknown verb is not taken for an option."""
        if not (args[0].startswith("-") or ctx.resilient_parsing) and self.get_command(ctx, args[0]) is None:
            raise click.exceptions.NoSuchCommand(args[0], possibilities=self.list_commands(ctx), ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _write_examples(formatter, self.examples or _first_examples(self.commands.values()))


class LazyNoun(Noun):
    """A noun whose verbs live in several modules, each imported when one of its verbs is used."""

    def __init__(self, name: str, *, verbs: Mapping[str, str], examples: Sequence[str], **settings: Any) -> None:
        super().__init__(name, examples=examples, **settings)
        self._verbs = dict(verbs)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs in the order of the table."""
        return list(self._verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb of that name, imported now."""
        place = self._verbs.get(cmd_name)
        if place is None:
            return None
        module, _, attribute = place.partition(":")
        return getattr(importlib.import_module(module), attribute)


def make_verb(
    name: str | None,
    *,
    examples: Sequence[str],
    register: Callable[[click.Command], object] | None = None,
    **settings: Any,
) -> Callable[[VerbFunction], Verb]:
    """Make a function a command; `click.argument` and `click.option` go below it, `settings` are those of click."""

    def decorate(function: VerbFunction) -> Verb:
        made = click.command(name, cls=Verb, examples=examples, **settings)(function)
        if register is not None:
            register(made)
        return made

    return decorate


def _first_examples(commands: Iterable[click.Command]) -> list[str]:
    return [command.examples[0] for command in commands if isinstance(command, Verb) and command.examples][:4]


def _write_examples(formatter: click.HelpFormatter, examples: Sequence[str]) -> None:
    if not examples:
        return
    with formatter.section("Examples" if len(examples) > 1 else "Example"):
        for example in examples:
            formatter.write(f"  {example}\n")
