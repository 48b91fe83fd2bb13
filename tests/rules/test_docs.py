"""The reference pages are what the program says, and the README's commands are the promised ones."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from daemon import action_schema
from tests.cli import schemas
from tests.homes import Home, put

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md"])
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def test_reference_pages_match_the_program() -> None:
    """Whoever changes a command, key, code or message runs `python docs/generate.py`."""
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "generate.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_page_that_differs_is_found(tmp_path: Path) -> None:
    """The comparison would notice: a page that nobody generated is named, with the command that helps."""
    copy = tmp_path / "docs"
    copy.mkdir()
    for name in ("generate.py", "keys.py", "pieces.py", "messages.py", "async_architecture.md"):
        (copy / name).write_bytes((ROOT / "docs" / name).read_bytes())
    done = subprocess.run(
        [sys.executable, copy / "generate.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "docs/cli.md" in done.stdout
    assert "run: python docs/generate.py" in done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """A link between our own files names one that is there."""
    missing = [target for target in LINK.findall(page.read_text("utf-8")) if not (page.parent / target).exists()]
    assert not missing


def test_readme_has_the_two_commands() -> None:
    """One line brings a fresh machine to the demo, one to everything checked."""
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    assert "python -m pip install . && ca demo" in lines
    assert "python -m pip install '.[dev]' && nox" in lines


def test_every_dependency_has_a_reason() -> None:
    """docs/dependencies.md names each package that pyproject.toml asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.split(r"[\[<>=!~ ;]", requirement)[0] for requirement in wanted}
    told = set(re.findall(r"\*\*([\w.-]+)\*\*", (ROOT / "docs" / "dependencies.md").read_text("utf-8")))
    assert names - told == set()


