"""Where in a Bourne shell's command a placeholder stands: the part of its grammar that decides how to quote a value.

This follows quotes, expansions, comments and here-documents. It need not know what is legal: where it could take
one place for another, it says that nothing can be quoted there.
"""

import re
from enum import Enum

import msgspec

from daemon import shell_rereads
from daemon.shell_rereads import Reread

MARK = "\0"
"""Stands for a placeholder; a command cannot contain it."""

_HERE_DOCUMENT = re.compile(r"<<(-?)[ \t]*((?:'[^'\n]*'|\"[^\"\n]*\"|\\.|[^ \t\n;&|<>()'\"\\])+)")
_CASE = re.compile(r"case[ \t\n]")
_WORD_ENDS = frozenset(" \t\n;&|()")


class Place(Enum):
    """Where a placeholder stands; the value says it in words."""

    BARE = "outside of quotes"
    DOUBLE = 'inside "…"'
    SINGLE = "inside '…'"
    ANSI = "inside $'…'"
    BACKQUOTE = "inside `…`"
    PARAMETER = "inside ${…}"
    ARITHMETIC = "in arithmetic"
    COMMENT = "in a comment"
    HERE_DOCUMENT = "in a here-document"
    ESCAPE = "after a backslash"
    UNSURE = "after a construct whose end cannot be told for sure"
    BROKEN = "in a command with a quote, bracket or here-document that does not end, or a token over two lines"

    @property
    def refused(self) -> bool:
        """Whether no way of quoting is safe there."""
        return self not in {Place.BARE, Place.DOUBLE, Place.SINGLE}


def places(command: str) -> list[Place]:
    """The place of each `MARK` in `command`, in order."""
    return _Scanner(command).scan()


def rereads(command: str) -> list[Reread | None]:
    """For each `MARK` in `command` whether a value there is read a second time; where none can be quoted, None."""
    scanner = _Scanner(command)
    scanner.scan()
    return scanner.rereads


class _Command(msgspec.Struct):
    """A simple command as far as it was read: its words, quotes and all, and where the one at hand begins."""

    words: list[str] = []
    begin: int | None = None


