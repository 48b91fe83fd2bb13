"""The reference pages, from the program itself: `python docs/generate.py` writes them, `--check` compares them."""

import difflib
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import click
import keys
import messages
import pieces

from cleveragents_tui.cli.commands import Noun, Verb
from cleveragents_tui.cli.root import COMMANDS, Root
from store import config_keys, errors

DOCS = Path(__file__).parent
_ERROR_LINE = re.compile(r"[├└]── (\w+) +(\w+) +(\d+) +(\S.*)")


# --- config.md, and the table of async_architecture.md ---------------------------------------------------------------


def config() -> str:
    """Every configuration key."""
    keys = config_keys.KEYS.values()
    return pieces.page(
        "Configuration keys",
        "A value comes from the first of these that has one: the command line, the environment, the project"
        " (`ca config set KEY VALUE --project P`), the file `config.toml`, the default.\n"
        "`ca config get KEY --verbose` shows what each of them says, `ca config path` where the file is.\n"
        "The daemon notices changes of the file; nothing has to be restarted.",
        "Durations are numbers of seconds, or a number with `s`, `m`, `h` or `d`.",
        pieces.table(["key", "value", "default", "for one project"], [_key_row(key) for key in keys]),
        *(f"## {key.name}\n\n{key.description}\n\nEnvironment: `{key.env}`" for key in keys),
    )


def _key_row(key: config_keys.Key) -> list[str]:
    return [f"`{key.name}`", key.allowed, _default(key), "yes" if key.project_scopable else "no"]


def _default(key: config_keys.Key) -> str:
    return "unset" if key.default is None else f"`{config_keys.show(key, key.default)}`"


def async_defaults() -> str:
    """The keys of `async.*`, for the page that explains what they do."""
    keys = [key for key in config_keys.KEYS.values() if key.name.startswith("async.")]
    rows = [[f"`{key.name}`", _default(key), key.allowed, key.description] for key in keys]
    return pieces.table(["key", "default", "value", "meaning"], rows)


# --- errors.md -------------------------------------------------------------------------------------------------------


def error_codes() -> str:
    """Every error code with its exit code."""
    told = {found[2]: found for found in _ERROR_LINE.finditer(errors.__doc__ or "")}
    rows = [[f"`{code}`", str(cls.exit_code), _told(told, code, cls)] for code, cls in errors.BY_CODE.items()]
    return pieces.page(
        "Error codes",
        "The code stands in `error.code` of every document that `--format json` prints, beside the `message`,"
        " a `detail` for programs and `suggestions` of what to do.\n"
        "The process ends with the exit code.",
        pieces.table(["code", "exit code", "meaning"], sorted(rows)),
        "## Exit codes",
        pieces.table(["exit code", "meaning"], _EXIT_CODES),
    )


def _told(told: Mapping[str, re.Match[str]], code: str, cls: type[errors.CleverAgentsError]) -> str:
    line = told.get(code)
    if line is None or (line[1], int(line[3])) != (cls.__name__, cls.exit_code):
        raise SystemExit(f"the docstring of store/errors.py does not say {cls.__name__} {code} {cls.exit_code}")
    return line[4]


_EXIT_CODES = (
    ("0", "done"),
    ("1", "failed: the operation, or a plan or job that was waited for"),
    ("2", "wrong usage"),
    ("3", "not found"),
    ("4", "conflict: a lock, a move that the states do not allow, already running, a merge conflict, a changed digest"),
    ("5", "the daemon cannot be reached"),
    ("6", "waited for something that was cancelled"),
    ("124", "`wait` timed out"),
    ("130", "interrupted"),
)


# --- cli.md ----------------------------------------------------------------------------------------------------------


