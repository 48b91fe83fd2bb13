"""Real projects for the tests of git work: built by the git program, in temporary directories, with a home of their own."""

import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from daemon import applying, sandboxes, snapshots
from daemon.applying import Prepared
from daemon.snapshots import Project

PLAN = "01JPLAN"
BASE = snapshots.PLAN_REFS + f"/{PLAN}/base"

Content = bytes | str | None


def obeys_modes() -> bool:
    """Whether the system holds this process to permissions, as it does not for root."""
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).chmod(0)
        return not os.access(file.name, os.R_OK)


def isolate(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Give git a home that has nothing but a name, and no variables from outside."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    home.mkdir()
    (home / ".gitconfig").write_text(
        "[user]\n\tname = Ada\n\temail = ada@example.org\n[init]\n\tdefaultBranch = main\n"
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))


def git(where: Path, *args: str | bytes | Path) -> str:
    done = subprocess.run(["git", *args], cwd=where, capture_output=True, check=False)
    assert done.returncode == 0, (args, done.stderr)
    return done.stdout.decode(errors="surrogateescape").strip()


def put(root: Path, files: Mapping[str | bytes, Content]) -> None:
    """Write files; None removes one."""
    for name, content in files.items():
        path = root / os.fsdecode(name)
        if content is None:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def commit(root: Path, message: str = "work") -> str:
    git(root, "add", "-A")
    git(root, "commit", "-q", "--allow-empty", "-m", message)
    return git(root, "rev-parse", "HEAD")


def project_at(path: Path, kind: str = "git", data: Path | None = None) -> Project:
    repository = (data or path.parent / "data") / "repos" / f"{path.name}.git"
    return Project("local/p", path.resolve(), kind, repository)


def repository(tmp_path: Path, files: Mapping[str | bytes, Content] | None = None) -> Project:
    """A repository with one commit."""
    root = tmp_path / "p"
    root.mkdir()
    git(root, "init", "-q")
    put(root, files if files is not None else {"a.txt": "one\ntwo\nthree\n", "dir/b.txt": "b\n"})
    commit(root, "first")
    return project_at(root)


def folder(tmp_path: Path, files: Mapping[str | bytes, Content] | None = None) -> Project:
    root = tmp_path / "f"
    root.mkdir()
    put(root, files if files is not None else {"a.txt": "one\ntwo\nthree\n", "dir/b.txt": "b\n"})
    return project_at(root, "folder")


def fingerprint(root: Path) -> dict[str, object]:
    """Every name below `root`, `.git` included, with mode and content."""
    return {str(path.relative_to(root)): _state(path) for path in sorted(root.rglob("*"))}


def files(root: Path) -> dict[str, object]:
    """The same without `.git` and without directories."""
    return {
        str(path.relative_to(root)): _state(path)
        for path in sorted(root.rglob("*"))
        if ".git" not in path.relative_to(root).parts and (path.is_symlink() or not path.is_dir())
    }


def _state(path: Path) -> object:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return ("link", os.readlink(path))  # noqa: PTH115  the text as it is
    if stat.S_ISREG(mode):
        return (oct(mode), hashlib.sha256(path.read_bytes()).hexdigest())
    return oct(mode)


def sandbox_path(project: Project, plan_id: str = PLAN) -> Path:
    return project.repository.parent.parent / "sandboxes" / plan_id / "p"


def private(project: Project, *args: str | bytes) -> str:
    return git(project.repository, *args)


def tree_files(project: Project, tree: str) -> dict[str, tuple[str, str]]:
    """Mode and blob of every path of a tree in the private repository."""
    listed = private(project, "ls-tree", "-r", "-z", tree).split("\0")
    pairs = (line.partition("\t") for line in listed if line)
    return {path: (info.split(" ")[0], info.split(" ")[2]) for info, _, path in pairs}


class Run:
    """A plan on one project: base and sandbox made, edits as its only step."""

    def __init__(self, project: Project, edit: Callable[[Path], None], plan_id: str = PLAN) -> None:
        self.project, self.plan_id = project, plan_id
        snapshots.prepare(project)
        self.base = snapshots.take(project, f"{snapshots.PLAN_REFS}/{plan_id}/base").commit
        self.sandbox = sandbox_path(project, plan_id)
        sandboxes.create(project, plan_id, self.sandbox, self.base)
        edit(self.sandbox)
        self.result = sandboxes.checkpoint(project, plan_id, self.sandbox, "result", self.base).commit

    def prepare(self, mode: str = "worktree", branch: str | None = None) -> Prepared:
        return applying.prepare(
            self.project,
            self.plan_id,
            self.base,
            self.result,
            mode,
            message="the plan's change",
            branch=branch,
            umask=0o022,
        )

    def apply(self, mode: str = "worktree", branch: str | None = None) -> Prepared:
        prepared = self.prepare(mode, branch)
        applying.write(self.project, prepared.entries)
        return prepared


def twin(project: Project) -> Path:
    """A copy of the project beside it, for doing directly what a plan does."""
    copy = project.path.with_name("twin")
    shutil.copytree(project.path, copy, symlinks=True)
    return copy
