"""Two real commands at the same moment; `nox -s soak` does the same a thousand times."""

import pytest

from tests.homes import Home
from tests.soak import race


@pytest.mark.timeout(180)
def test_two_commands_that_move_one_plan_make_one_move(home: Home) -> None:
    """The other finds it done, or is told who has it."""
    assert race(home, 16) == {"execute: one move": 8, "apply: one move": 8}
