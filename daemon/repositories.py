"""A project's private repository: where it is, how it is made, how it learns what the project has.

Decided here and only here: what of the project's git configuration holds for our reading of its files, and that work on
one private repository is done by one thread at a time.
"""

import contextlib
import logging
import os
import re
import shutil
import threading
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from daemon import git
from store import errors

log = logging.getLogger(__name__)

PLAN_REFS = "refs/cleveragents/plans"
"""Below it each plan has its refs: for each reversion base, checkpoint/…, partial/…, before/…, integrated/…, edited/…,
rollback/…, result; resolved/…, removed, applied/…."""

REPLACED = ".lost-"
"""Between the name of a repository that was replaced and the time when it was."""

FETCHED_REF = "refs/cleveragents/head"
"""The project's HEAD as it was last fetched."""

_CONTENT_SETTINGS = re.compile(
    r"core\.(autocrlf|eol|filemode|symlinks|ignorecase|precomposeunicode|excludesfile|attributesfile|trustctime"
    r"|checkstat|checkroundtripencoding)|(filter|merge|user|author|committer)\..+"
)
_COMMITTER = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "CleverAgents"), ("EMAIL", "cleveragents@localhost"))
}
_EMPTY_TREES = {
    40: "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    64: "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}
_LOOKING = {"GIT_OPTIONAL_LOCKS": "0"}

_locks: dict[Path, threading.RLock] = {}  # pyright: ignore[reportInvalidTypeForm]
_locks_guard = threading.Lock()
_histories: dict[Path, bytes] = {}


class Project(msgspec.Struct, frozen=True):
    """A project as git work sees it.

    Attributes:
        name: What messages call it.
        path: Its root, resolved.
        kind: "git" or "folder".
        repository: The private bare repository, `<data>/repos/<project_id>.git`.
    """

    name: str
    path: Path
    kind: str
    repository: Path

    @property
    def own(self) -> Path:
        """The directory in the private repository for files that are ours, not git's."""
        return self.repository / "cleveragents"


class Head(msgspec.Struct, frozen=True):
    """Where the project's own repository is, and where it stands.

    Attributes:
        git_dir: The repository's directory; of a linked worktree, the worktree's own part.
        common_dir: The part that all worktrees share.
        commit: None on an unborn branch.
        branch: The branch's name without `refs/heads/`; None when HEAD is detached.
    """

    git_dir: Path
    common_dir: Path
    commit: str | None
    branch: str | None


def lock(project: Project) -> contextlib.AbstractContextManager[object]:
    """What a thread holds while it works on the project's private repository; it may take it again."""
    with _locks_guard:
        return _locks.setdefault(project.repository, threading.RLock())


def private(
    project: Project, args: Sequence[str | bytes | Path], *, feed: bytes | None = None, ok: Iterable[int] | None = (0,)
) -> bytes:
    """Run git on the private repository alone; errors as of `git.call`."""
    return git.run(args, git_dir=project.repository, input=feed, ok=ok)


def look(project: Project, args: Sequence[str | bytes | Path], *, feed: bytes | None = None) -> bytes:
    """Run a git command that only reads the project's own repository; errors as of `git.call`."""
    return git.run(args, cwd=project.path, input=feed, env=_LOOKING)


def prepare(project: Project) -> None:
    """Make the private repository if it is missing, and bring it up to date with the project.

    Raises:
        NotFoundError: the project's directory is gone, or there is no usable git.
        InvalidArgumentError: the project is no longer the git repository that it was.
        CleverAgentsError: git failed, see `git.call`.
    """
    with lock(project):
        if not project.path.is_dir():
            raise errors.NotFoundError(f"the directory of project {project.name}, {project.path}, does not exist")
        if not _is_repository(project.repository):
            git.check()
            if project.repository.exists():
                aside = set_aside(project.repository)
                log.warning("%s was no repository any more; what is left of it is now %s", project.repository, aside)
            _create(project)
        if project.kind == "git":
            here = head(project)
            _carry_settings(project, here)
            fetch_head(project, here)


def _is_repository(path: Path) -> bool:
    return (path / "HEAD").is_file() and (path / "objects").is_dir()


def set_aside(repository: Path) -> Path:
    """Keep what is left of a repository that is to be made anew; where."""
    return repository.rename(repository.with_name(f"{repository.name}{REPLACED}{datetime.now(UTC):%Y%m%dT%H%M%S%f}"))


