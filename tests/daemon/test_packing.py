"""What many plans leave in a private repository is packed, and nothing that anybody needs is lost by it."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from daemon import packing, repositories, retention, sandboxes, snapshots
from daemon.feed import Feed
from daemon.git import Objects, objects
from daemon.lifecycle import Lifecycle
from daemon.phases.context import Services
from daemon.repositories import Project
from daemon.settings import Settings
from store import opening, paths
from tests.daemon.gitrepos import PLAN, Run, files, git, isolate, private, put, repository
from tests.homes import Home
from tests.stores import SettableClock
from tests.waiting import wait_until


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate(monkeypatch, tmp_path / "home")


def edit(sandbox: Path) -> None:
    put(sandbox, {"a.txt": "changed\n"})


def crowd(project: Project, count: int, size: int = 8) -> list[str]:
    """So many objects of random content that no ref has, each in a file of its own."""
    content = [os.urandom(size // 2).hex().encode() for _ in range(count)]
    feed = b"".join(b"blob\ndata %d\n%s\n" % (len(text), text) for text in content)
    there = set(listed(project))
    subprocess.run(
        ["git", "-c", f"fastimport.unpackLimit={count + 1}", "fast-import", "--quiet"],
        cwd=project.repository,
        input=feed,
        check=True,
    )
    return sorted(set(listed(project)) - there)


def listed(project: Project) -> list[str]:
    """Every object of the private repository, whole, whether a ref needs it or not."""
    return private(project, "cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objectsize)").splitlines()


def sound(project: Project) -> bool:
    return private(project, "fsck", "--full", "--strict", "--no-dangling") == ""


def packs(project: Project) -> list[Path]:
    return sorted((project.repository / "objects" / "pack").glob("*.pack"))


def test_packing_loses_no_object_and_no_ref(tmp_path: Path) -> None:
    """Whether a ref needs it or not: it is in a pack afterwards, and the refs are in one file."""
    project = Run(repository(tmp_path), edit).project
    crowd(project, 50)
    before, refs = listed(project), repositories.plan_refs(project, PLAN)

    packing.pack(project.repository)

    assert packing.loose(project.repository) == 0
    assert listed(project) == before
    assert repositories.plan_refs(project, PLAN) == refs
    assert packing.loose_refs(project.repository) == 0
    assert sound(project)


def test_only_a_crowded_repository_is_packed(tmp_path: Path) -> None:
    project = Run(repository(tmp_path), edit).project
    private(project, "update-ref", f"{snapshots.PLAN_REFS}/other/base", "HEAD")
    small = packing.loose(project.repository) + packing.loose_refs(project.repository)
    crowd(project, packing.CROWDED - small - 1)

    packing.pack_crowded(project.repository.parent)
    assert packing.loose(project.repository) > packing.CROWDED - small

    private(project, "update-ref", f"{snapshots.PLAN_REFS}/another/base", "HEAD")
    packing.pack_crowded(project.repository.parent)
    assert packing.loose(project.repository) == packing.loose_refs(project.repository) == 0


def test_broken_repository_holds_up_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    project = Run(repository(tmp_path), edit).project
    crowd(project, packing.CROWDED)
    broken = project.repository.with_name("a-broken.git")
    shutil.copytree(project.repository, broken)
    (broken / "HEAD").unlink()
    project.repository.with_name("a-file.git").mkdir()
    (project.repository.with_name("a-file.git") / "objects").touch()

    packing.pack_crowded(project.repository.parent)

    assert packing.loose(project.repository) == 0
    assert "a-broken.git could not be packed: " in caplog.text
    assert "a-file.git could not be packed: [Errno" in caplog.text


def test_retention_packs(tmp_path: Path) -> None:
    """The hourly look at what is over packs what stays."""
    project = Run(repository(tmp_path), edit).project

    async def scene() -> None:
        home = paths.resolve({"CLEVERAGENTS_HOME": str(tmp_path / "ours")})
        home.create()
        shutil.copytree(project.repository, home.repositories / "p.git")
        db = opening.open_store(home.database, home.backups, SettableClock())
        settings = Settings(home.config_file, {})
        try:
            await retention.prune(Services(db, Feed(), Lifecycle(settings), settings, home))
        finally:
            await db.close()
        assert packing.loose(home.repositories / "p.git") == 0

    crowd(project, packing.CROWDED)
    asyncio.run(scene())


def test_packs_of_the_project_stay_shared(tmp_path: Path) -> None:
    """A pack that is the project's too takes no room of its own; it is not copied into another."""
    project = repository(tmp_path)
    git(project.path, "gc", "-q")
    Run(project, edit)
    (shared,) = packs(project)

    packing.pack(project.repository)

    assert shared in packs(project)
    assert shared.stat().st_nlink == 2
    assert len(packs(project)) == 2
    assert sound(project)


