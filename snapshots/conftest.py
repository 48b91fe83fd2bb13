"""Pictures of the dashboard in front of a scripted daemon, the same on every machine."""

import time
from collections.abc import Callable, Generator

import pytest
from textual.app import App

from snapshots.tours import Scene, Shot, Size, Tours


@pytest.fixture(scope="session", autouse=True)
def _anywhere() -> Generator[None]:
    """No machine shows: neither its time zone nor how its terminal is set up."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        for name in ("NO_COLOR", "COLUMNS", "LINES"):
            patch.delenv(name, raising=False)
        time.tzset()
        yield
    time.tzset()


@pytest.fixture(scope="session")
def tours(request: pytest.FixtureRequest) -> Tours:
    """The tours of this run, with the scenes that were chosen for it."""
    wanted: dict[tuple[str, Size], list[Scene]] = {}
    for item in request.session.items:
        shot = (
            item.callspec.params.get("shot")
            if isinstance(item, pytest.Function) and hasattr(item, "callspec")
            else None
        )
        if isinstance(shot, Shot):
            wanted.setdefault((shot.tour.name, shot.tour.size), []).append(shot.scene)
    return Tours(wanted)


class Taken(App[None]):
    """A picture that was taken on a tour: `snap_compare` wants an application that shows it."""

    def __init__(self, picture: str) -> None:
        super().__init__()
        self._picture = picture

    def export_screenshot(self, *, title: str | None = None, simplify: bool = False) -> str:  # noqa: ARG002  as App has it
        """The picture."""
        return self._picture


@pytest.fixture
def compare(snap_compare: Callable[..., bool], tours: Tours) -> Callable[[Shot], bool]:
    """Whether a scene looks as it was stored."""

    def look(shot: Shot) -> bool:
        return snap_compare(Taken(tours.picture(shot.tour, shot.scene)))

    return look
