"""Which plan is on which line of the board, against a list of all lines."""

from hypothesis import given
from hypothesis import strategies as st

from cleveragents_tui.dashboard.outline import LISTS, Heading, Spot, outline, windows
from daemon import views

Lines = list[Heading | Spot]


@st.composite
def boards(draw: st.DrawFn) -> tuple[views.BoardCountsView, list[views.BoardPlaceView]]:
    """Four lists, some of whose plans are opened, and some of the children of these."""
    sizes = {name: draw(st.integers(0, 6)) for name in LISTS}
    places: list[views.BoardPlaceView] = []
    free = [(name, position) for name in LISTS for position in range(sizes[name])]
    for number in range(draw(st.integers(0, 5))):
        if not free:
            break
        of, position = free.pop(draw(st.integers(0, len(free) - 1)))
        children = draw(st.integers(0, 4))
        places.append(views.BoardPlaceView(f"plan{number}", of, position, children))
        free += [(f"plan{number}", child) for child in range(children)]
    return views.BoardCountsView(**sizes), draw(st.permutations(places))


def every_line(counts: views.BoardCountsView, places: list[views.BoardPlaceView]) -> Lines:
    """The same board, line by line."""
    opened = {(place.of, place.position): place for place in places}

    def below(of: str, count: int, depth: int) -> Lines:
        found: Lines = []
        for position in range(count):
            found.append(Spot(of, position, depth))
            place = opened.get((of, position))
            found += below(place.plan_id, place.children, depth + 1) if place is not None else []
        return found

    lines: Lines = []
    for name in LISTS:
        count = int(getattr(counts, name))
        lines += [Heading(name, count), *below(name, count, 0)] if count else []
    return lines


@given(boards())
def test_each_line_has_what_a_list_of_all_lines_has(
    board: tuple[views.BoardCountsView, list[views.BoardPlaceView]],
) -> None:
    found, expected = outline(*board), every_line(*board)

    assert found.size == len(expected)
    assert [found.at(line) for line in range(found.size)] == expected


@given(boards())
def test_each_plan_is_found_on_its_line_and_no_other_is(
    board: tuple[views.BoardCountsView, list[views.BoardPlaceView]],
) -> None:
    found = outline(*board)
    lines = {(spot.of, spot.position): line for line, spot in enumerate(every_line(*board)) if isinstance(spot, Spot)}

    for (of, position), line in lines.items():
        assert found.line_of(of, position) == line
    assert found.line_of("done", 99) is None
    assert found.line_of("of another plan", 0) is None


def test_what_is_in_view_is_asked_for_in_one_stretch_a_list() -> None:
    spots = [Spot("running", 3), Spot("running", 4), Spot("plan1", 0, 1), Spot("running", 5), Spot("done", 0)]

    assert windows(spots) == [("running", 3, 3), ("plan1", 0, 1), ("done", 0, 1)]
