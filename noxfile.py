"""`nox`: everything that is checked. The sessions run in the environment that nox itself is installed in."""

import sys
from pathlib import Path

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["format", "lint", "types", "imports", "docs", "tests"]

PYTHON = (sys.executable, "-P", "-m")
TREE = {"PYTHONPATH": str(Path(__file__).parent)}
"""What is checked is this tree, also in processes that tests start, however old the installed copy is."""


@nox.session
def format(session: nox.Session) -> None:  # noqa: A001  the word that `ruff` has for it
    """Is every file formatted?"""
    session.run(*PYTHON, "ruff", "format", "--check")


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff, with every rule that pyproject.toml does not except."""
    session.run(*PYTHON, "ruff", "check")


@nox.session
def types(session: nox.Session) -> None:
    """Basedpyright, strict."""
    session.run(*PYTHON, "basedpyright", "--pythonpath", sys.executable)


@nox.session
def imports(session: nox.Session) -> None:
    """Do imports only go down: face, daemon, store?"""
    session.run(sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()")


@nox.session
def docs(session: nox.Session) -> None:
    """Are the reference pages what the program says?"""
    session.run(sys.executable, "docs/generate.py", "--check", env=TREE)


@nox.session
def tests(session: nox.Session) -> None:
    """All tests, with the coverage of every process that they start. Arguments after `--` go to pytest."""
    session.run(*PYTHON, "coverage", "erase")
    session.run(*PYTHON, "coverage", "run", "-m", "pytest", "-n", "logical", *session.posargs, env=TREE)
    session.run(*PYTHON, "coverage", "combine", "--quiet")
    if not session.posargs:
        session.run(*PYTHON, "coverage", "report", "--skip-covered", "--skip-empty")


@nox.session
def bench(session: nox.Session) -> None:
    """Every promised figure beside its peer or its limit; `-- --all` has the others too, `-- --growth` the curves."""
    session.run(sys.executable, "bench/run.py", *session.posargs, env=TREE)


@nox.session
def soak(session: nox.Session) -> None:
    """Random kills of the daemon under load, for ten minutes; `-- --minutes M --seed S --races N` choose."""
    session.run(*PYTHON, "tests.soak", *session.posargs, env=TREE)