def test_many_packs_become_few(tmp_path: Path) -> None:
    """However often it is done: the number of packs grows with the logarithm of what is in them."""
    project = Run(repository(tmp_path), edit).project
    for _ in range(12):
        crowd(project, 20)
        packing.pack(project.repository)

    assert len(packs(project)) <= 4
    assert sound(project)


def test_sandbox_in_use_misses_nothing(tmp_path: Path) -> None:
    """A git that reads in a sandbox from before, a checkpoint, and a step back behind it work on."""
    run = Run(repository(tmp_path), edit)
    project, sandbox = run.project, run.sandbox
    orphans = [line.split()[0] for line in crowd(project, 20)]

    with objects(sandbox / ".git") as reading, objects(project.repository) as ours:
        assert read(reading, run.base)
        assert read(ours, orphans[0])
        packing.pack(project.repository)
        assert all(read(where, name) for where in (reading, ours) for name in (run.result, *orphans))

    assert git(sandbox, "status", "--porcelain") == "M a.txt"
    put(sandbox, {"a.txt": "changed again\n"})
    second = sandboxes.checkpoint(project, PLAN, sandbox, "second", run.result)
    packing.pack(project.repository)
    sandboxes.restore(project, PLAN, sandbox, run.result)
    assert (sandbox / "a.txt").read_text() == "changed\n"
    sandboxes.restore(project, PLAN, sandbox, second.commit)
    assert (sandbox / "a.txt").read_text() == "changed again\n"


def read(where: Objects, name: str) -> str:
    return where.find(name)[0]


def test_work_goes_on_while_it_is_packed(tmp_path: Path) -> None:
    """Nobody waits for it: plans are based, sandboxed and checkpointed beside it, again and again."""
    project = repository(tmp_path)
    run = Run(project, edit)
    crowd(project, 100, size=100_000)
    with packer(project) as packing_process:
        plans = 0
        while packing_process.poll() is None or plans == 0:
            plans += 1
            plan = f"{PLAN}{plans}"
            base = snapshots.take(project, f"{snapshots.PLAN_REFS}/{plan}/base").commit
            path = run.sandbox.parent.with_name(plan) / "p"
            sandboxes.create(project, plan, path, base)
            put(path, {"a.txt": f"{plans}\n"})
            made = sandboxes.checkpoint(project, plan, path, "result", base)
            assert private(project, "show", f"{made.commit}:a.txt") == f"{plans}"
            sandboxes.remove(project, plan, path)

    assert packing_process.returncode == 0
    assert sound(project)


def packer(project: Project) -> "subprocess.Popen[bytes]":
    """A process that packs, in a group of its own with its gits."""
    words = "import pathlib, sys; from daemon import packing; packing.pack(pathlib.Path(sys.argv[1]))"
    tree = str(Path(packing.__file__).parent.parent)
    return subprocess.Popen(
        [sys.executable, "-c", words, project.repository],
        env={**os.environ, "PYTHONPATH": tree},
        start_new_session=True,
    )


def test_killed_in_the_middle_it_does_no_harm(tmp_path: Path) -> None:
    """Everything is there, the next run completes it, and what was half made goes when it is surely nobody's."""
    run = Run(repository(tmp_path), edit)
    project = run.project
    crowd(project, 100, size=100_000)
    before = listed(project)
    directory = project.repository / "objects" / "pack"

    with packer(project) as process:
        wait_until(lambda: list(directory.glob("tmp_pack_*")))
        os.killpg(process.pid, signal.SIGKILL)

    assert listed(project) == before
    assert sound(project)
    packing.pack(project.repository)
    assert listed(project) == before
    assert packing.loose(project.repository) == 0

    left = [*directory.glob("tmp_*"), *directory.glob(".tmp-*")]
    assert left
    for one in left:
        os.utime(one, (0, 0))
    packing.pack(project.repository)
    assert not any(one.exists() for one in left)
    sandboxes.restore(project, PLAN, run.sandbox, run.result)
    assert files(run.sandbox)["a.txt"]


def test_plans_go_back_and_on_after_the_daemon_packed(home: Home) -> None:
    """A daemon that starts finds much to pack; what was applied before can be undone, rolled back and applied."""
    root = home.repository({"a.txt": "one\n"})
    plan = home.executed("echo two >> a.txt", "echo three >> a.txt", project=root)
    home.apply(plan)
    changed = (root / "a.txt").read_text()
    (private_repository,) = (home.home / "data" / "repos").glob("*.git")
    project = Project("p", root, "git", private_repository)
    home.run("daemon", "stop")
    crowd(project, packing.CROWDED)

    home.run("status")
    home.until(lambda: packing.loose(private_repository) == packing.loose_refs(private_repository) == 0)

    home.undo(plan)
    assert (root / "a.txt").read_text() == "one\n"
    assert home.data("plan", "rollback", plan, "s1")["diff"]["insertions"] == 1
    home.apply(plan)
    assert (root / "a.txt").read_text() == changed.replace("three\n", "")
