"""The table of verbs: every key does something, every verb of `ca plan` can be reached, every echoed command exists."""

import itertools
import re
import subprocess
from collections import Counter

import click
import pytest

from cleveragents_tui import verbs
from cleveragents_tui.cli.root import make_root
from cleveragents_tui.cli.session import Session
from cleveragents_tui.dashboard.acts import ACTS
from cleveragents_tui.dashboard.room import Room
from cleveragents_tui.dashboard.screens.rooms import ROOMS

AREAS = {
    "plans": {"plan", "make"}, "jobs": {"job"}, "locks": {"lock"}, "server": {"sync"}, "settings": {"setting"},
    "diagnostics": {"check"},
}  # fmt: skip


def keys(room: Room) -> list[tuple[str, str]]:
    """Each key of a room with the action that it stands for."""
    return [(key, binding.action) for key, found in room._bindings.key_to_bindings.items() for binding in found]  # pyright: ignore[reportPrivateUsage]  what a class inherited, too


def command(words: str) -> click.Command:
    """The command that words name, as far as they do."""
    with click.Context(make_root(), obj=Session({})) as context:
        found: click.Command = make_root()
        for word in words.split()[1:]:
            deeper = found.get_command(context, word) if isinstance(found, click.Group) else None
            if deeper is None:
                break
            found = deeper
        return found


def test_every_verb_does_something_and_nothing_is_done_without_a_verb() -> None:
    assert ACTS.keys() == verbs.VERBS.keys()


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_has_the_keys_of_its_verbs_and_of_the_dashboard_and_none_twice(name: str) -> None:
    room = ROOMS[name]()
    assert isinstance(room, Room)
    bound = keys(room)
    mine = {action for _, action in bound if action.startswith("app.verb(")}
    there = {f"app.verb('{verb.id}')" for area in AREAS[name] for verb in verbs.of(area) if verb.key}
    of_app = [key for verb in verbs.of("app") for key in verb.key.split(",")]

    assert there <= mine
    assert [key for key, number in Counter([*(key for key, _ in bound), *of_app]).items() if number > 1] == []


def test_every_verb_of_ca_plan_can_be_reached() -> None:
    plan = command("ca plan")
    assert isinstance(plan, click.Group)
    with click.Context(plan, obj=Session({})) as context:
        names = set(plan.list_commands(context))
    said = {
        words[1] for verb in verbs.VERBS.values() if (words := verb.ca.split()[1:])[:1] == ["plan"] and len(words) > 1
    }

    # Status is what the screen shows all the time.
    assert names - said == {"status"}


@pytest.mark.parametrize("verb", [verb for verb in verbs.VERBS.values() if verb.ca], ids=lambda verb: verb.id)
def test_the_command_that_is_echoed_exists(verb: verbs.Verb) -> None:
    found = command(re.sub(r"\{.*", "", verb.ca))

    assert not isinstance(found, click.Group), verb.ca


def test_what_is_asked_names_what_it_is_about() -> None:
    for verb in verbs.VERBS.values():
        named = {name for name in verbs.PLACEHOLDERS if f"{{{name}}}" in verb.ask}
        assert named <= {name for name in verbs.PLACEHOLDERS if f"{{{name}}}" in verb.ca} | {"lock"}, verb.id


@pytest.mark.parametrize("word", ["plain", "two words; rm", "it's $HOME\\n", "a\nb'\\c\td", "name\u202e\U000e0041"])
def test_a_word_is_quoted_as_a_shell_takes_it(word: str) -> None:
    """On one line, so that the whole command is seen, and nothing in it hides."""
    command = verbs.VERBS["plan.apply"].command(plan=word)

    assert command.isprintable()
    shell = ["bash", "-c", command.replace("ca plan apply", "printf %s")]
    assert subprocess.run(shell, capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}).stdout.decode() == word


def test_destructive_keys_are_capital_and_ask() -> None:
    for area, name in itertools.product(("plan", "job"), ("cancel", "revert")):
        verb = verbs.VERBS.get(f"{area}.{name}")
        if verb is not None:
            assert verb.key.isupper()
            assert verb.ask
