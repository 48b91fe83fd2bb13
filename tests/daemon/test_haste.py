"""A client that asks in a row is awaited, for a moment, and only while that is of use."""

import socket
from collections.abc import Callable, Iterator

import pytest

from daemon import haste

FOREVER = 1000.0


class Scene:
    """A client, and one who answers whatever comes.

    Attributes:
        reaction: What the client does as soon as it is answered; by default it asks again.
        done: Whether nothing is left to be done for it.
    """

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.ours.settimeout(0)
        self.done = True
        self.reaction: Callable[[], object] = self.ask
        self._taken = 0
        self._haste = haste.Haste(self.ours.fileno(), memoryview(bytearray(16)), self._take)
        self.ask()

    def ask(self) -> None:
        self.theirs.send(b"q")

    def _take(self, size: int) -> bool:
        self._taken += size
        self.reaction()
        return self.done

    def read(self) -> int:
        """The loop reads once; how much was taken until it goes on."""
        before = self._taken
        self._haste.read(len(self.ours.recv(16)))
        return self._taken - before


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """Here everybody is quick, however slow the machine is."""
    monkeypatch.setattr(haste, "WINDOW", FOREVER)
    monkeypatch.setattr(haste, "TURN", 0.01)
    made = Scene()
    with made.ours, made.theirs:
        yield made


def test_who_asks_in_a_row_is_awaited_for_one_turn(scene: Scene) -> None:
    """From the third question on; then the loop goes on, with the next one unread."""
    turns = [scene.read() for _ in range(4)]

    assert turns[:2] == [1, 1]
    assert min(turns[2:]) > 1
    assert scene.ours.recv(16) == b"q"


def test_who_takes_its_time_is_never_awaited(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(haste, "WINDOW", 0.0)

    assert [scene.read() for _ in range(9)] == [1] * 9


def test_who_is_not_answered_yet_is_never_awaited(scene: Scene) -> None:
    scene.done = False

    assert [scene.read() for _ in range(9)] == [1] * 9


def test_who_did_not_come_has_to_be_quick_twice_as_often(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it comes when it is awaited."""

    def pause() -> None:
        monkeypatch.setattr(haste, "WINDOW", 0.001)
        monkeypatch.setattr(haste, "TURN", FOREVER)

    assert [scene.read() for _ in range(2)] == [1, 1]
    scene.reaction = pause
    assert scene.read() == 1  # awaited in vain

    scene.reaction = scene.ask
    monkeypatch.setattr(haste, "WINDOW", FOREVER)
    monkeypatch.setattr(haste, "TURN", 0.01)
    scene.ask()
    assert [scene.read() for _ in range(3)] == [1, 1, 1]
    assert scene.read() > 1


@pytest.mark.parametrize("unread", [b"", b"an answer that the client does not read"])
def test_a_client_that_hangs_up_is_left_to_the_loop(scene: Scene, unread: bytes) -> None:
    """The end of the connection is still there to be read, whether the client went in peace or not."""
    assert [scene.read() for _ in range(2)] == [1, 1]
    if unread:
        scene.ours.send(unread)
    scene.reaction = scene.theirs.close

    assert scene.read() == 1
    assert scene.ours.recv(16) == b""
