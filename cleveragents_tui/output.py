"""Where a verb's result, or its error, becomes text for a person or the one document for a program.

The envelope of `--format json`, the formats, the colours and the way errors look are decided here and only here. A verb
returns a `Result` and never prints; what streams (logs, events) writes through `Output`.
"""

import codecs
import contextlib
import io
import os
import sys
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import IO, Any, Generic, Literal, TextIO, TypeVar

import msgspec

from cleveragents_tui import wording
from cleveragents_tui.wording import Tone
from store import errors

SCHEMA = 1
NARROWEST = 40
"""Columns below which text is cut by the terminal, not by us."""
INTERRUPTED = 130
"""The exit code of a command that Ctrl-C ended."""
UNLIMITED = 1_000_000
"""Columns of a file or a pipe."""

Format = Literal["rich", "plain", "json", "yaml"]
FORMATS = ("auto", "rich", "plain", "json", "yaml")

_ANSI = {Tone.NEEDS_YOU: "33", Tone.RUNNING: "94", Tone.DONE: "32", Tone.FAILED: "31", Tone.WAITING: "90"}

_TINTS = ("36", "35", "34", "33", "32", "96", "95", "92", "93")
"""Neither red, which is for failures, nor grey."""

T = TypeVar("T")


class NeedsCallerError(BaseException):
    """Raised in a process that carries out a command for another one: the rest needs that one's terminal or time.

    Nothing was printed or changed, so that the command can begin anew there. No error of ours: nobody handles it on its way.
    """


class UnwritableError(OSError):
    """What stdout is takes no more data."""


class Look(msgspec.Struct, frozen=True):
    """What the place that text goes to can show, and what time it is there."""

    width: int = UNLIMITED
    colour: bool = False
    now: float = 0.0

    def paint(self, text: str, tone: Tone, *, bold: bool = False) -> str:
        """`text` in a colour, where there are colours."""
        if not self.colour or not text:
            return text
        codes = ";".join(code for code in ("1" if bold else "", _ANSI.get(tone, "")) if code)
        return f"\x1b[{codes}m{text}\x1b[0m" if codes else text

    def bold(self, text: str) -> str:
        return self.paint(text, Tone.PLAIN, bold=True)

    def dim(self, text: str) -> str:
        return self.paint(text, Tone.WAITING)

    def tint(self, text: str, number: int) -> str:
        """`text` in one of the colours that only tell things apart; the same number always gets the same one."""
        return f"\x1b[{_TINTS[number % len(_TINTS)]}m{text}\x1b[0m" if self.colour and text else text

    def mood(self, mood: wording.Mood) -> str:
        """The sign of a mood in its colour."""
        return self.paint(mood.sign, mood.tone)


Renderer = Callable[[T, Look], Iterable[str]]
"""Turns data into the lines that a person reads."""


class ErrorBody(msgspec.Struct, frozen=True):
    """An error, as programs get it; its code may be one that only a plan can have."""

    code: str
    message: str
    detail: Mapping[str, Any]
    suggestions: Sequence[str]

    @classmethod
    def of(cls, error: errors.CleverAgentsError) -> "ErrorBody":
        return cls(error.code, error.message, error.detail, error.suggestions)


class Result(msgspec.Struct, Generic[T], frozen=True):
    """What a verb came to.

    Attributes:
        data: The `data` of the envelope.
        render: The same for people; nothing is printed when it is absent.
        exit_code: Of the process.
        messages: Sentences beside the data.
        error: The command did what was asked and found a failure (a plan waited for ended errored): programs get the
            envelope of this error, people still get `render`, on stderr.
    """

    data: T
    render: Renderer[T] | None = None
    exit_code: int = 0
    messages: Sequence[str] = ()
    error: ErrorBody | None = None


class Timing(msgspec.Struct, frozen=True):
    duration_ms: int


class Success(msgspec.Struct, frozen=True):
    """The envelope around data."""

    schema: int
    command: str
    status: str
    exit_code: int
    data: Any
    messages: Sequence[str]
    timing: Timing


class Refused(msgspec.Struct, frozen=True):
    """The envelope around an error."""

    schema: int
    command: str
    status: str
    exit_code: int
    error: ErrorBody
    messages: Sequence[str]
    timing: Timing


