"""Sandboxes, snapshots, diffs and merges of a repository of 10,000 files, against git by hand."""

import itertools
import shutil
import statistics
import time
from collections.abc import Generator, Iterable
from pathlib import Path

from bench.homes import git
from bench.measure import Limit, Row, Sample, Settings, alternate, scratch, timed
from daemon import changes, repositories, sandboxes, snapshots

CHANGED = 100
_FILES = (100, 1_000, 10_000)


def _content(number: int, version: int = 0) -> str:
    lines = [f"line {line} of file {number}\n" for line in range(20)]
    lines[3] = f"line 3 of file {number}, version {version}\n"
    return "".join(lines)


def _place(root: Path, number: int) -> Path:
    return root / f"d{number // 1000:02}" / f"e{number // 50 % 20:02}" / f"f{number:05}.txt"


def repository(root: Path, files: int) -> None:
    """A repository with one commit, its index older than nothing that it lists: all is settled."""
    root.mkdir()
    git(root, "init", "-q")
    git(root, "config", "gc.auto", "0")
    for number in range(files):
        place = _place(root, number)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(_content(number), encoding="ascii")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "first")
    git(root, "gc", "-q")
    _settle(root)


def _settle(root: Path) -> None:
    """Let git trust its index: one that is written in the second of its files is read again at each look."""
    time.sleep(1.1)
    git(root, "status", "--porcelain")


def _change(root: Path, numbers: Iterable[int], version: int) -> str:
    """Commit a change of those files; its id."""
    for number in numbers:
        _place(root, number).write_text(_content(number, version), encoding="ascii")
    git(root, "commit", "-qam", f"version {version}")
    return git(root, "rev-parse", "HEAD")


def _project(root: Path, home: Path) -> snapshots.Project:
    home.mkdir(exist_ok=True)
    return snapshots.Project(name="bench", path=root, kind="git", repository=home / "repos" / "bench.git")


def _base(project: snapshots.Project, plan: str) -> snapshots.Snapshot:
    """What Strategize does: the private repository, and the project as it is now as a commit in it."""
    snapshots.preflight(project)
    snapshots.prepare(project)
    return snapshots.take(project, repositories.plan_ref(plan, "0/base"))


def _worktree(root: Path, to: Path) -> float:
    took = timed(lambda: git(root, "worktree", "add", "-q", "--detach", str(to), "HEAD"))
    git(root, "worktree", "remove", "--force", str(to))
    return took


def _first_sandbox(settings: Settings) -> Generator[Sample]:
    with scratch() as directory:
        root = directory / "project"
        repository(root, settings.sized(10_000, 1000))
        _worktree(root, directory / "warm")
        alone: list[float] = []
        for turn in itertools.count():
            home = directory / f"home-{turn}"
            project = _project(root, home)
            begin = time.perf_counter()
            base = _base(project, "plan")
            made = time.perf_counter()
            sandboxes.create(project, "plan", home / "sandboxes" / "plan" / "bench", base.commit)
            end = time.perf_counter()
            shutil.rmtree(home)
            peer = _worktree(root, directory / "worktree")
            alone.append((end - made) / peer)
            settings.notes["first-sandbox"] = [
                f"ours is private repository, base and checkout; the checkout alone is {statistics.median(alone):.2f}x"
            ]
            yield Sample(end - begin, peer)


def _later_sandbox(settings: Settings) -> Generator[Sample]:
    with scratch() as directory:
        root = directory / "project"
        repository(root, settings.sized(10_000, 1000))
        project = _project(root, directory / "home")
        base = _base(project, "plan-0")
        path = directory / "home" / "sandboxes" / "plan-0" / "bench"
        sandboxes.create(project, "plan-0", path, base.commit)
        alone: list[float] = []
        for turn in itertools.count(1):
            sandboxes.remove(project, f"plan-{turn - 1}", path)
            _change(root, [turn], turn)
            _settle(root)
            path = directory / "home" / "sandboxes" / f"plan-{turn}" / "bench"
            begin = time.perf_counter()
            base = _base(project, f"plan-{turn}")
            made = time.perf_counter()
            sandboxes.create(project, f"plan-{turn}", path, base.commit)
            end = time.perf_counter()
            peer = _worktree(root, directory / "worktree")
            alone.append((end - made) / peer)
            settings.notes["later-sandbox"] = [
                f"ours is the base and the checkout; the checkout alone is {statistics.median(alone):.2f}x"
            ]
            yield Sample(end - begin, peer)


def _snapshot(settings: Settings) -> Generator[Sample]:
    with scratch() as directory:
        root = directory / "project"
        repository(root, settings.sized(10_000, 1000))
        project = _project(root, directory / "home")
        _base(project, "first")
        _settle(root)
        plans = itertools.count()
        while True:
            yield alternate(
                lambda: timed(lambda: snapshots.take(project, repositories.plan_ref(f"plan-{next(plans)}", "0/base"))),
                lambda: timed(lambda: git(root, "status", "--porcelain")),
                5,
            )


def _diff_and_merge(settings: Settings) -> Generator[Sample]:
    files, changed = settings.amount(10_000, 1000), settings.sized(CHANGED)
    with scratch() as directory:
        root = directory / "project"
        repository(root, files)
        base = git(root, "rev-parse", "HEAD")
        git(root, "checkout", "-q", "--detach")
        theirs = _change(root, range(0, files, files // changed), 1)
        git(root, "checkout", "-q", "--detach", base)
        ours = _change(root, range(7, files, files // changed), 2)
        project = _project(root, directory / "home")
        snapshots.prepare(project)
        git(project.repository, "fetch", "-q", str(root), f"{theirs}:refs/bench/theirs", f"{ours}:refs/bench/ours")

        def product() -> None:
            found = changes.diff(project, base, theirs)
            assert len(found.files) == changed, "as many were changed"
            changes.patch(project, base, theirs)
            assert changes.merge(project, base, ours, theirs).tree, "they touch different files"

        def by_hand() -> None:
            git(root, "diff", "-M", "--numstat", "-p", base, theirs)
            git(root, "merge-tree", "--write-tree", ours, theirs)

        while True:
            yield alternate(lambda: timed(product), lambda: timed(by_hand), 5)


ROWS = [
    Row("first-sandbox", "first sandbox of a 10,000-file repository", "`git worktree add`", "s", _first_sandbox,
        Limit(1.3), Limit(0.8), of="files", sizes=_FILES),
    Row("later-sandbox", "later sandbox of it, other plan, one commit on", "`git worktree add`", "s", _later_sandbox,
        Limit(0.5), Limit(0.1), of="files", sizes=_FILES),
    Row("snapshot", "snapshot of a clean 10,000-file project, second time", "`git status`", "s", _snapshot,
        Limit(3), Limit(1.5), of="files", sizes=_FILES),
    Row("diff-merge", "diff and merge of 100 changed files in 10,000", "`git diff` + `git merge-tree`", "s",
        _diff_and_merge, Limit(2), Limit(1.2), of="changed files", sizes=(10, 100, 1_000)),
]  # fmt: skip
