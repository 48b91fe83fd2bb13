"""Names, ids and durations: what is accepted, what is refused, and how helpfully."""

import os
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store import errors, names

LETTERS = string.ascii_lowercase + string.digits
PARTS = st.builds(str.__add__, st.sampled_from(LETTERS), st.text(alphabet=LETTERS + "-_", max_size=names.MAX_PART - 1))


@settings(deadline=None)
@given(PARTS, PARTS)
def test_a_full_name_is_kept_and_splits_into_its_parts(namespace: str, name: str) -> None:
    parsed = names.parse_name(f"{namespace}/{name}")

    assert parsed == f"{namespace}/{name}"
    assert names.split_name(parsed) == (namespace, name)


@settings(deadline=None)
@given(PARTS)
def test_a_short_name_is_in_the_local_namespace(name: str) -> None:
    assert names.parse_name(name) == f"local/{name}"
    assert names.parse_name(names.parse_name(name)) == f"local/{name}"


@settings(deadline=None)
@given(st.text(max_size=80))
def test_any_text_is_a_legal_name_or_refused_with_a_legal_suggestion(text: str) -> None:
    try:
        parsed = names.parse_name(text)
    except errors.InvalidArgumentError as error:
        example = error.detail["example"]
    else:
        example = parsed
        assert parsed in {text, f"local/{text}"}

    assert names.parse_name(example).isascii()
    assert ".." not in example


@pytest.mark.parametrize(
    ("text", "reason", "example"),
    [
        ("../x", "is not a path", "x"),
        ("..", "is not a path", "local/tidy-up"),
        ("", "empty", "local/tidy-up"),
        ("/x", "empty", "x"),
        ("x/", "empty", "x"),
        ("Modernise", "upper case", "modernise"),
        ("Team/Tidy Up", "upper case", "team/tidy-up"),
        ("örtlich", "contains 'ö'", "ortlich"),
        ("日本", "contains '日'", "local/tidy-up"),
        ("a/b/c", "more than one '/'", "b/c"),
        ("-x", "starts with '-'", "x"),
        ("_x", "starts with '_'", "x"),
        ("tidy.up", "contains '.'", "tidy-up"),
        ("x\n", "contains '\\n'", "x"),
        ("a" * 65, "65 characters", "a" * 64),
        ("٣", "contains '٣'", "local/tidy-up"),
    ],
)
def test_an_illegal_name_is_refused_with_its_reason_and_the_nearest_legal_one(
    text: str, reason: str, example: str
) -> None:
    with pytest.raises(errors.InvalidArgumentError) as caught:
        names.parse_name(text, what="action")

    assert reason in caught.value.message
    assert "valid action" in caught.value.message
    assert caught.value.detail["example"] == example
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("text", ["a" * 64, f"{'a' * 64}/{'b' * 64}", "0", "a_b-c"])
def test_names_up_to_the_limit_are_accepted(text: str) -> None:
    assert names.parse_name(text).endswith(text)


def test_a_refusal_of_a_huge_name_stays_short() -> None:
    with pytest.raises(errors.InvalidArgumentError) as caught:
        names.parse_name("x" * 1_000_000)

    assert len(caught.value.message) < 1_000


@pytest.mark.parametrize("text", ["a/b", "a.b", "", "A", "-a", "a" * 65])
def test_a_label_has_one_part_of_the_same_alphabet(text: str) -> None:
    with pytest.raises(errors.InvalidArgumentError, match="not a valid plan name"):
        names.parse_label(text)


@settings(deadline=None)
@given(PARTS)
def test_a_label_is_kept_as_it_is(text: str) -> None:
    assert names.parse_label(text) == text


def test_a_label_that_could_be_an_id_is_refused() -> None:
    label = names.new_ulid().lower()

    with pytest.raises(errors.InvalidArgumentError, match="looks like the id of a plan") as caught:
        names.parse_label(label)

    assert names.parse_label(caught.value.detail["example"]) == f"plan-{label}"


def test_ids_sort_in_the_order_in_which_they_were_made() -> None:
    made = [names.new_ulid() for _ in range(5_000)]

    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert all(names.is_ulid(text) for text in made)


def later_than_every_id() -> int:
    """Microseconds of a whole second after the last id of this process, whatever other tests asked for."""
    digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    milliseconds = 0
    for char in names.new_ulid()[:10]:
        milliseconds = milliseconds * 32 + digits.index(char)
    return (milliseconds // 1_000 + 1_000) * 1_000_000


def test_ids_keep_their_order_when_the_clock_goes_back() -> None:
    later = names.new_ulid(later_than_every_id())
    earlier = names.new_ulid(1_000_000)

    assert earlier > later


def test_an_id_starts_with_the_time_it_was_made() -> None:
    now = later_than_every_id()

    first = names.new_ulid(now)
    same_millisecond = names.new_ulid(now + 999)
    next_millisecond = names.new_ulid(now + 1_000)

    assert first[:10] == same_millisecond[:10] < next_millisecond[:10]


def test_a_forked_process_makes_other_ids_than_its_parent() -> None:
    now = later_than_every_id()
    names.new_ulid(now)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, names.new_ulid(now).encode())
        os._exit(0)
    os.waitpid(child, 0)
    made_by_child = os.read(reading, 26).decode()
    os.close(reading)
    os.close(writing)

    assert names.is_ulid(made_by_child)
    assert names.new_ulid(now) != made_by_child


@pytest.mark.parametrize(
    "text",
    ["", "01ARZ3NDEKTSV4RRFFQ69G5FA", "01ARZ3NDEKTSV4RRFFQ69G5FAVX", "8" + "0" * 25, "0" * 25 + "I", "0" * 25 + "a"],
)
def test_what_is_not_spelled_like_an_id_is_none(text: str) -> None:
    assert not names.is_ulid(text)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("10m", 600),
        ("2h", 7_200),
        ("7d", 604_800),
        ("0", 0),
        ("1.5h", 5_400),
        (90, 90),
        (0.25, 0.25),
    ],
)
def test_a_duration_is_read_in_seconds(value: str | float, seconds: float) -> None:
    assert names.parse_duration(value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "", "m", "10 m", "-1", "1w", "500ms", "1h30m", "1e3", "٣", "1d\n", "99999999d",
        True, -1, float("nan"), float("inf"), 1e300,
    ],
)  # fmt: skip
def test_what_is_no_duration_is_refused_with_examples(value: str | float) -> None:
    with pytest.raises(errors.InvalidArgumentError, match="90, 90s, 10m, 2h or 7d"):
        names.parse_duration(value)


@settings(deadline=None)
@given(
    st.one_of(st.integers(0, 10**9), st.floats(0, 10**6, allow_subnormal=False).map(lambda number: round(number, 6)))
)
def test_a_printed_duration_reads_back_as_itself(seconds: float) -> None:
    assert names.parse_duration(names.format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (90, "90s"), (600, "10m"), (5_400, "90m"), (7_200, "2h"), (604_800, "7d"), (0.5, "0.5s")],
)
def test_a_duration_is_printed_in_its_largest_whole_unit(seconds: float, text: str) -> None:
    assert names.format_duration(seconds) == text


def test_the_nearest_word_is_found_and_a_far_one_is_not() -> None:
    assert names.nearest("timout", ["run", "timeout", "title"]) == "timeout"
    assert names.nearest("zzz", ["run", "timeout"]) is None
