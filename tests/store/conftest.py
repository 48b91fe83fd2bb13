"""An open store for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stores import SettableClock, Store, opened


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
def store(tmp_path: Path, clock: SettableClock) -> Iterator[Store]:
    with opened(tmp_path, clock) as made:
        yield made