class _Scanner:
    """One pass over a command with a stack of what is open; `BARE` on top of something is `(…)` or `$(…)`."""

    def __init__(self, command: str) -> None:
        self._text = command
        self._at = 0
        self._open: list[Place] = [Place.BARE]
        self._found: list[Place] = []
        self._commands: list[_Command] = [_Command()]
        self._tests = shell_rereads.in_tests(command)
        self._integers = shell_rereads.has_integers(command)
        self.rereads: list[Reread | None] = []
        self._unsure = False
        self._broken = False
        self._arrays: list[int] = []
        self._word_start = True
        self._here_documents: list[tuple[str, bool]] = []

    def scan(self) -> list[Place]:
        while self._at < len(self._text):
            start = self._at
            if self._here_documents and self._text[start] == "\n" and self._open[-1] is not Place.BARE:
                self._unsure = True
            match self._open[-1]:
                case Place.SINGLE:
                    self._until("'")
                case Place.ANSI:
                    self._ansi()
                case Place.BACKQUOTE:
                    self._backquote()
                case Place.DOUBLE:
                    self._double()
                case Place.PARAMETER:
                    self._parameter()
                case Place.ARITHMETIC:
                    self._arithmetic()
                case _:
                    self._bare()
            if self._text[start] == MARK and self._at == start + 1:
                self._mark(self._open[-1])
        # A shell that meets a syntax error may go on with the next line, and that could be one of a value.
        broken = self._broken or len(self._open) > 1 or bool(self._here_documents)
        return [Place.BROKEN if broken and not place.refused else place for place in self._found]

    def _mark(self, place: Place) -> None:
        around = next((outer for outer in self._open if outer.refused), place)
        self._found.append(Place.UNSURE if self._unsure and not place.refused else around if around.refused else place)
        self.rereads.append(None if self._found[-1].refused else self._reread())

    def _reread(self) -> Reread | None:
        """What becomes of a value in the word at hand, whose placeholder was just passed."""
        if any(self._at - 1 in test for test in self._tests):
            return Reread.ARITHMETIC
        command = self._commands[-1]
        word = self._text[command.begin : self._at]
        if self._arrays[-1:] == [len(self._open)] and word.startswith("["):
            return Reread.ARITHMETIC
        return shell_rereads.in_command(command.words, word, integers=self._integers)

    def _follow(self, char: str) -> None:
        """Note where words and commands begin and end."""
        command = self._commands[-1]
        redirects = char == "&" and "<" in self._text[self._at - 1 : self._at].replace(">", "<")
        if char not in _WORD_ENDS or redirects:
            command.begin = self._at if command.begin is None else command.begin
            return
        if command.begin is not None:
            command.words.append(self._text[command.begin : self._at])
            command.begin = None
        if char not in " \t":
            self._commands[-1] = _Command()

    def _close(self) -> None:
        if self._open.pop() is Place.BARE:
            self._commands.pop()
        self._at += 1

    def _until(self, end: str) -> None:
        if self._text[self._at] == end:
            self._close()
        else:
            self._at += 1

    def _escape(self) -> None:
        following = self._text[self._at + 1 : self._at + 2]
        if following == MARK:
            self._mark(Place.ESCAPE)
        elif following == "\n" and self._splits_a_token():
            self._broken = True
        self._at += 2

    def _splits_a_token(self) -> bool:
        """Whether the continuation line here may make one token of `$` or `<` and what a value starts with."""
        before = self._at
        while self._text.startswith("\\\n", before - 2) and before >= 2:
            before -= 2
        return self._text[before - 1 : before] in {"$", "<", "("}

    def _ansi(self) -> None:
        if self._text[self._at] == "\\":
            # bash and dash disagree about where `$'\''` ends.
            self._unsure = self._unsure or self._text[self._at + 1 : self._at + 2] in {"'", "\\"}
            self._escape()
        else:
            self._until("'")

    def _backquote(self) -> None:
        if self._text[self._at] == "\\":
            self._escape()
        else:
            self._until("`")

    def _double(self) -> None:
        char = self._text[self._at]
        if char == '"':
            self._close()
        elif not self._expansion(char):
            self._at += 1

    def _parameter(self) -> None:
        char = self._text[self._at]
        if char == "}":
            self._close()
        elif char == "'" and Place.DOUBLE not in self._open:
            self._enter(Place.SINGLE, 1)
        elif char == '"':
            self._enter(Place.DOUBLE, 1)
        elif not self._expansion(char):
            self._at += 1

    def _arithmetic(self) -> None:
        char = self._text[self._at]
        if char == "(":
            self._enter(Place.ARITHMETIC, 1)
        elif char == ")":
            self._close()
        elif not self._expansion(char):
            # `$((` may be a substitution that starts with a subshell; then a quote may hide its end.
            self._unsure = self._unsure or char in "'\""
            self._at += 1

    def _bare(self) -> None:
        char = self._text[self._at]
        self._follow(char)
        starts_word = self._word_start
        self._word_start = char in _WORD_ENDS or (starts_word and self._text.startswith("\\\n", self._at))
        if char == "'":
            self._enter(Place.SINGLE, 1)
        elif char == '"':
            self._enter(Place.DOUBLE, 1)
        elif char == "#" and starts_word:
            self._comment()
        elif char in "()":
            self._parenthesis(char)
        elif char == "<" and self._here_document():
            return
        elif char == "\n":
            self._at += 1
            self._skip_here_documents()
        elif not self._expansion(char):
            # The `)` of a pattern would be taken for the end of the substitution around it.
            if starts_word and len(self._open) > 1 and _CASE.match(self._text, self._at):
                self._unsure = True
            self._at += 1

    def _enter(self, place: Place, length: int) -> None:
        self._open.append(place)
        if place is Place.BARE:
            self._commands.append(_Command())
        self._at += length
        self._word_start = place is Place.BARE

    def _expansion(self, char: str) -> bool:
        """What means the same in quotes and outside: a backslash, backquotes and what starts with `$`."""
        if char == "\\":
            self._escape()
        elif char == "`":
            self._enter(Place.BACKQUOTE, 1)
        elif char == "$":
            self._dollar()
        else:
            return False
        return True

    def _dollar(self) -> None:
        following = self._text[self._at + 1 : self._at + 3]
        if following == "((":
            self._enter(Place.ARITHMETIC, 2)  # the second parenthesis is opened by `_arithmetic`
        elif following.startswith("("):
            self._enter(Place.BARE, 2)
        elif following.startswith("{"):
            self._enter(Place.PARAMETER, 2)
        elif following.startswith("["):
            self._unsure = True
            self._at += 2
        elif following.startswith("'") and self._open[-1] is Place.BARE:
            self._enter(Place.ANSI, 2)
        else:
            self._at += 2 if following[:1] in {"#", "$"} else 1

    def _parenthesis(self, char: str) -> None:
        if self._text.startswith("((", self._at):
            self._enter(Place.ARITHMETIC, 1)
        elif char == "(":
            self._group()
        elif len(self._open) > 1:
            self._unsure = self._unsure or bool(self._here_documents)
            if self._arrays[-1:] == [len(self._open)]:
                self._arrays.pop()
            self._close()
        else:
            self._at += 1

    def _group(self) -> None:
        """A subshell, a function's parentheses, or the words of an array, in which another `(` is a syntax error."""
        self._broken = self._broken or self._arrays[-1:] == [len(self._open)]
        array = self._text[self._at - 1 : self._at] == "="
        self._enter(Place.BARE, 1)
        if array:
            self._arrays.append(len(self._open))

    def _comment(self) -> None:
        # After `$(…)` it is part of the word, after `(…)` a comment.
        self._unsure = self._unsure or self._text[self._at - 1 : self._at] == ")"
        end = self._text.find("\n", self._at)
        end = len(self._text) if end < 0 else end
        self._refuse_between(self._at, end, Place.COMMENT)
        self._at = end
        self._word_start = True

    def _here_document(self) -> bool:
        if self._text.startswith("<<<", self._at):
            self._at += 3
            return True
        match = _HERE_DOCUMENT.match(self._text, self._at)
        if match is None:
            return False
        self._here_documents.append((re.sub(r"['\"\\]", "", match[2]), match[1] == "-"))
        self._refuse_between(match.start(), match.end(), Place.HERE_DOCUMENT)
        self._at = match.end()
        return True

    def _skip_here_documents(self) -> None:
        for delimiter, tabs in self._here_documents:
            start = self._at
            while self._at < len(self._text):
                end = self._text.find("\n", self._at)
                end = len(self._text) if end < 0 else end
                line = self._text[self._at : end]
                self._at = end + 1
                if (line.lstrip("\t") if tabs else line) == delimiter:
                    break
            else:
                self._broken = True
            self._refuse_between(start, self._at, Place.HERE_DOCUMENT)
        self._here_documents.clear()

    def _refuse_between(self, start: int, end: int, place: Place) -> None:
        count = self._text.count(MARK, start, end)
        self._found += [place] * count
        self.rereads += [None] * count