class Output:
    """The two streams of the process, and the format that was asked for.

    Attributes:
        exit_code: What the command came to, known before that is written: nobody may be there any more to read it.
    """

    def __init__(
        self, environ: Mapping[str, str], stdout: TextIO, stderr: TextIO, *, now: float, apart: bool = False
    ) -> None:
        self._environ = environ
        self._apart = apart
        self._now = now
        self.stdout = stdout
        self.stderr = stderr
        self._streaming = False
        self._held: bytearray | None = None
        self.paged = True
        self.exit_code = 0
        self.format: Format = "rich" if stdout.isatty() else "plain"

    def choose(self, name: str) -> None:
        """Take a format by its name; `auto` is rich on a terminal, plain elsewhere."""
        if name == "auto":
            self.format = "rich" if self.stdout.isatty() else "plain"
        elif name in FORMATS:
            self.format = name  # pyright: ignore[reportAttributeAccessIssue]  FORMATS are the members of Format and auto

    @property
    def structured(self) -> bool:
        """Whether stdout gets one document for programs."""
        return self.format in {"json", "yaml"}

    @property
    def animated(self) -> bool:
        """Whether stderr can be redrawn in place."""
        return self.stderr.isatty() and self._environ.get("TERM") != "dumb"

    @property
    def look(self) -> Look:
        """What stdout can show."""
        return Look(width=self._width(self.stdout), colour=self._colour(self.stdout, self.format), now=self._now)

    @property
    def talk_look(self) -> Look:
        """What stderr can show."""
        forced: Format = "rich" if self.stderr.isatty() else "plain"
        return Look(width=self._width(self.stderr), colour=self._colour(self.stderr, forced), now=self._now)

    def _colour(self, stream: TextIO, chosen: Format) -> bool:
        if chosen != "rich" or self._environ.get("NO_COLOR"):
            return False
        return not stream.isatty() or self._environ.get("TERM") != "dumb"

    def _width(self, stream: TextIO) -> int:
        if not stream.isatty():
            return UNLIMITED
        given = self._environ.get("COLUMNS", "")
        if given.isdigit() and int(given):
            return max(NARROWEST, int(given))
        try:
            return max(NARROWEST, os.get_terminal_size(stream.fileno()).columns or 80)
        except OSError:
            return 80

    def hold(self) -> None:
        """Keep what is printed for people until the end, in case it is longer than their screen."""
        if self.paged and not self.structured and self.stdout.isatty():
            self._held = bytearray()

    def _release(self, *, paged: bool) -> None:
        held, self._held = self._held, None
        if not held or (paged and self._page(bytes(held))):
            return
        self.raw(bytes(held))

    def _page(self, content: bytes) -> bool:
        """Show it in the pager; False when it fits the screen, or there is no pager."""
        from cleveragents_tui import paging  # noqa: PLC0415  only a terminal has a pager

        try:
            rows = os.get_terminal_size(self.stdout.fileno()).lines
        except OSError:
            return False
        if not paging.overflows(content, self._width(self.stdout), rows):
            return False
        pager = paging.command(self._environ)
        if pager is None:
            return False
        if self._apart:
            raise NeedsCallerError
        self.flush()
        return paging.show(pager, content, self._environ)

    def say(self, lines: Iterable[str]) -> None:
        """Data for people: stdout."""
        if self._held is None:
            with _writing():
                _write(self.stdout, lines)
        else:
            self._held += self.encoded("".join(f"{line}\n" for line in lines))

    def talk(self, *lines: str) -> None:
        """Everything that is not data: stderr. What is asked for is done also when nobody takes it."""
        self.flush()
        try:
            _write(self.stderr, lines)
            self.stderr.flush()
        except OSError:
            with open(os.devnull, "wb") as nothing:  # noqa: PTH123  no file
                os.dup2(nothing.fileno(), self.stderr.fileno())  # else what it still holds would be tried again

    def flush(self) -> None:
        """Hand on the data that was written so far."""
        with _writing():
            self.stdout.flush()

    def raw(self, data: bytes) -> None:
        """Bytes of a log or a patch, as they are."""
        if self._held is not None:
            self._held += data
            return
        self._put(data)

    def _put(self, data: bytes) -> None:
        self.flush()
        with _writing():
            _binary(self.stdout).write(data)
            _binary(self.stdout).flush()

    def encoded(self, text: str) -> bytes:
        """`text` as stdout would write it, to stand between bytes of a log."""
        if not _carries_signs(self.stdout.encoding):
            text = wording.ascii_signs(text)
        return text.encode(self.stdout.encoding, "ca")

    def document(self, content: object) -> None:
        """One document for programs."""
        self._put(_encode(content, self.format, indent=2 if self.stdout.isatty() else 0))

    def line(self, content: object) -> None:
        """One compact document on a line of its own, at once; the stream of them is all that stdout gets."""
        self._streaming = True
        self._put(_encode(content, "json", indent=0))

    def finish(self, command: str, result: Result[Any], messages: Sequence[str], duration_ms: int) -> int:
        """Print what a verb came to; returns the exit code."""
        self.exit_code = result.exit_code
        messages = [*messages, *result.messages]
        if self.structured:
            timing = Timing(duration_ms)
            if result.error is None:
                self.document(Success(SCHEMA, command, "ok", result.exit_code, result.data, messages, timing))
            else:
                self.document(_refused(command, result.error, result.exit_code, messages, timing))
        else:
            self._finish_for_people(result, messages)
        return result.exit_code

    def _finish_for_people(self, result: Result[Any], messages: Sequence[str]) -> None:
        if result.error is not None:
            self._release(paged=False)
            self.talk(*messages)
            look = self.talk_look
            self.talk(*(result.render(result.data, look) if result.render else error_lines(result.error, look)))
            return
        if result.render is not None:
            self.say(result.render(result.data, self.look))
        self._release(paged=True)
        self.talk(*messages)

    def interrupted(self, command: str, messages: Sequence[str], duration_ms: int) -> int:
        """Print that Ctrl-C ended the command; returns the exit code."""
        self.exit_code = INTERRUPTED
        self._release(paged=False)
        if self.structured and not self._streaming:
            body = ErrorBody("cancelled", "interrupted", {}, [])
            self.document(_refused(command, body, INTERRUPTED, messages, Timing(duration_ms)))
        return INTERRUPTED

    def fail(
        self,
        command: str,
        error: errors.CleverAgentsError,
        messages: Sequence[str],
        duration_ms: int,
        exit_code: int | None = None,
    ) -> int:
        """Print an error; returns the exit code."""
        self.exit_code = code = error.exit_code if exit_code is None else exit_code
        self._release(paged=False)
        if self.structured and not self._streaming:
            self.document(_refused(command, ErrorBody.of(error), code, messages, Timing(duration_ms)))
        else:
            self.talk(*messages, *error_lines(ErrorBody.of(error), self.talk_look))
        return code