def head(project: Project) -> Head:
    """Where the project stands.

    Raises:
        InvalidArgumentError: there is no git repository any more.
    """
    places = ["rev-parse", "--path-format=absolute", "--git-dir", "--git-common-dir"]
    answer = git.call([*places, "HEAD", "--symbolic-full-name", "HEAD"], cwd=project.path, env=_LOOKING, ok=None)
    if answer.returncode == 0:
        git_dir, common_dir, commit, ref = os.fsdecode(answer.stdout).rstrip("\n").split("\n")
        return Head(Path(git_dir), Path(common_dir), commit, _branch(ref))
    answer = git.call(places, cwd=project.path, env=_LOOKING, ok=None)
    if answer.returncode != 0:
        raise errors.InvalidArgumentError(
            f"project {project.name} is registered as a git repository, but git cannot use {project.path}: "
            f"{answer.stderr.decode(errors='backslashreplace').strip()}"
        )
    git_dir, common_dir = os.fsdecode(answer.stdout).rstrip("\n").split("\n")
    ref = git.run(["symbolic-ref", "-q", "HEAD"], cwd=project.path, env=_LOOKING, ok=(0, 1))
    return Head(Path(git_dir), Path(common_dir), None, _branch(os.fsdecode(ref).strip()))


def fetch_head(project: Project, here: Head) -> str | None:
    """See that the private repository has the project's HEAD and all that it needs; the tree of HEAD."""
    if here.commit is None:
        return None
    (tree,) = resolve(project, [f"{here.commit}^{{tree}}"])
    if tree is None:
        _fetch(project)
        (tree,) = resolve(project, [f"{here.commit}^{{tree}}"])
    return tree


