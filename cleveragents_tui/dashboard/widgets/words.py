"""Which words of two lines differ, found quickly or not at all."""

import re
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import accumulate

from rich.segment import Segment
from rich.style import Style

LONGEST = 2000
"""Characters of a line that is compared."""
MOST_WORDS = 200
"""Words that are compared one by one; of more, all between the first and the last that differ count as different."""
SIMILAR = 0.4
"""Lines that have less than this share of their text in common are two lines, not one that was changed."""

Spans = tuple[tuple[int, int], ...]
"""Pieces of a line, each from a character to before another."""

_WORD = re.compile(r"\w+|\s+|.", re.DOTALL)


@lru_cache(maxsize=2048)
def differing(old: str, new: str) -> tuple[Spans, Spans]:
    """The pieces of each of two lines that the other has not; none when they are too long, or have little in common."""
    if max(len(old), len(new)) > LONGEST:
        return (), ()
    before, after = _WORD.findall(old), _WORD.findall(new)
    start, end = _common(before, after)
    blocks = [(start, len(before) - end, start, len(after) - end)]
    if max(len(before), len(after)) - start - end <= MOST_WORDS:
        blocks = [*_blocks(before[start : len(before) - end], after[start : len(after) - end], start)]
    mine = _spans(before, ((first, last) for first, last, _, _ in blocks))
    its = _spans(after, ((first, last) for _, _, first, last in blocks))
    return (mine, its) if _alike(old, mine) or _alike(new, its) else ((), ())


def _common(old: Sequence[str], new: Sequence[str]) -> tuple[int, int]:
    """How many words two lines begin with alike, and how many they end with alike."""
    most = min(len(old), len(new))
    start = next((index for index in range(most) if old[index] != new[index]), most)
    most -= start
    end = next((index for index in range(most) if old[-1 - index] != new[-1 - index]), most)
    return start, end


def _blocks(old: Sequence[str], new: Sequence[str], offset: int) -> Iterable[tuple[int, int, int, int]]:
    for tag, first, last, its_first, its_last in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            yield first + offset, last + offset, its_first + offset, its_last + offset


def _spans(words: Sequence[str], pieces: Iterable[tuple[int, int]]) -> Spans:
    """Pieces by words as pieces by characters; those that only blanks part are one."""
    joined: list[tuple[int, int]] = []
    for first, last in pieces:
        if joined and "".join(words[joined[-1][1] : first]).isspace():
            joined[-1] = (joined[-1][0], last)
        elif first < last:
            joined.append((first, last))
    places = [0, *accumulate(len(word) for word in words)]
    return tuple((places[first], places[last]) for first, last in joined)


def _alike(line: str, spans: Spans) -> bool:
    """Whether enough of a line is in both; blanks alone make no likeness."""
    differing = sum(len(line[first:last].strip()) for first, last in spans)
    return len(line.strip()) - differing >= SIMILAR * max(1, len(line.strip()))


def painted(text: str, spans: Iterable[tuple[int, int]], style: Style, marked: Style) -> list[Segment]:
    """`text` in `style`, its pieces in `marked`."""
    segments: list[Segment] = []
    last = 0
    for start, end in spans:
        segments += [Segment(text[last:start], style), Segment(text[start:end], marked)]
        last = end
    return [*segments, Segment(text[last:], style)]