def cli() -> str:
    """Every command."""
    root = Root("ca")
    context = click.Context(root, info_name="ca")
    parts = [part for name in COMMANDS for part in _command(root.get_command(context, name), f"ca {name}", 2)]
    return pieces.page(
        "Commands",
        "Every command has `--format FORMAT` (`-f`): `auto`, `rich`, `plain`, `json` or `yaml`, and `--help` (`-h`).\n"
        "Options may stand before and after arguments.\n"
        "Data goes to stdout, talk to stderr.\n"
        "Exit codes are in [errors.md](errors.md).",
        "A plan or a job is named by its id, by a part of at least 4 characters of it that no other has,"
        " or by the plan's name.",
        *parts,
    )


def _command(command: click.Command | None, path: str, level: int) -> Iterator[str]:
    assert command is not None, f"{path} is in the table of commands"
    yield f"{'#' * level} {path}"
    if isinstance(command, Noun):
        yield _text_of(command)
        context = click.Context(command, info_name=path)
        for name in command.list_commands(context):
            yield from _command(command.get_command(context, name), f"{path} {name}", level + 1)
        return
    assert isinstance(command, Verb), f"{path} is a noun or a verb"
    arguments = [_argument(one) for one in command.params if isinstance(one, click.Argument)]
    yield f"```\n{' '.join([path, '[OPTIONS]', *arguments])}\n```"
    yield _text_of(command)
    options = [one for one in command.params if isinstance(one, click.Option) and one.name != "format" and one.help]
    rows = [[f"`{_option(one)}`", one.help or ""] for one in options if "--format" not in one.opts]
    if rows:
        yield pieces.table(["option", "meaning"], rows)
    yield "```sh\n" + "\n".join(command.examples) + "\n```"


def _text_of(command: click.Command) -> str:
    return re.sub(r"(?<=[.:]) (?=[A-Z])", "\n", " ".join((command.help or "").split()))


def _argument(argument: click.Argument) -> str:
    name = argument.metavar or (argument.name or "").upper() + ("..." if argument.nargs != 1 else "")
    return name if argument.required else f"[{name}]"


def _option(option: click.Option) -> str:
    name = ", ".join(sorted(option.opts, key=len))
    if option.is_flag:
        return " / ".join([name, *option.secondary_opts])
    return f"{name} {option.metavar or option.type.name.upper()}"


# --- writing and comparing -------------------------------------------------------------------------------------------

PAGES: Mapping[str, Callable[[], str]] = {
    "cli.md": cli,
    "config.md": config,
    "dashboard.md": keys.page,
    "errors.md": error_codes,
    "protocol.md": messages.wire,
    "team-protocol.md": messages.team_protocol,
}
"""Pages that are generated from end to end."""

PARTS: Mapping[str, Mapping[str, Callable[[], str]]] = {"async_architecture.md": {"async": async_defaults}}
"""Pages that hold a generated part between two comments."""


def wanted() -> dict[str, str]:
    """Every page of which something is generated, as it has to be."""
    pages = {name: make() for name, make in PAGES.items()}
    for name, parts in PARTS.items():
        text = (DOCS / name).read_text(encoding="utf-8")
        for part, make in parts.items():
            begin, end = f"<!-- generated: {part} -->", "<!-- end -->"
            head, _, rest = text.partition(begin)
            text = f"{head}{begin}\n{make()}\n{end}{rest.partition(end)[2]}"
        pages[name] = text
    return pages


def outdated() -> list[str]:
    """What differs, as a diff for each page."""
    found: list[str] = []
    for name, text in wanted().items():
        path = DOCS / name
        present = path.read_text(encoding="utf-8") if path.exists() else ""
        lines = difflib.unified_diff(present.splitlines(), text.splitlines(), f"docs/{name}", "generated", lineterm="")
        if present != text:
            found.append("\n".join(lines))
    return found


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or say what differs."""
    if list(arguments) == ["--check"]:
        differing = outdated()
        sys.stdout.write("".join(f"{diff}\n" for diff in differing))
        sys.stdout.write("run: python docs/generate.py\n" if differing else "the reference pages are up to date\n")
        return 1 if differing else 0
    for name, text in wanted().items():
        (DOCS / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
