"""Who imports what: the floors of the program, and what a one-shot command does not pay for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import daemons
from tests.cli.test_json import VERBS, build
from tests.homes import Home, unmeasured

ROOT = Path(__file__).parents[2]
HEAVY = ["textual", "httpx", "asyncio", "apsw", "tomlkit", "ruamel", "psutil", "subprocess"]
"""What no command that only talks to a running daemon needs."""
PACKAGES = ("cleveragents_tui", "daemon", "store")
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if path.name != "__main__.py"
)


def loaded(code: str, **environment: str) -> set[str]:
    """The modules of a fresh interpreter after this code."""
    text = f"import sys\n{code}\nprint('\\n' + ' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", text],
        cwd=ROOT,
        env=unmeasured({**os.environ, **environment}),
        check=True,
        capture_output=True,
        text=True,
    )
    return {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}


def test_the_floors_are_kept() -> None:
    """The face stands on the daemon, the daemon on the store; nothing looks up."""
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([str(linter), "--no-cache"], cwd=ROOT, check=False, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout


def test_the_entry_point_imports_next_to_nothing() -> None:
    """With a warm process a command costs what the interpreter's own start costs."""
    handed = "import cleveragents_tui.__main__\nfrom cleveragents_tui import entry\nentry.hand_over(b'/nowhere')"

    assert loaded(handed) - loaded("pass") == {"cleveragents_tui"}
    assert loaded("import _socket") - loaded("pass") == {"_socket"}


@pytest.mark.parametrize("words", [["status"], ["plan", "list"], ["--version"]])
def test_a_command_that_finds_its_daemon_imports_nothing_heavy(tmp_path: Path, words: list[str]) -> None:
    code = f"from cleveragents_tui.cli import app\nassert app.run({words!r}) == 0"
    with daemons.temporary_home(tmp_path / "h") as home:
        home.start()
        names = loaded(code, CLEVERAGENTS_HOME=str(home.root))

    assert names.isdisjoint([*HEAVY, "rich"])


NEVER = ["textual", "rich", "httpx", "asyncio", "apsw", "click.shell_completion"]
"""What no verb needs: the dashboard's, the daemon's, the server's and a completing shell's."""
ONE_AFTER_THE_OTHER = """
import json, os, sys
from cleveragents_tui.cli import app
said = os.dup(1)
quiet = os.open(os.devnull, os.O_WRONLY)
os.dup2(quiet, 1)
os.dup2(quiet, 2)
never, lines = json.loads(sys.argv[1])
found = {}
for line in lines:
    before = set(sys.modules)
    app.run(line)
    if new := sorted(set(never) & (set(sys.modules) - before)):
        found[" ".join(line)] = new
os.write(said, json.dumps(found).encode())
"""


@pytest.mark.timeout(180)
def test_no_verb_imports_what_it_does_not_need(home: Home) -> None:
    """Every verb, with what it needs to succeed, for people and for programs."""
    world = build(home)
    alone = {"daemon start", "daemon stop", "daemon restart"}  # they would take the daemon from under the others
    lines = [[*verb.split(), *words(world)] for verb, words in VERBS.items() if verb not in alone]
    lines += [["--format", "json", *line] for line in lines]
    done = subprocess.run(
        [sys.executable, "-P", "-c", ONE_AFTER_THE_OTHER, json.dumps([NEVER, lines])],
        cwd=home.work,
        env=home.environ,
        check=True,
        capture_output=True,
        text=True,
    )

    assert json.loads(done.stdout) == {}


@pytest.mark.parametrize("module", ["store.database", "daemon.main", "daemon.protocol"])
def test_the_lower_floors_import_no_face(module: str) -> None:
    assert loaded(f"import {module}").isdisjoint(["textual", "rich", "click", "httpx", "cleveragents_tui"])


def test_every_module_can_be_imported_first() -> None:
    """No module needs another to have been imported before it."""
    code = "\n".join(
        [
            "import importlib",
            f"for name in {MODULES!r}:",
            f"    for known in [known for known in sys.modules if known.split('.')[0] in {PACKAGES!r}]:",
            "        del sys.modules[known]",
            "    importlib.import_module(name)",
        ]
    )
    assert "store" in loaded(code)
