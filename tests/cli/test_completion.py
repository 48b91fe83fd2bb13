"""`ca completion`: what bash, zsh and fish offer for the words on the line, through the scripts that are printed."""

import shlex
import shutil
import signal
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import terminals
from tests.homes import CA, SECONDS, Home

BASH = """
source "$1"
COMP_LINE=$2 COMP_POINT=${#2}
_ca_completion ca "${2##* }"
printf '%s\\n' "${COMPREPLY[@]}"
"""
ZSH = """
compdef() { : }
_describe() { print -rl -- $completions_with_descriptions }
compadd() { print -rl -- $completions }
source $1
words=(${(s: :)2})
[[ $2 == *' ' ]] && words+=('')
CURRENT=$#words
_ca_completion
"""
FISH = "source $argv[1]; complete -C $argv[2]"


class Shell(NamedTuple):
    """How a shell is asked what it would offer; `describes`: it says what each thing is."""

    name: str
    command: list[str]
    describes: str | None


IN_BASH = Shell("bash", ["bash", "--norc", "-c", BASH, "bash"], None)
SHELLS = [
    pytest.param(
        shell, id=shell.name, marks=pytest.mark.skipif(shutil.which(shell.name) is None, reason=f"no {shell.name} here")
    )
    for shell in (
        IN_BASH,
        Shell("zsh", ["zsh", "-f", "-c", ZSH, "zsh"], ":"),
        Shell("fish", ["fish", "--no-config", "-c", FISH], "\t"),
    )
]
every_shell = pytest.mark.parametrize("shell", SHELLS)


@pytest.fixture(scope="module")
def place(shared: Home) -> Home:
    """A home whose `ca` is found on PATH, as a shell finds it."""
    program = shared.bin / "ca"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(CA)} "$@"\n')
    program.chmod(0o755)
    return shared


def offered(home: Home, shell: Shell, line: str) -> dict[str, str]:
    """What the shell offers for `line`, each with what it says of it; nothing may be printed beside it."""
    script = home.root / f"completion.{shell.name}"
    script.write_text(home.run("completion", shell.name).out)
    done = subprocess.run(
        [*shell.command, str(script), line],
        cwd=home.work,
        env=home.environ_of(shell.name, *line.split()),
        check=False,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert "Traceback" not in done.stderr, done
    assert "ca:" not in done.stderr, done
    pairs = [entry.partition(shell.describes or "\0") for entry in done.stdout.splitlines() if entry]
    return {word: about for word, _, about in pairs}


def eventually(home: Home, shell: Shell, line: str, expected: str) -> dict[str, str]:
    """What is offered once `expected` is among it: a daemon that has too much to do for a second is asked again."""

    def found() -> dict[str, str] | None:
        words = offered(home, shell, line)
        return words if expected in words else None

    return home.until(found) or {}


@every_shell
def test_commands_and_verbs_are_offered(place: Home, shell: Shell) -> None:
    """Nouns, verbs and options, by what was begun."""
    assert {"plan", "run", "status"} <= offered(place, shell, "ca ").keys()
    assert offered(place, shell, "ca conf").keys() == {"config"}
    assert {"execute", "rollback", "tree"} <= offered(place, shell, "ca plan ").keys()
    assert offered(place, shell, "ca plan list --ph").keys() == {"--phase"}


@every_shell
def test_help_is_offered_whole(place: Home, shell: Shell) -> None:
    """Commas and all."""
    about = offered(place, shell, "ca con")["config"]
    assert about == ("Settings, and where each one comes from." if shell.describes else "")


@every_shell
def test_locks_of_users_are_offered_with_and_without_their_type(place: Home, shell: Shell) -> None:
    place.data("lock", "acquire", "deploy")

    assert eventually(place, shell, "ca lock release dep", "deploy").keys() == {"deploy"}
    if shell.describes != ":":  # else its own colon stands between the word and what is said of it
        assert eventually(place, shell, "ca lock release user:d", "user:deploy").keys() == {"user:deploy"}


@every_shell
def test_plans_are_offered_by_name_and_id_with_their_state(place: Home, shell: Shell) -> None:
    """A name, the short id that is shown everywhere, and the whole id; in lower case too."""
    plan = place.executed("true")
    whole = place.plan(plan)["plan_id"]

    named = eventually(place, shell, f"ca plan show {plan[:-1]}", plan)

    if shell.describes is not None:
        assert "execute complete" in named[plan]
    eventually(place, shell, f"ca plan diff {whole[:-2]}", whole)
    eventually(place, shell, f"ca plan apply {whole[-8:-1]}", whole[-8:])
    eventually(place, shell, f"ca plan cancel {whole[:-2].lower()}", whole)


def test_names_of_everything_are_offered(place: Home) -> None:
    """Projects, actions, actors, jobs, keys and their values, steps, profiles, modes."""
    root, action = place.repository(), place.action("true")
    plan = place.use(action, root)
    actor = place.data("actor", "create", str(_actor(place)))["name"]
    job = place.plan(plan)["job_id"]
    short = action.removeprefix("local/")
    for line, expected in (
        (f"ca plan use {short[:-1]}", short),
        ("ca plan use local/", action),
        (f"ca plan use {short} ", root.name),
        (f"ca run --project {root.name[:1]}", root.name),
        ("ca project show ", root.name),
        ("ca action show ", short),
        ("ca actor show ", actor.removeprefix("local/")),
        ("ca job show ", job[-8:]),
        (f"ca job show {job[:-1]}", job),
        ("ca config get apply.", "apply.mode"),
        ("ca config set apply.mode ", "commit"),
        ("ca config set apply.mode commit async.en", "async.enabled"),
        (f"ca plan rollback {plan} ", "s1"),
        (f"ca plan logs {plan} --step ", "s1"),
        ("ca run --profile ", "full-auto"),
        (f"ca plan apply {plan} --mode b", "branch"),
        ("ca completion ", "fish"),
        ("ca plan list --state err", "errored"),
    ):
        eventually(place, IN_BASH, line, expected)


def _actor(home: Home) -> Path:
    return home.write_action(name=home.fresh("agent"), type="command", command=["cat"])


@pytest.mark.parametrize(
    ("resource", "begun"),
    [("file:web:a/b", "file:web:a/"), ("file:web:a/b", "file:"), ("file:web:a/b", "f"), ("my own thing", "my"),
     ("my own thing", "'my o"), ("my own thing", r"my\ own"), ("it's; $HOME", "it"), ("file:web:a b/c", r"file:web:a\ b")],
)  # fmt: skip
def test_bash_completes_what_it_takes_for_several_words(home: Home, resource: str, begun: str) -> None:
    """A colon ends a word for bash, and a space for the one who reads the line: it is typed, and the command is carried out."""
    (home.bin / "ca").symlink_to(_wrapper(home))
    home.repository(name="web")
    home.data("lock", "acquire", resource)
    start = home.root / "bashrc"
    start.write_text(home.run("completion", "bash").out)

    typed = f"ca lock release {begun}\t\nexit\n"
    done = terminals.on_terminal(["bash", "--rcfile", str(start), "-i"], home.environ, home.work, typed)

    assert "is free" in done.out, done.out
    assert home.data("lock", "list")["locks"] == []


@every_shell
def test_no_daemon_is_started_for_it(home: Home, shell: Shell) -> None:
    """Without a daemon there are no names, no message, and no daemon afterwards."""
    (home.bin / "ca").symlink_to(_wrapper(home))

    assert not offered(home, shell, "ca plan show ")
    assert {"status"} <= offered(home, shell, "ca st").keys()
    assert home.data("daemon", "status")["running"] is False


def _wrapper(home: Home) -> Path:
    program = home.root / "ca"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(CA)} "$@"\n')
    program.chmod(0o755)
    return program


