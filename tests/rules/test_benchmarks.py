"""The page of the benchmarks is what the kept results say, and every row of the promised table has its limits."""

import dataclasses
from collections.abc import Generator
from pathlib import Path

from bench import page, results
from bench.measure import Sample, Settings, take
from bench.rows import GROUPS, ROWS

TABLE = GROUPS[0].rows


def test_page_is_what_the_results_say() -> None:
    """Whoever changes how it looks runs `python -m bench.page`."""
    text = page.FILE.read_text("utf-8")
    assert page.written(results.read(), text) == text


def test_every_promise_has_its_limits() -> None:
    """Every row of the table has what it must reach and what would be better, and both look the same way."""
    for row in TABLE:
        assert row.must is not None
        assert row.wish is not None
        assert row.must.at_least == row.wish.at_least
        assert row.wish.reached(row.wish.number)
        assert row.must.reached(row.wish.number)


def test_every_row_is_in_one_group() -> None:
    """What is not promised is told below, once."""
    listed = [row.name for group in GROUPS for row in group.rows]
    assert sorted(listed) == sorted(ROWS)


def rounds(_settings: Settings) -> Generator[Sample]:
    yield from (Sample(ratio * 0.01, 0.01) for ratio in (2, 3, 4))


def test_results_come_back_as_they_were_written(tmp_path: Path) -> None:
    """The page made from the file is the one made from the run, and what was written by hand stays."""
    taken = take(dataclasses.replace(ROWS["status"], rounds=rounds), Settings())
    found = results.Results({"status": taken}, {"status": results.Curve("plans", [results.Point(1_000, taken)])})
    results.write(found, tmp_path / "results.json")
    back = results.read(tmp_path / "results.json")
    assert back == found
    text = page.written(back, f"old\n{page.BY_HAND}\n\nmine\n")
    assert text == page.written(found, text)
    assert text.endswith(f"{page.BY_HAND}\n\nmine\n")
    assert "3x (2x-4x)" in text
    assert "1,000: 30 ms : 10 ms" in text
