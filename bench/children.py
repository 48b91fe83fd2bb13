"""Children of one plan against the same by hand: a worktree, the command, a commit and a merge for each item."""

import atexit
import contextlib
import functools
import itertools
import os
import subprocess
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from bench.git_work import repository
from bench.homes import SCRIPTS, Home, git
from bench.idle import memory
from bench.measure import Row, Sample, Settings, alternate, scratch, shown, timed
from cleveragents_tui import client as clients
from daemon import protocol

FILES = 1_000
AT_ONCE = 4
"""Children at a time: `async.max_workers`, unless somebody sets it."""
MOST = 1_000
ROUNDS_OF_MOST = 2
COMMAND = 'echo "one more line" >> {target}'
"""What each child does, in a file of its own."""

_GLOBS = {10: "d00/e00/f0000?.txt", 100: "d00/e0[01]/f000??.txt", MOST: "d00/*/*.txt"}
"""The first files by name."""

_PARENT = """\
name: local/parent
steps:
  - id: children
    subplans:
      action: local/child
      for_each: {{glob: "{glob}"}}
      max_parallel: {at_once}
      arguments: {{target: "{{item}}"}}
"""
_CHILD = f"""\
name: local/child
arguments:
  - {{name: target, type: path, required: true}}
steps:
  - id: change
    run: {COMMAND}
"""


class _Family:
    """A home with a project of 1,000 files, and an action that has so many children."""

    def __init__(self, directory: Path, count: int) -> None:
        self.home = Home(directory)
        self._count = count
        self._project = directory / "project"
        repository(self._project, FILES)

    def register(self, client: clients.Client) -> None:
        client.call(protocol.ProjectAdd(path=str(self._project), name="project"))
        client.call(protocol.ActionCreate(content=_CHILD.encode(), source="child.yaml"))
        text = _PARENT.format(glob=_GLOBS[self._count], at_once=AT_ONCE)
        client.call(protocol.ActionCreate(content=text.encode(), source="parent.yaml"))

    def parent(self, client: clients.Client) -> str:
        """From `plan use` until the changes of all children are in their parent; its name."""
        return self._plan(client, "local/parent", {}, self._count)

    def single(self, client: clients.Client) -> str:
        """A plan that does what one child does."""
        return self._plan(client, "local/child", {"target": "d00/e00/f00000.txt"}, 1)

    def _plan(self, client: clients.Client, action: str, arguments: dict[str, str], changed: int) -> str:
        environment = {"PATH": os.fsencode(os.environ["PATH"])}
        plan = client.call(
            protocol.PlanUse(
                action=action, projects=["project"], arguments=arguments, profile="trusted", environment=environment
            )
        )
        done = client.call(protocol.PlanWait(plan=plan.plan_id), timeout=None)
        if done.diff is None or done.diff.files != changed:
            raise RuntimeError(f"the plan is {done.phase}/{done.state}: {done.error}")
        return done.name


class _ByHand:
    """The same as a careful script does it: several worktrees at a time, merged in the order of the files."""

    def __init__(self, directory: Path) -> None:
        self._root = directory / "project"
        self._directory = directory
        repository(self._root, FILES)
        self._first = git(self._root, "rev-parse", "HEAD")
        self._names = git(self._root, "ls-files").splitlines()
        self._numbers = itertools.count()
        self._worktrees = threading.Lock()
        """A `git worktree` that finds another one's half-made directory fails."""

    def run(self, count: int) -> None:
        git(self._root, "reset", "-q", "--hard", self._first)
        with ThreadPoolExecutor(AT_ONCE) as threads:
            for worktree, commit in threads.map(self._change, self._names[:count]):
                git(self._root, "merge", "-q", "--no-ff", "--no-edit", commit)
                with self._worktrees:
                    git(self._root, "worktree", "remove", str(worktree))
        if len(git(self._root, "diff", "--name-only", self._first, "HEAD").splitlines()) != count:
            raise RuntimeError("not every change was merged")

    def _change(self, name: str) -> tuple[Path, str]:
        worktree = self._directory / f"worktree-{next(self._numbers)}"
        with self._worktrees:
            git(self._root, "worktree", "add", "-q", "--detach", "--no-checkout", str(worktree), self._first)
        git(worktree, "reset", "-q", "--hard")
        subprocess.run(["/bin/sh", "-e", "-c", COMMAND.format(target=name)], cwd=worktree, check=True)
        git(worktree, "commit", "-qam", name)
        return worktree, git(worktree, "rev-parse", "HEAD")