def _fetch(project: Project) -> None:
    """Fetch HEAD, and branches and tags for those who look at history in a sandbox."""
    _histories.pop(project.repository, None)
    words = ["fetch", "-q", "--no-tags", "--prune", "--update-shallow", "--no-write-fetch-head", project.path]
    head_only = f"+HEAD:{FETCHED_REF}"
    try:
        private(project, [*words, head_only, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"])
    except errors.InternalError:
        # some other branch may be broken or odd; the plan needs HEAD only
        private(project, [*words, head_only])


def history(project: Project) -> bytes:
    """The project's branches and tags as they were last fetched, a line each; only a fetch changes them."""
    with lock(project):
        known = _histories.get(project.repository)
        if known is None:
            refs = ["for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags"]
            known = _histories[project.repository] = private(project, refs)
        return known


def resolve(project: Project, names: Sequence[str]) -> list[str | None]:
    """The ids of the objects that git knows by `names`; None for one that the private repository does not have."""
    asked = "".join(name + "\n" for name in names).encode()
    said = private(project, ["cat-file", "--buffer", "--batch-check=%(objectname)"], feed=asked).decode().splitlines()
    return [None if line.endswith((" missing", " ambiguous")) else line for line in said]


def adopt(project: Project, blobs: Iterable[str]) -> None:
    """Copy those blobs into the private repository that it does not have yet from the project's own."""
    wanted = sorted(set(blobs))
    if not wanted:
        return
    missing = [blob for blob, found in zip(wanted, resolve(project, wanted), strict=True) if found is None]
    if missing:
        listed = "".join(blob + "\n" for blob in missing).encode()
        packed = look(project, ["pack-objects", "-q", "--stdout"], feed=listed)
        private(project, ["unpack-objects", "-q"], feed=packed)


def plan_ref(plan_id: str, name: str) -> str:
    """The full name of a plan's ref, such as `base` or `checkpoint/<step_id>`."""
    return f"{PLAN_REFS}/{plan_id}/{name}"


def read_tree(project: Project, index: Path, tree: str) -> None:
    """Fill an index of ours from a commit or tree, whatever the files are."""
    index.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    git.run(["read-tree", tree], git_dir=project.repository, index=index)


def empty_tree(like: str) -> str:
    """The id of the tree without entries, in the object format of the id `like`; git knows it without having it."""
    return _EMPTY_TREES[len(like)]


def commit(project: Project, tree: str, parents: Sequence[str], message: str, *, durable: bool = True) -> str:
    """Make a commit of ours in the private repository; its id. One that nobody refers to need not be `durable`."""
    named = [word for parent in parents for word in ("-p", parent)]
    args = [*(() if durable else ("-c", "core.fsync=none")), "commit-tree", tree, *named]
    made = git.run(args, git_dir=project.repository, input=message.encode() + b"\n", env=_COMMITTER)
    return made.decode().strip()


def move_refs(project: Project, refs: Iterable[tuple[str, str]]) -> None:
    """Let each ref of the private repository name its object, all or none."""
    orders = "".join(f"update {ref} {name}\n" for ref, name in refs)
    private(project, ["update-ref", "--no-deref", "--stdin"], feed=orders.encode())


def pack_refs(project: Project) -> None:
    """Keep all refs in one file; errors as of `git.call`."""
    with lock(project):
        private(project, ["pack-refs", "--all"])


def plan_refs(project: Project, plan_id: str) -> dict[str, str]:
    """What each ref of a plan names, by the ref's name below the plan's, in the order of the names."""
    if not project.repository.exists():
        return {}
    prefix = f"{PLAN_REFS}/{plan_id}/"
    said = private(project, ["for-each-ref", "--format=%(objectname) %(refname)", prefix]).decode()
    found = (line.split(" ", 1) for line in said.splitlines())
    return {ref.removeprefix(prefix): name for name, ref in found}


def line_of(project: Project, base: str, tip: str) -> list[str]:
    """The commits that were made one on the other from `base` to `tip`, both included.

    Raises:
        CleverAgentsError: one of them is gone, or git failed, see `git.call`.
    """
    said = private(project, ["rev-list", "--first-parent", "--reverse", f"{base}..{tip}"]).decode().split()
    return [base, *said]


def forget_plan(project: Project, plan_id: str) -> None:
    """Remove every ref of a plan; what only they kept may be collected from now on."""
    with lock(project):
        if not project.repository.exists():
            return
        refs = private(project, ["for-each-ref", "--format=delete %(refname)", f"{PLAN_REFS}/{plan_id}/"])
        private(project, ["update-ref", "--no-deref", "--stdin"], feed=refs)


def write_file(path: Path, content: bytes) -> None:
    """Replace a small file of ours in one step."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(content)
    fresh.replace(path)


def _branch(ref: str) -> str | None:
    prefix = "refs/heads/"
    return ref.removeprefix(prefix) if ref.startswith(prefix) else None


def _create(project: Project) -> None:
    """Make it under another name first, so that a half-made one is never taken for whole."""
    _histories.pop(project.repository, None)
    fresh = project.repository.with_name(project.repository.name + ".new")
    if fresh.exists():
        shutil.rmtree(fresh)
    fresh.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if project.kind == "git":
        _clone(project, fresh)
    else:
        git.run(["init", "-q", "--bare", "--template=", fresh])
    with (fresh / "config").open("a", encoding="utf-8") as config:
        config.write("[include]\n\tpath = cleveragents/project.config\n")
    (fresh / "cleveragents").mkdir()
    fresh.chmod(0o700)
    fresh.rename(project.repository)


def _clone(project: Project, to: Path) -> None:
    words = ["clone", "-q", "--bare", "--template=", "-c", "clone.rejectShallow=false"]
    # an empty repository does not tell a clone its object format
    hashes = {"GIT_DEFAULT_HASH": look(project, ["rev-parse", "--show-object-format"]).decode().strip()}
    try:
        git.run([*words, "--local", "--", project.path, to], env=hashes)
    except errors.InternalError:
        # git refuses to link objects from a directory with symlinks in it; copying them is always allowed
        shutil.rmtree(to, ignore_errors=True)
        git.run([*words, "--no-local", "--", project.path, to], env=hashes)


def _carry_settings(project: Project, here: Head) -> None:
    """Copy what decides how the project's files are read: ignore rules, attributes, content settings."""
    for name in ("exclude", "attributes"):
        _carry_file(here.common_dir / "info" / name, project.repository / "info" / name)
    listed = git.split(look(project, ["config", "--list", "-z"]))
    settings: dict[str, str | None] = {}
    for item in listed:
        key, has_value, value = os.fsdecode(item).partition("\n")
        if _CONTENT_SETTINGS.fullmatch(key):
            settings[key] = value if has_value else None
    _keep(
        project.own / "project.config",
        "".join(_setting(*item) for item in settings.items()).encode(errors="surrogateescape"),
    )


def _carry_file(source: Path, to: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        _keep(to, source.read_bytes())
        return
    to.unlink(missing_ok=True)


def _keep(path: Path, content: bytes) -> None:
    """Write a file only when it would change."""
    with contextlib.suppress(FileNotFoundError):
        if path.read_bytes() == content:
            return
    write_file(path, content)


def _setting(key: str, value: str | None) -> str:
    """One entry of a git configuration file."""
    section, _, rest = key.partition(".")
    subsection, _, name = rest.rpartition(".")
    header = f'[{section} "{_escaped(subsection)}"]' if subsection else f"[{section}]"
    return f"{header}\n\t{name}\n" if value is None else f'{header}\n\t{name} = "{_escaped(value)}"\n'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
