"""Where a shell reads a value a second time, so that quotes are no protection: `eval`, `sh -c`, arithmetic in `[[ … ]]`.

A command that was quoted into one argument is read again by whoever runs that argument. Arithmetic evaluates what it
finds in a variable or a word, and the subscript of an array in there may be a command substitution.
"""

import re
from collections.abc import Sequence
from enum import Enum


class Reread(Enum):
    """What reads a value again; the value says it in words."""

    CODE = "would be read as a command there, whatever quotes are around it"
    ARITHMETIC = "may be evaluated as arithmetic there, which can run a command"


_BEFORE = frozenset(
    {
        "!",
        "{",
        "if",
        "then",
        "elif",
        "else",
        "while",
        "until",
        "do",
        "time",
        "command",
        "builtin",
        "exec",
        "env",
        "nohup",
    }
)
"""Words after which a command's own name comes."""
_READING = frozenset({"eval", "trap", "alias"})
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "fish", "busybox", "su", "runuser"})
_CODE_FOLLOWS = re.compile(r"-[A-Za-z]*c[A-Za-z]*|--command")
_CODE = re.compile(r"-c|--command=")
_NAMING = frozenset({"let", "read", "unset", "getopts", "mapfile", "readarray"})
_DECLARING = frozenset({"declare", "typeset", "local", "readonly", "export", "integer"})
_EVALUATING = re.compile(r"[-+]\w*[iaA]\w*")
_ASSIGNMENT = re.compile(r"\w+\+?=")
_SUBSCRIPT = re.compile(r"\w+\[")
_INTEGERS = re.compile(r"\b(?:declare|typeset|local)\s+-\w*i|\binteger\s")
_TEST = re.compile(r"(?:^|(?<=[\s;&|(!]))\[\[\s(.*?)(?:\s\]\]|$)", re.DOTALL)
_COUNTING = re.compile(r"(?:^|\s)-(?:eq|ne|lt|le|gt|ge|v|R)\s")


def in_command(words: Sequence[str], word: str, *, integers: bool) -> Reread | None:
    """Whether a value in `word` is read again, after the `words` of the same command; all of them with their quotes.

    `integers` says whether there are variables to which nothing but arithmetic can be assigned.
    """
    own = [_unquoted(one) for one in words]
    while own and (own[0] in _BEFORE or _ASSIGNMENT.match(own[0])):
        own = own[1:]
    here = _unquoted(word)
    if not own:
        assigned = _SUBSCRIPT.match(here) or (integers and _ASSIGNMENT.match(here))
        return Reread.ARITHMETIC if assigned else None
    if own[0] in _READING or _is_code(own, here):
        return Reread.CODE
    return Reread.ARITHMETIC if _names_a_variable(own, here) else None


def in_tests(command: str) -> list[range]:
    """The places of each `[[ … ]]` in which numbers are compared or variables are asked for."""
    return [range(*found.span()) for found in _TEST.finditer(command) if _COUNTING.search(found[1])]


def has_integers(command: str) -> bool:
    """Whether the command declares a variable as an integer."""
    return _INTEGERS.search(command) is not None


def _unquoted(word: str) -> str:
    return re.sub(r"['\"\\]", "", word.replace("\\\n", ""))


def _is_code(words: Sequence[str], here: str) -> bool:
    """Whether `here` is what a shell among the words is given to run; what comes after that is only its arguments."""
    shells = [at for at, word in enumerate(words) if word.rpartition("/")[2] in _SHELLS]
    if not shells:
        return False
    options = words[shells[0] + 1 :]
    told = [at for at, word in enumerate(options) if _CODE_FOLLOWS.fullmatch(word)]
    if not told:
        return _CODE.match(here) is not None
    return all(word.startswith(("-", "+")) for word in options[told[0] + 1 :])


def _names_a_variable(words: Sequence[str], here: str) -> bool:
    """Whether `here` is where a builtin wants the name of a variable, or assigns to one what it evaluates."""
    if words[0] in _NAMING:
        return True
    if words[0] in _DECLARING:
        evaluates = words[0] == "integer" or any(_EVALUATING.fullmatch(word) for word in words[1:])
        return evaluates or not _ASSIGNMENT.match(here)
    return words[0] in {"printf", "test", "["} and (words[-1] == "-v" or here.startswith("-v"))
