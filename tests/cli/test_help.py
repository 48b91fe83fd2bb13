"""Help, refusals of the parser, and what a short command may import."""

import json
import re
import shlex
import subprocess
import sys

import click
import pytest

from cleveragents_tui.cli import root, usage
from cleveragents_tui.cli.commands import Noun, Verb
from cleveragents_tui.cli.session import Session
from tests.homes import Home

HEAVY = ("asyncio", "rich", "textual", "httpx", "tomlkit", "ruamel", "logging", "subprocess", "apsw", "psutil")


def commands() -> dict[str, click.Command]:
    """Every command of `ca` by its words."""
    found: dict[str, click.Command] = {}
    made = root.make_root()
    context = click.Context(made, info_name="ca", obj=Session({}))
    for name in made.list_commands(context):
        command = made.get_command(context, name)
        assert command is not None, name
        found[name] = command
        if isinstance(command, Noun):
            inner = click.Context(command, parent=context, info_name=name)
            for verb in command.list_commands(inner):
                found[f"{name} {verb}"] = command.get_command(inner, verb) or pytest.fail(verb)
    return found


ALL = commands()


@pytest.mark.parametrize("words", ALL)
def test_every_command_has_help_with_an_example_that_parses(words: str) -> None:
    """`--help` says what it does, has `--format`, and its examples are accepted by its own parser."""
    command = ALL[words]
    context = click.Context(command, info_name=f"ca {words}", obj=Session({}))
    shown = command.get_help(context)

    assert "Example" in shown
    assert "--format" in shown
    assert (command.help or "").strip()
    if isinstance(command, Verb):
        for example in command.examples:
            arguments = shlex.split(re.split(" [<>] ", example)[0])
            assert arguments[: 1 + len(words.split())] == ["ca", *words.split()], example
            command.make_context(words, arguments[1 + len(words.split()) :], parent=context)


def test_every_option_says_what_it_is_for() -> None:
    """No option without help."""
    silent = [
        f"{words} {option.opts[0]}"
        for words, command in ALL.items()
        for option in command.params
        if isinstance(option, click.Option) and not option.help
    ]

    assert not silent


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("pln list", "did you mean `ca plan`?"),
        ("plan lst", "did you mean `ca plan list`?"),
        ("execute x", "did you mean `ca plan execute`?"),
        ("plan list --sate x", "did you mean --state?"),
        ("plans", "did you mean `ca plan`?"),
        ("runn", "did you mean `ca run`?"),
        ("doctor", "did you mean `ca diagnostics`?"),
        ("version", "did you mean `ca --version`?"),
        ("help", "did you mean `ca --help`?"),
        ("init", "did you mean `ca project add`?"),
        ("diff x", "did you mean `ca plan diff`?"),
        ("validate f", "did you mean `ca action validate`?"),
        ("plan retry x", "did you mean `ca plan execute`?"),
        ("plan delete x", "did you mean `ca plan cancel`?"),
        ("plan ls", "did you mean `ca plan list`?"),
        ("project rm x", "did you mean `ca project remove`?"),
        ("action new f", "did you mean `ca action create`?"),
        ("daemon kill", "did you mean `ca daemon stop`?"),
        ("plan show --formt json x", "did you mean --format?"),
        ("plan list --no-pagr", "did you mean --no-pager?"),
        ("plan list --state erored", "errored"),
        ("config get core.fromat", "core.format"),
        ("completion tcsh", "bash"),
    ],
)
def test_typos_get_a_suggestion(shared: Home, line: str, expected: str) -> None:
    """Commands, verbs without their noun, the words of other programs, options, choices and keys."""
    done = shared.run(*line.split(), code=None)

    assert done.code in {2, 3}
    assert expected in done.err
    assert not done.out


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("plan show -f json", "plan show"),
        ("--format json plan", "plan"),
        ("plan lst --format=json", "plan"),
        ("nonesuch -fjson", ""),
        ("plan list --limit x --format json", "plan list"),
        ("plan list --bogus -f json", "plan list"),
        ("plan apply x --format json", "plan apply"),
        ("plan use a p --arg broken --format json", "plan use"),
    ],
)
def test_wrong_usage_is_a_document_too(shared: Home, line: str, command: str) -> None:
    """Wherever `--format json` stands, the refusal is one envelope with the code `usage`."""
    done = shared.run(*line.split(), code=2)
    document = json.loads(done.out)

    assert (document["command"], document["error"]["code"], document["exit_code"]) == (command, "usage", 2)
    assert not done.err


def test_options_stand_before_and_after_arguments(shared: Home) -> None:
    """Both orders are the same command."""
    shared.data("daemon", "start")
    before = shared.run("plan", "--format", "json", "show", "nonesuch", code=3)
    after = shared.run("plan", "show", "nonesuch", "--format", "json", code=3)

    assert json.loads(before.out)["error"] == json.loads(after.out)["error"]


def test_the_format_comes_from_flag_then_environment_then_file(home: Home) -> None:
    """The flag wins over the environment, the environment over the file."""
    home.run("config", "set", "core.format", "json")
    from_file = home.run("config", "path")
    from_environment = home.run("config", "path", env={"CLEVERAGENTS_CORE_FORMAT": "yaml"})
    from_flag = home.run("config", "path", "--format", "plain", env={"CLEVERAGENTS_CORE_FORMAT": "yaml"})

    assert from_file.out.startswith('{"schema":1')
    assert from_environment.out.startswith("schema: 1\n")
    assert from_flag.out == f"{home.home}/config/config.toml\n"


def test_the_version_needs_no_daemon(home: Home) -> None:
    """`--version` prints one line and starts nothing."""
    from store.version import VERSION  # noqa: PLC0415

    assert home.run("--version").out == f"ca {VERSION}\n"
    assert not home.home.exists()


@pytest.mark.parametrize(
    "module", ["cleveragents_tui.cli.app", "cleveragents_tui.cli.root", "cleveragents_tui.cli.plan_reading"]
)
def test_a_short_command_imports_nothing_heavy(module: str) -> None:
    """Cold start is a feature: what a one-shot command does not need it does not import."""
    code = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": "."}
    )

    assert found.stdout.strip() == "[]"


def test_the_parser_is_not_loaded_for_what_needs_none() -> None:
    """`ca status` and `ca plan list` without options do without click."""
    modules = ", ".join(f"cleveragents_tui.cli.{name}" for name in ("app", "overview", "plan_list"))
    code = f"import sys, {modules}; print('click' in sys.modules)"
    found = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": "."}
    )

    assert found.stdout.strip() == "False"


def test_verbs_without_the_parser_are_the_verbs_with_it(shared: Home) -> None:
    """The short way and click's way give the same answer."""
    shared.data("daemon", "start")
    for words in (["status"], ["plan", "list"]):
        assert shared.run(*words).lines[:1] == shared.run(*words, "--format", "plain").lines[:1]


def test_a_reader_that_has_seen_enough_is_no_error(shared: Home) -> None:
    """`ca events | head -1` ends quietly."""
    with shared.spawn("config", "list") as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        said = process.stderr.read()

    assert (process.returncode, said) == (0, b"")


def test_a_defect_is_a_sentence(shared: Home, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What nobody thought of is `internal` without a traceback; CLEVERAGENTS_DEBUG shows it."""
    assert usage.explain(click.ClickException("Something Odd."), Session({}), []).message == "something Odd"
