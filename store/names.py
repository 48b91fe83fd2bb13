"""Names, ids and durations: what is a legal spelling is decided here and only here.

Every part of the program that takes a name, an id or a duration from outside calls this module once, at its
edge, and passes the parsed value on.
"""

import os
import re
import threading
import time
from collections.abc import Iterable

from store import errors

DEFAULT_NAMESPACE = "local"
MAX_PART = 64
"""Characters in a namespace, in a name and in a label."""

MAX_DURATION = 100 * 366 * 86_400
"""Seconds; anything longer is a slip of the keyboard, and would overflow the deadlines that are computed from it."""

DIGITS = 6
"""Digits of a second that count: a time is kept in microseconds."""

_PART = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", re.ASCII)
_LIKE_ULID = re.compile(r"[0-7][0-9a-hjkmnp-tv-z]{25}", re.ASCII)
_DURATION = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)([smhd]?)", re.ASCII)
_UNIT_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")
_ALPHABET = "lower case letters, digits, '-' and '_', starting with a letter or digit"


def parse_name(text: str, *, what: str = "name") -> str:
    """`[namespace/]name` as `namespace/name`; the namespace defaults to `local`.

    Args:
        text: What was written.
        what: What it names, for the message ("action", "project").

    Raises:
        InvalidArgumentError: it is not a legal name; the message says why and gives the nearest legal spelling.
    """
    parts = text.split("/")
    if len(parts) > 2:
        reason = "it has more than one '/'"
    else:
        reason = next((found for part in parts if (found := _wrong_with(part)) is not None), None)
    if reason is not None:
        raise _refusal(what, text, reason, example="local/tidy-up", legal=_nearest_legal(parts[-2:]))
    return text if len(parts) == 2 else f"{DEFAULT_NAMESPACE}/{text}"


def split_name(name: str) -> tuple[str, str]:
    """The namespace and the name of what `parse_name` returned."""
    namespace, _, last = name.partition("/")
    return namespace, last


def parse_label(text: str, *, what: str = "plan name") -> str:
    """A plan's own name: one part, no namespace, and nothing that could be taken for an id.

    Raises:
        InvalidArgumentError: it is not a legal label.
    """
    reason = _wrong_with(text)
    if reason is not None:
        raise _refusal(what, text, reason, example="tidy-up", legal=_nearest_legal([text]))
    if _LIKE_ULID.fullmatch(text):
        raise _refusal(what, text, "it looks like the id of a plan", example="tidy-up", legal=f"plan-{text}")
    return text


def _wrong_with(part: str) -> str | None:
    """Why `part` is no legal part of a name, in words that follow "because"; None when it is one."""
    if _PART.fullmatch(part):
        return None
    wrong = next((char for char in part if char not in _LETTERS), "")
    reasons = (
        (not part, "it is empty, or has nothing on one side of '/'"),
        (part in {".", ".."}, "'.' and '..' are paths, and a name is not a path"),
        (len(part) > MAX_PART, f"a part of it has {len(part)} characters, and {MAX_PART} is the limit"),
        (part.startswith(("-", "_")), f"it starts with {part[:1]!r}"),
        ("A" <= wrong <= "Z", "it has upper case letters"),
    )
    return next((reason for holds, reason in reasons if holds), f"it contains {wrong!r}")


def _refusal(what: str, text: str, reason: str, *, example: str, legal: str | None) -> errors.InvalidArgumentError:
    shown = text if len(text) <= 2 * MAX_PART else f"{text[: 2 * MAX_PART]}…"
    hint = f"did you mean {legal!r}?" if legal else f"an example is {example!r}"
    return errors.InvalidArgumentError(
        f"{shown!r} is not a valid {what}: {reason}; use {_ALPHABET}: {hint}",
        detail={"what": what, "value": shown, "reason": reason, "example": legal or example},
        suggestions=[f"use {legal or example}"],
    )


def _nearest_legal(parts: list[str]) -> str | None:
    """The legal spelling nearest to `parts`, None when nothing of them is left."""
    import unicodedata  # noqa: PLC0415  only a refusal needs it

    legal: list[str] = []
    for part in parts:
        plain = unicodedata.normalize("NFKD", part[: 4 * MAX_PART]).encode("ascii", "ignore").decode().lower()
        cleaned = re.sub(r"[^a-z0-9_]+", "-", plain).strip("-_")[:MAX_PART].rstrip("-_")
        if cleaned:
            legal.append(cleaned)
    return "/".join(legal) or None


class _UlidClock:
    """The last id that this process made, so that the next one sorts after it."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def next(self, milliseconds: int) -> int:
        with self._lock:
            fresh = milliseconds << 80 | int.from_bytes(os.urandom(10), "big")
            # Same millisecond, or a clock that went back: one more than the last keeps the order.
            self._last = fresh if fresh >> 80 > self._last >> 80 else self._last + 1
            return self._last


_ulids = _UlidClock()
# Parent and child would otherwise count on from the same value, and make the same id twice.
os.register_at_fork(after_in_child=_ulids.reset)


def new_ulid(now_us: int | None = None) -> str:
    """A new id of 26 characters that sorts after every id this process made before.

    Args:
        now_us: Microseconds since 1970; None is now.
    """
    microseconds = time.time_ns() // 1_000 if now_us is None else now_us
    number = _ulids.next(microseconds // 1_000)
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def is_ulid(text: str) -> bool:
    """Whether `text` is spelled like `new_ulid` spells ids."""
    return _ULID.fullmatch(text) is not None


def parse_duration(value: str | float) -> float:
    """Seconds: `90`, `90s`, `10m`, `2h`, `7d`.

    Raises:
        InvalidArgumentError: it is not a duration, negative, or longer than a hundred years.
    """
    seconds = _duration_seconds(value)
    if seconds is None or seconds > MAX_DURATION:
        shown = str(value)[:MAX_PART]
        raise errors.InvalidArgumentError(
            f"{shown!r} is not a duration: write a number of seconds or a number with s, m, h or d,"
            " for example 90, 90s, 10m, 2h or 7d; at most a hundred years",
            detail={"what": "duration", "value": shown},
            suggestions=["use 90s, 10m, 2h or 7d"],
        )
    return seconds


def _duration_seconds(value: str | float) -> float | None:
    if isinstance(value, str):
        match = _DURATION.fullmatch(value)
        if match is None:
            return None
        size = _UNIT_SECONDS[match[2]]
        return float(int(match[1]) * size) if match[1].isdigit() else round(_exact(match[1], size), DIGITS)
    if isinstance(value, bool) or not 0 <= value <= MAX_DURATION:  # a NaN fails the comparison too
        return None
    return round(float(value), DIGITS)


def format_duration(seconds: float) -> str:
    """The shortest exact spelling that `parse_duration` reads back: 600 is `10m`, 90 is `90s`."""
    for unit in "dhm":
        size = _UNIT_SECONDS[unit]
        if seconds >= size and seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s" if seconds == int(seconds) else f"{_decimal(seconds)}s"


def _exact(number: str, size: int) -> float:
    from decimal import Decimal  # noqa: PLC0415  fractions of a unit are rare, and every command imports this module

    return float(Decimal(number) * size)


def _decimal(seconds: float) -> str:
    from decimal import Decimal  # noqa: PLC0415  as above

    return format(Decimal(repr(seconds)), "f")


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that `word` was probably meant to be, None when nothing comes close."""
    import difflib  # noqa: PLC0415  only a refusal needs it

    found = difflib.get_close_matches(word, list(candidates), n=1)
    return found[0] if found else None
