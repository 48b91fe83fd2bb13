"""How `{name}` in a command becomes a value, and why a value can never become a command.

A template is read in two passes. The first knows braces only, and holds for commands, prompts and paths alike:

- `{name}` is a placeholder when `name` is an identifier (letters, digits, `_`, `-`, starting with a letter or `_`);
- `{{` and `}}` are literal braces;
- every other brace is the shell's own and stays as it is: `${HOME}`, `${A:-${B}}`, `{1..3}`, `{a,b}`, `{}`,
  `{ cmd; }`, `awk '{print $1}'`. A `}}` that closes two such braces stays too.

The second pass follows the shell's quotes through a command, so that each value is quoted for the place where it
stands: bare, inside "…" or inside '…'. Where no quoting is safe (a here-document, backquotes, `${…}`, arithmetic, a
comment) a placeholder is refused; `"$CA_ARG_NAME"` works there. So is one whose value would be read a second time, unless
every value it can have is plain.
"""

import re
import shlex
from collections.abc import Collection, Mapping

from daemon import shell_quotes
from daemon.action_schema import Number
from daemon.shell_rereads import Reread
from store import errors, names

ITEM = "item"
"""What a subplan's arguments may name beside the action's own arguments."""

_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_-]*)\}", re.ASCII)
_ORDINARY = re.compile(r"[^{}$]+")
_PLAIN = re.compile(r"[A-Za-z0-9_.,:/@%+=-]*")
_NEEDS_QUOTES_BEFORE = frozenset("<>=(")
_BOURNE = frozenset({"sh", "bash", "dash", "ash", "ksh", "mksh", "zsh"})


class TemplateError(ValueError):
    """A template that cannot be rendered; the message says why, for a caller who knows file and line."""


class Placeholder(str):
    """The name between the braces."""

    __slots__ = ()


def render(template: str, values: Mapping[str, object]) -> str:
    """A command with each `{name}` replaced by its value, quoted for the shell where it stands.

    Raises:
        InvalidArgumentError: the template names something that `values` has not, or where nothing can be quoted.
    """
    try:
        parts = split(template)
        places = _places(parts)
        _check_rereads(parts, {name: is_plain(as_text(value)) for name, value in values.items()})
    except TemplateError as error:
        raise errors.InvalidArgumentError(f"{error}", detail={"template": template}) from error
    rendered: list[str] = []
    for index, part in enumerate(parts):
        if isinstance(part, Placeholder):
            after = parts[index + 1][0] if index + 1 < len(parts) else ""
            rendered.append(_quoted(_value(part, values), places.pop(0), force=after in _NEEDS_QUOTES_BEFORE))
        else:
            rendered.append(part)
    return "".join(rendered)


def render_text(template: str, values: Mapping[str, object]) -> str:
    """A prompt, path or argument with each `{name}` replaced by its value as it is: no shell reads it.

    Raises:
        InvalidArgumentError: the template names something that `values` has not.
    """
    return "".join(_value(part, values) if isinstance(part, Placeholder) else part for part in split(template))


def check(template: str, known: Mapping[str, bool], *, shell: str | None = None, command: bool = True) -> None:
    """That `template` can be rendered with values for `known`, whatever the values.

    Args:
        template: The text as it was written.
        known: The names of the arguments, and of each whether its values are plain: no reading makes a command of one.
        shell: The program that reads a command; None is `/bin/sh`.
        command: False for a prompt or a path, which no shell reads.

    Raises:
        TemplateError: it cannot.
    """
    if "\0" in template:
        raise TemplateError("a NUL character cannot be part of it")
    parts = split(template)
    found = [part for part in parts if isinstance(part, Placeholder)]
    for name in found:
        if name not in known:
            raise TemplateError(_unknown(name, known))
    if found and command and not is_bourne(shell):
        raise TemplateError(
            f"{{{found[0]}}} cannot be quoted for {shell!r}; read {environment_name(found[0])} from the environment"
        )
    if command:
        _places(parts)
        _check_rereads(parts, known)


def as_text(value: object) -> str:
    """A value as a command sees it: numbers as they were written, booleans as `true` and `false`, None as nothing."""
    if value is None:
        return ""
    if isinstance(value, Number):
        return value.text
    return str(value).lower() if isinstance(value, bool) else str(value)


def is_plain(text: str) -> bool:
    """Whether this is a word that no shell takes for anything else, however often it is read."""
    return _PLAIN.fullmatch(text) is not None


