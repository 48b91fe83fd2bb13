"""Values and durations, whatever somebody writes: what is accepted comes back as it was, all else is an error of ours."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from store import config, errors, names
from store.sharing import PRIVATE

NAMESPACES = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,63}", fullmatch=True).filter(lambda name: name not in PRIVATE)
CHECKED: dict[str, st.SearchStrategy[config.Value]] = {
    "server.url": st.sampled_from(["http://127.0.0.1:8420", "https://team.example.org/a", "HTTPS://[::1]:443/"]),
    "server.namespace": NAMESPACES,
}


def values(key: config.Key) -> st.SearchStrategy[config.Value]:
    """Every value that the key may have."""
    match key.type:
        case "bool":
            return st.booleans()
        case "choice":
            return st.sampled_from(key.choices)
        case "duration":
            return st.integers(0, names.MAX_DURATION * 1_000).map(lambda thousandths: thousandths / 1_000)
        case "int":
            return st.integers(int(key.minimum or 0), int(key.maximum or 2**53))
        case "str":
            characters = st.characters(exclude_categories=["C", "Z"], include_characters=" ")
            return CHECKED.get(key.name, st.text(characters, min_size=1))
        case _:
            return st.floats(key.minimum, key.maximum)


def written(key: config.Key, value: config.Value) -> str:
    """A value as somebody types it; a secret is not shown so."""
    return str(value) if key.secret else config.show(key, value)


KEYS_WITH_VALUES = st.sampled_from(list(config.KEYS.values())).flatmap(lambda key: st.tuples(st.just(key), values(key)))
WRITTEN = st.one_of(
    st.text(max_size=12),
    st.from_regex(r"-?[0-9]{1,16}(\.[0-9]{0,16})?[smhdw]?\s?", fullmatch=True),
    st.sampled_from(
        ["true", "0x10", "1_000", "1e3", "nan", "-inf", "٣", "½", "\0", "\ud800", "json", "JSON", " 5 ", "+5"]
    ),
)


@settings(deadline=None, max_examples=100)
@given(KEYS_WITH_VALUES, st.sampled_from([None, "local/web"]))
def test_any_value_comes_back_from_the_file_and_from_its_text(
    chosen: tuple[config.Key, config.Value], project: str | None
) -> None:
    """With its type; what `config get` prints is what `config set` and the environment take."""
    key, value = chosen
    project = project if key.project_scopable else None
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "config.toml"
        config.edit(path, {key.name: value}, project=project)
        read = [
            config.Config(path, {}).value(key.name, project),
            config.Config(Path(directory) / "none", {key.env: written(key, value)}).value(key.name),
            config.parse_value(key, written(key, value)),
        ]

    assert read == [value] * 3
    assert {type(found) for found in read} == {type(value)}


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(list(config.KEYS.values())), WRITTEN)
def test_any_text_is_a_value_that_can_be_stored_or_an_error_about_its_key(key: config.Key, text: str) -> None:
    try:
        value = config.parse_value(key, text)
    except errors.InvalidConfigError as error:
        told = f"{key.name}: " if key.check else f"{key.name} must be {key.allowed}, not "
        assert error.message.startswith(told)  # noqa: PT017  either outcome is right
        return

    assert config.check_value(key, value) == value
    assert config.parse_value(key, written(key, value)) == value


@settings(deadline=None, max_examples=300)
@given(WRITTEN | st.floats().map(lambda number: round(number, 6)) | st.integers() | st.booleans())
def test_anything_is_a_duration_that_is_printed_and_read_back_or_refused(written: str | float) -> None:
    try:
        seconds = names.parse_duration(written)
    except errors.InvalidArgumentError as error:
        assert "90, 90s, 10m, 2h or 7d" in error.message  # noqa: PT017  either outcome is right
        return

    assert 0 <= seconds <= names.MAX_DURATION
    assert names.parse_duration(names.format_duration(seconds)) == seconds
