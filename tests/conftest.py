"""What every test may ask for: a home of its own, or the one that the tests of a process share."""

import signal
from collections.abc import Iterator

import pytest

from tests.homes import Home

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background by a shell: what is started here would inherit that it cannot be interrupted.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def home() -> Iterator[Home]:
    """A home of the test's own; its daemon is gone afterwards."""
    with Home() as made:
        yield made


@pytest.fixture(scope="session")
def shared() -> Iterator[Home]:
    """A home for tests that do not disturb each other: what they make has names of its own, and nothing is left running."""
    with Home() as made:
        yield made