def environment_name(argument: str) -> str:
    """The variable that holds an argument's raw value: `CA_ARG_` and the name in upper case, `-` as `_`."""
    return "CA_ARG_" + argument.upper().replace("-", "_")


def did_you_mean(word: str, candidates: Collection[str]) -> str:
    """The end of a sentence that names the nearest of `candidates`; empty when none is near."""
    near = names.nearest(word, candidates)
    return f"; did you mean {near!r}?" if near else ""


def is_bourne(shell: str | None) -> bool:
    """Whether `shell` (None is `/bin/sh`) is one whose quotes are known here."""
    return shell is None or shell.rpartition("/")[2] in _BOURNE


def split(template: str) -> list[str]:
    """The literal texts and placeholders of `template`, in order."""
    parts: list[str] = []
    literal: list[str] = []
    opened: list[bool] = []
    position = 0
    while position < len(template):
        text, taken = _next(template, position, opened)
        if isinstance(text, Placeholder):
            parts += ["".join(literal), text]
            literal = []
        else:
            literal.append(text)
        position += taken
    return [part for part in (*parts, "".join(literal)) if part]


def _next(template: str, position: int, opened: list[bool]) -> tuple[str, int]:
    """The text or placeholder at `position` and its length; `opened` has True for a brace that was written twice."""
    if match := _ORDINARY.match(template, position):
        return match[0], len(match[0])
    char, pair = template[position], template[position : position + 2]
    if pair == "{{":
        opened.append(True)
        return "{", 2
    if pair == "${" and template[position + 2 : position + 3] != "{":
        opened.append(False)
        return pair, 2
    if match := _PLACEHOLDER.match(template, position):
        return Placeholder(match[1]), len(match[0])
    if char == "{":
        opened.append(False)
    elif pair == "}}":
        return _closed_twice(opened), 2
    elif char == "}" and opened[-1:] == [False]:
        opened.pop()
    return char, 1


def _closed_twice(opened: list[bool]) -> str:
    if opened[-2:] == [False, False]:
        del opened[-2:]
        return "}}"
    del opened[-1:]
    return "}"


def _marked(parts: list[str]) -> str:
    return "".join(shell_quotes.MARK if isinstance(part, Placeholder) else part for part in parts)


def _places(parts: list[str]) -> list[shell_quotes.Place]:
    places = shell_quotes.places(_marked(parts))
    found = (part for part in parts if isinstance(part, Placeholder))
    for name, place in zip(found, places, strict=True):
        if place.refused:
            raise TemplateError(f'{{{name}}} cannot be quoted {place.value}; use "${environment_name(name)}" there')
    return places


def _check_rereads(parts: list[str], known: Mapping[str, bool]) -> None:
    found = (part for part in parts if isinstance(part, Placeholder))
    for name, reread in zip(found, shell_quotes.rereads(_marked(parts)), strict=True):
        if reread is not None and not known.get(name, True):
            raise TemplateError(
                f"the value of {{{name}}} {reread.value}; "
                + _INSTEAD[reread].format(name=name, variable=environment_name(name))
            )


_INSTEAD = {
    Reread.CODE: """write "${variable}" there, all of it inside '…': sh -c 'echo "${variable}"'""",
    Reread.ARITHMETIC: "give the argument the type integer, number or choice, or compare in [ … ]: [ {{{name}}} -gt 3 ]",
}


def _quoted(value: str, place: shell_quotes.Place, *, force: bool) -> str:
    if place is shell_quotes.Place.DOUBLE:
        return re.sub(r'([\\"$`])', r"\\\1", value)
    inner = value.replace("'", "'\"'\"'")
    if place is shell_quotes.Place.SINGLE:
        return inner
    # `2` before `>` would be a descriptor, `=ls` is a path to zsh.
    return f"'{inner}'" if force or value.startswith("=") else shlex.quote(value)


def _value(name: str, values: Mapping[str, object]) -> str:
    if name not in values:
        raise errors.InvalidArgumentError(_unknown(name, values), detail={"argument": name})
    text = as_text(values[name])
    if "\0" in text:
        raise errors.InvalidArgumentError(f"the value of {{{name}}} has a NUL character", detail={"argument": name})
    return text


def _unknown(name: str, known: Collection[str]) -> str:
    near = names.nearest(name, known)
    hint = f"did you mean {{{near}}}?" if near else f"for the text itself write {{{{{name}}}}}"
    return f"{{{name}}} is not an argument of this action; {hint}"