def _overhead(settings: Settings, count: int) -> Generator[Sample]:
    with scratch() as directory, scratch() as other:
        family, by_hand = _Family(directory, count), _ByHand(other)
        with family.home.daemon() as client:
            family.register(client)
            for _ in range(settings.count if count < MOST else ROUNDS_OF_MOST):
                yield Sample(timed(lambda: family.parent(client)), timed(lambda: by_hand.run(count)))


class _Grown(msgspec.Struct, frozen=True):
    """A home in which a plan with many children has been through Execute, after a plan without.

    Attributes:
        home: Where it is; its daemon runs.
        parent: The plan with children.
        before: Resident MiB of the daemon when there was only a plan without.
        peak: The most that it had since.
        after: What it has now.
        store: By how many MiB the store file and its log have grown.
        repository: By how many the private repository has.
    """

    home: Home
    parent: str
    before: float
    peak: float
    after: float
    store: float
    repository: float


@functools.cache
def _grown(count: int) -> _Grown:
    """Made once for all rows; it is there until the end of this process."""
    kept = contextlib.ExitStack()
    atexit.register(kept.close)
    family = _Family(kept.enter_context(scratch()), count)
    home = family.home
    client = kept.enter_context(home.daemon())
    family.register(client)
    family.single(client)
    before, sizes = memory(client.hello.pid), _sizes(home)
    parent = family.parent(client)
    grown = [new - old for new, old in zip(_sizes(home), sizes, strict=True)]
    peak, after = memory(client.hello.pid, "VmHWM"), memory(client.hello.pid)
    return _Grown(home, parent, before, peak, after, *grown)


def _sizes(home: Home) -> tuple[float, float]:
    """MiB of the store and of the private repositories, as the disk has them."""
    store = list(home.paths.database.parent.glob(f"{home.paths.database.name}*"))
    return _on_disk(store), _on_disk([home.paths.repositories, *home.paths.repositories.rglob("*")])


def _on_disk(files: list[Path]) -> float:
    return sum(file.lstat().st_blocks * 512 for file in files) / 2**20


def _memory(settings: Settings) -> Generator[Sample]:
    found = _grown(settings.amount(MOST, 100))
    settings.notes["children-memory"] = [
        f"{shown(found.after, 'MiB')} afterwards",
        f"on disk, the store grew by {shown(found.store, 'MiB')}, the private repository by {shown(found.repository, 'MiB')}",
    ]
    yield Sample(found.peak, found.before)


def _words(settings: Settings, words: list[str]) -> Generator[Sample]:
    """A whole command; PLAN stands for the plan with children, and for the one without."""
    found = _grown(settings.amount(MOST, 100))

    def seconds(home: Home, plan: str) -> float:
        command = [SCRIPTS / "ca", *(plan if word == "PLAN" else word for word in words)]
        return timed(lambda: subprocess.run(command, env=home.environ, check=True, capture_output=True))

    with scratch() as directory:
        other = _Family(directory, 10)
        with other.home.daemon() as client:
            other.register(client)
            single = other.single(client)
            while True:
                yield alternate(
                    lambda: seconds(found.home, found.parent),
                    lambda: seconds(other.home, single),
                    settings.amount(9, 3),
                )


def _command(*words: str) -> Row:
    return Row(
        f"children-{'-'.join(word.strip('-') for word in words if word != 'PLAN')}",
        f"`ca {' '.join(words)}`, a plan with {MOST:,} children, warm daemon", "the same, a plan without", "s",
        functools.partial(_words, words=list(words)),
    )  # fmt: skip


ROWS = [
    *(
        Row(f"children-{count}", f"{count:,} children, each changes one of {FILES:,} files, {AT_ONCE} at a time",
            f"`git worktree`, `commit`, `merge`, {AT_ONCE} at a time", "s", functools.partial(_overhead, count=count))
        for count in _GLOBS
    ),
    Row("children-memory", f"daemon, resident memory, peak with {MOST:,} children", "before, with one plan", "MiB",
        _memory),
    _command("plan", "list"),
    _command("plan", "list", "--children", "--all"),
    _command("plan", "show", "PLAN"),
    _command("plan", "tree", "PLAN"),
]  # fmt: skip
