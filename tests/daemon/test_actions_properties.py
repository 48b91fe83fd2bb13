"""Values on their whole way: from a command line through their type into a command and its environment, in one shell."""

import os
import shutil
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from daemon import actions
from store import errors

# What a command line can carry: all but NUL, and bytes that are no UTF-8 arrive as surrogates.
TEXTS = st.text(st.characters(exclude_characters="\0"), max_size=30) | st.binary(max_size=12).map(
    lambda raw: os.fsdecode(raw.replace(b"\0", b""))
)
HARD = [
    "",
    "-n",
    "--",
    "$(echo x)`echo x`",
    "'\"'\"",
    "\\",
    "a\n",
    "\n\n",
    "\r\n",
    "*",
    "~",
    "!!",
    "%s%n",
    "=ls",
    "é\u2028\U0001f600",
]
SHELLS = ["/bin/sh", *(["bash"] if shutil.which("bash") else [])]


def action_of(count: int) -> actions.Action:
    """Arguments a0, a1 and so on, all of them texts."""
    declared = "".join(f"  - {{name: a{number}, required: true}}\n" for number in range(count))
    text = f"name: x\narguments:\n{declared}steps:\n  - {{id: s, run: 'true'}}\n"
    return actions.parse(text, source="x.yaml")


def is_utf8(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


@pytest.mark.parametrize("shell", SHELLS)
@settings(deadline=None, max_examples=100)
@given(st.lists(TEXTS.filter(is_utf8), min_size=1, max_size=20))
@example(HARD)
def test_any_values_arrive_as_they_are_in_every_quote_and_in_the_environment(shell: str, texts: list[str]) -> None:
    values = actions.bind(action_of(len(texts)), {f"a{number}": text for number, text in enumerate(texts)})
    template = "; ".join(
        f"printf '%s\\0' {{a{number}}} \"{{a{number}}}\" '{{a{number}}}' \"$CA_ARG_A{number}\""
        for number in range(len(texts))
    )
    done = subprocess.run(
        actions.shell_argv(actions.render(template, values), shell),
        env={"PATH": os.environ["PATH"], **actions.argument_environment(values)},
        capture_output=True,
        check=True,
    )

    assert done.stderr == b""
    assert done.stdout.split(b"\0") == [text.encode() for text in texts for _ in range(4)] + [b""]


@settings(deadline=None, max_examples=200)
@given(TEXTS)
def test_a_text_that_is_no_utf8_is_refused_and_every_other_is_taken(text: str) -> None:
    try:
        bound = actions.bind(action_of(1), {"a0": text})
    except errors.InvalidArgumentError as error:
        assert "must be UTF-8" in error.message  # noqa: PT017  either outcome is right
        assert not is_utf8(text)
        return

    assert is_utf8(text)
    assert bound == {"a0": text}
