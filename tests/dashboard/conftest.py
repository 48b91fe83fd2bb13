"""What the tests of the dashboard share: a home that has nothing but what they made, for they see all of it."""

from collections.abc import Iterator

import pytest

from tests.homes import Home


@pytest.fixture(scope="session")
def shared() -> Iterator[Home]:
    """A home of these tests' own; what one makes has names of its own, and nothing is left running."""
    with Home() as made:
        yield made