def test_daemon_that_does_not_answer_costs_a_second(home: Home) -> None:
    """Somebody who types is not kept waiting, and is told nothing."""
    home.data("daemon", "start")
    pid = home.data("daemon", "status")["pid"]
    question = {"_CA_COMPLETE": "bash_complete", "COMP_WORDS": "ca plan show ", "COMP_CWORD": "3"}
    daemon = next(process for process in home.processes() if process.pid == pid)
    daemon.send_signal(signal.SIGSTOP)
    try:
        done = home.run(env=question, code=None)
    finally:
        daemon.send_signal(signal.SIGCONT)

    assert (done.out, done.err) == ("", "")


@pytest.mark.parametrize("words", ["ca nonsense --x ", "ca --version ", "ca 'plan ", "ca -f json plan \x01", ""])
@pytest.mark.parametrize("instruction", ["bash_complete", "zsh_complete", "fish_complete", "powershell_complete", "x"])
def test_whatever_the_line_says_nothing_goes_wrong(shared: Home, words: str, instruction: str) -> None:
    """No message, no traceback, no version printed in the middle of a line."""
    done = shared.run(env={"_CA_COMPLETE": instruction, "COMP_WORDS": words, "COMP_CWORD": "2"}, code=None)

    assert done.err == ""
    assert "ca 0." not in done.out


def test_script_says_where_it_goes(shared: Home) -> None:
    """The help names the file for each shell, and anything but the three is refused with their names."""
    told = shared.run("completion", "--help").out

    for place_ in ("bash-completion/completions/ca", "_ca", "fish/completions/ca.fish"):
        assert place_ in told
    assert "zsh" in shared.run("completion", "tcsh", code=2).err
    assert shared.data("completion", "zsh")["script"].startswith("#compdef ca")
    assert shared.run("completion", "zsh", env={"CLEVERAGENTS_CORE_FORMAT": "json"}).out.startswith("#compdef ca")
