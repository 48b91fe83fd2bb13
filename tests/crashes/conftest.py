"""A home and a project for each crash."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import daemons


@pytest.fixture
def home(tmp_path: Path) -> Iterator[daemons.Home]:
    with daemons.temporary_home(tmp_path / "h") as made:
        yield made


@pytest.fixture
def project(tmp_path: Path) -> Path:
    files = {"a.txt": "base\n", "b.txt": "base\n", "gone.txt": "base\n", "deep/c.txt": "base\n"}
    return daemons.repository(tmp_path / "proj", files)


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A step that waits for this file ends when the test makes it."""
    return tmp_path / "gate"