def walk() -> list[str]:
    """The commands of the README's first ten minutes."""
    text = (ROOT / "README.md").read_text("utf-8")
    section = text.partition("## The first ten minutes\n")[2].partition("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


def test_the_first_ten_minutes_work_as_printed(home: Home) -> None:
    """Every command of the walk succeeds in a repository; only the questions are answered with --yes."""
    repository = home.work / "own"
    put(repository, {"main.py": "pass  # TODO: think\n"})
    home.git(repository, "init", "-q")
    home.commit(repository)
    (home.bin / "ca").symlink_to(Path(sys.executable).with_name("ca"))
    script = re.sub(r"^(ca plan (?:apply|undo) .*)$", r"\1 --yes --format plain", "".join(walk()), flags=re.MULTILINE)
    script = script.replace("ca plan apply", "ca plan apply --wait")
    done = subprocess.run(
        ["/bin/sh", "-ec", script], cwd=repository, env=home.environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "+- main.py:1:pass  # TODO: think" in done.stdout
    assert "?? TODO.md" in done.stdout
    assert not (repository / "TODO.md").exists()


def test_every_dependency_is_imported() -> None:
    """What nothing imports is not asked for, and what is imported is."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    asked = {re.split(r"[.\[<>=!~ ;]", requirement)[0] for requirement in project["dependencies"]}
    own = {"cleveragents_tui", "daemon", "store"}
    sources = [path.read_text("utf-8") for name in own for path in (ROOT / name).rglob("*.py")]
    imported = {module for text in sources for module in imports(ast.parse(text))}
    assert imported - own - sys.stdlib_module_names == asked


def imports(tree: ast.Module) -> Iterator[str]:
    """The first part of the name of every module that is imported somewhere in `tree`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def test_every_key_of_an_action_file_is_told() -> None:
    """docs/actions.md names each key that the schema has."""
    text = (ROOT / "docs" / "actions.md").read_text("utf-8")
    records = (action_schema.Action, action_schema.Argument, action_schema.StepSpec, action_schema.CheckSpec)
    keys = {field.name for record in records for field in msgspec.structs.fields(record)} - {"kind", "sandbox"}
    assert {key for key in keys if f"`{key}`" not in text} == set()


def test_the_example_of_an_action_file_is_valid(home: Home) -> None:
    """What docs/actions.md shows can be registered."""
    text = (ROOT / "docs" / "actions.md").read_text("utf-8")
    example = text.partition("```yaml\n")[2].partition("```")[0]
    file = home.work / "example.yaml"
    file.write_text(example)
    assert home.data("action", "validate", str(file))["name"] == "local/modernise"


SHAPES = {
    "action view": schemas.ACTION,
    "actor view": schemas.ACTOR,
    "applied view": schemas.APPLIED,
    "artifact view": schemas.ARTIFACT,
    "children view": schemas.CHILDREN,
    "daemon view": schemas.DAEMON,
    "decision view": schemas.DECISION,
    "diagnostics view": schemas.DIAGNOSTICS,
    "diff stat view": schemas.DIFF_STAT,
    "dry run base view": schemas.DRY_RUN_BASE,
    "dry run child view": schemas.DRY_RUN_CHILD,
    "dry run plan view": schemas.DRY_RUN_PLAN,
    "dry run step view": schemas.DRY_RUN_STEP,
    "dry run subplans view": schemas.DRY_RUN_SUBPLANS,
    "dry run view": schemas.DRY_RUN,
    "error view": schemas.ERROR,
    "event view": schemas.EVENT,
    "failed child view": schemas.FAILED_CHILD,
    "failed step view": schemas.FAILED_STEP,
    "file view": schemas.CHANGED_FILE,
    "host view": schemas.HOST,
    "invalid entity view": schemas.INVALID_ENTITY,
    "job prune view": schemas.DATA["job prune"],
    "job view": schemas.JOB,
    "jobs view": schemas.DATA["job list"],
    "lock view": schemas.LOCK,
    "locks view": schemas.DATA["lock list"],
    "lost version view": schemas.LOST_VERSION,
    "overlap view": schemas.OVERLAP,
    "merge conflict view": schemas.MERGE_CONFLICT,
    "new token view": schemas.NEW_TOKEN,
    "plan artifacts view": schemas.DATA["plan artifacts"],
    "plan conflicts view": schemas.PLAN_CONFLICTS,
    "plan diff view": schemas.PLAN_DIFF,
    "plan errors view": schemas.DATA["plan errors"],
    "plan explain view": schemas.PLAN_EXPLAIN,
    "plan tree view": schemas.PLAN_TREE,
    "plan view": schemas.PLAN,
    "plans view": schemas.DATA["plan list"],
    "project view": schemas.PROJECT,
    "prune view": schemas.PRUNE,
    "removed view": schemas.REMOVED,
    "sandbox view": schemas.SANDBOX,
    "server started view": schemas.SERVER_STARTED,
    "server stopped view": schemas.SERVER_STOPPED,
    "server view": schemas.SERVER,
    "shared version view": schemas.SHARED_VERSION,
    "status totals view": schemas.TOTALS,
    "status view": schemas.DATA["status"],
    "step children view": schemas.STEP_CHILDREN,
    "step view": schemas.STEP,
    "subplan view": schemas.SUBPLAN,
    "sync conflict view": schemas.SYNC_CONFLICT,
    "sync conflicts view": schemas.SYNC_CONFLICTS,
    "sync run view": schemas.SYNC_RUN,
    "sync view": schemas.SYNC,
    "token view": schemas.TOKEN,
    "tokens view": schemas.DATA["server token list"],
    "version view": schemas.VERSION,
    "worker view": schemas.WORKER,
}


@pytest.mark.parametrize("shape", list(SHAPES))
def test_documented_shape_is_that_of_the_schema(shape: str) -> None:
    """What every printed document is held to is what the page says."""
    section = (ROOT / "docs" / "protocol.md").read_text().split(f"### {shape}\n")[1].split("\n### ")[0]

    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == set(SHAPES[shape]["properties"])
