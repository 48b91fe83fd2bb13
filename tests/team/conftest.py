"""A team server for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.team.server import TeamServer, serving


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TeamServer]:
    with serving(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TeamServer]:
    """One without tokens for the tests of a module that leave it as it was."""
    with serving(tmp_path_factory.mktemp("standing")) as made:
        yield made