def error_lines(error: ErrorBody, look: Look) -> Iterable[str]:
    """`✘` and the message, then what helps now."""
    first, *rest = error.message.rstrip().split("\n")
    yield f"{look.paint('✘', Tone.FAILED, bold=True)} {first}"
    for line in rest:
        yield f"  {line}"
    for suggestion in error.suggestions:
        yield f"  {look.dim('→')} {suggestion}"


def _refused(command: str, error: ErrorBody, exit_code: int, messages: Sequence[str], timing: Timing) -> Refused:
    return Refused(SCHEMA, command, "error", exit_code, error, messages, timing)


def _encode(content: object, form: str, *, indent: int) -> bytes:
    try:
        encoded = msgspec.json.encode(content)
    except UnicodeEncodeError:
        # Arguments and paths that are not UTF-8 come with lone surrogates, which JSON cannot carry.
        encoded = msgspec.json.encode(_mended(msgspec.to_builtins(content)))
    if form == "yaml":
        return _yaml(msgspec.json.decode(encoded))
    return (msgspec.json.format(encoded, indent=indent) if indent else encoded) + b"\n"


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return wording.printable(value)
    if isinstance(value, dict):
        return {_mended(key): _mended(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list | tuple):
        return [_mended(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value


def _yaml(content: object) -> bytes:
    from ruamel.yaml import YAML  # noqa: PLC0415  only --format yaml pays for it

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.allow_unicode = True
    yaml.sort_base_mapping_type_on_output = False  # pyright: ignore[reportAttributeAccessIssue]  an attribute it reads by name
    buffer = io.BytesIO()
    yaml.dump(content, buffer)  # pyright: ignore[reportUnknownMemberType]  ruamel's own types are partial
    return buffer.getvalue()


def _binary(stream: TextIO) -> IO[bytes]:
    return stream.buffer


@contextlib.contextmanager
def _writing() -> Generator[None]:
    """Tell a stream that takes no more, which the one who reads knows of, from a defect.

    Raises:
        BrokenPipeError: nobody reads any more.
        UnwritableError: the disk is full, or the like.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UnwritableError(*error.args) from error


def _write(stream: TextIO, lines: Iterable[str]) -> None:
    text = "".join(f"{line}\n" for line in lines)
    if not text:
        return
    if not _carries_signs(stream.encoding):
        text = wording.ascii_signs(text)
    stream.write(text)


_CARRIES: dict[str, bool] = {}


def _carries_signs(encoding: str) -> bool:
    if encoding not in _CARRIES:
        try:
            "◆✘".encode(encoding)
        except (UnicodeEncodeError, LookupError):
            _CARRIES[encoding] = False
        else:
            _CARRIES[encoding] = True
    return _CARRIES[encoding]


def _put_what_fits(error: UnicodeError) -> tuple[str | bytes, int]:
    """What stands for characters that the stream's encoding lacks: the raw byte of an escaped one, `?` for others."""
    assert isinstance(error, UnicodeEncodeError)
    wrong = error.object[error.start : error.end]
    fitting = b"".join(bytes([ord(char) - 0xDC00]) if "\udc80" <= char <= "\udcff" else b"?" for char in wrong)
    return fitting, error.end


def prepare_streams() -> None:
    """Have stdout and stderr take every string: no text of ours, or of a file's name, can fail to be written."""
    codecs.register_error("ca", _put_what_fits)
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        assert isinstance(stream, io.TextIOWrapper), "a process has real streams"
        stream.reconfigure(errors="ca")


def _open_closed_streams() -> None:
    """A caller may have closed them (`>&-`); what is opened next must not land on their descriptors."""
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115  for the whole process
