"""What the private repositories still have of what plans need of them, and what can be done about a lost one.

A plan's base and result are commits in its project's private repository. Without them it cannot go on, be applied or be undone;
everything else can.
"""

import hashlib
import logging
import shutil
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from daemon import git, repositories
from daemon.repositories import Project
from store import definitions, errors, plans
from store.database import Reader
from store.paths import Paths
from store.states import State

log = logging.getLogger(__name__)

SHA1_DIGITS = 40


class Loss(msgspec.Struct, frozen=True):
    """What one private repository does not have.

    Attributes:
        repository: Where it is, or was.
        project: What it is for; a project that is not registered any more has no directory to make it anew from.
        why: What is the matter with it; None when only some commits are gone.
        open: The plans that cannot go on.
        applied: The plans that cannot be undone.
    """

    repository: Path
    project: Project | None
    why: str | None
    open: list[str]
    applied: list[str]


def find(db: Reader, paths: Paths) -> list[Loss]:
    """Every loss; one look at each repository."""
    registered = {
        one.project_id: Project(one.name, Path(one.path), one.kind, paths.repositories / f"{one.project_id}.git")
        for one in definitions.projects(db)
    }
    wanted: dict[str, list[_Need]] = defaultdict(list)
    for project_id, plan, state, base, tip in plans.commits(db):
        wanted[project_id] += [_Need(plan, state == State.APPLIED, commit) for commit in (base, tip) if commit]
    needed = {project_id: needs for project_id, needs in wanted.items() if project_id}
    found = (_look(paths, project_id, registered.get(project_id), needs) for project_id, needs in needed.items())
    return [loss for loss in found if loss is not None]


def make_anew(loss: Loss) -> str:
    """Let the project have a private repository that works, with everything of a broken one that can be read; what was done.

    Raises:
        NotFoundError: the project's directory is gone, so there is nothing to make it from.
        CleverAgentsError: it cannot be made; `git.call` says why.
    """
    assert loss.project is not None, "the caller knows"
    with repositories.lock(loss.project):
        if not loss.repository.exists():
            repositories.prepare(loss.project)
            return f"{loss.repository} was made anew from {loss.project.path}"
        if not loss.project.path.is_dir():
            raise errors.NotFoundError(
                f"the directory of project {loss.project.name}, {loss.project.path}, does not exist"
            )
        aside = repositories.set_aside(loss.repository)
        repositories.prepare(loss.project)
        _salvage(loss.project, aside)
    return f"{loss.repository} was made anew from {loss.project.path}; what was there is now {aside}"


def _salvage(project: Project, aside: Path) -> None:
    """Take over every object and ref of a broken repository that is whole, and what we know of the sandboxes.

    Object by object: git refuses to fetch anything whose history leads to one that is broken.
    """
    for pack in (aside / "objects" / "pack").glob("pack-*"):
        _copy(pack, project.repository / "objects" / "pack" / pack.name)
    for loose in (aside / "objects").glob("[0-9a-f][0-9a-f]/*"):
        if _is_whole(loose):
            _copy(loose, project.repository / "objects" / loose.parent.name / loose.name)
    _keep_sandboxes(project, aside)
    try:
        listed = git.run(["for-each-ref", "--format=%(refname) %(objectname)", repositories.PLAN_REFS], git_dir=aside)
        refs = [(ref, name) for ref, _, name in (line.partition(" ") for line in listed.decode().splitlines())]
        have = repositories.resolve(project, [name for _, name in refs])
        repositories.move_refs(project, [ref for ref, found in zip(refs, have, strict=True) if found])
    except errors.CleverAgentsError as error:
        log.warning("the refs of %s cannot be read: %s", aside, error.message)


def _keep_sandboxes(project: Project, aside: Path) -> None:
    """What we know of a sandbox is worth something only together with the commit that it was last equal to."""
    for record in (aside / project.own.name / "sandboxes").glob("*.json"):
        try:
            last = msgspec.json.decode(record.read_bytes(), type=_Sandbox).last
            known = repositories.resolve(project, [f"{last}^{{tree}}"]) != [None]
        except (OSError, msgspec.DecodeError, errors.CleverAgentsError) as error:
            log.warning("%s cannot be taken over: %s", record, error)
            continue
        for file in record.parent.glob(f"{record.stem}.*") if known else ():
            _copy(file, project.own / "sandboxes" / file.name)


class _Sandbox(msgspec.Struct):
    last: str


def _copy(source: Path, to: Path) -> None:
    if not to.exists():
        to.parent.mkdir(mode=0o700, exist_ok=True)
        shutil.copy2(source, to)


def _is_whole(loose: Path) -> bool:
    """Whether a loose object is what its name says."""
    name = loose.parent.name + loose.name
    try:
        content = zlib.decompress(loose.read_bytes())
    except (OSError, zlib.error):
        return False
    algorithm = hashlib.sha1 if len(name) == SHA1_DIGITS else hashlib.sha256
    return algorithm(content).hexdigest() == name


class _Need(msgspec.Struct, frozen=True):
    plan: str
    applied: bool
    commit: str


def _look(paths: Paths, project_id: str, project: Project | None, needs: Iterable[_Need]) -> Loss | None:
    repository = paths.repositories / f"{project_id}.git"
    asked = list(needs)
    why = None
    try:
        have = _have(Project(project_id, paths.data, "folder", repository), {need.commit for need in asked})
    except errors.CleverAgentsError as error:
        why, have = error.message.rpartition("fatal: ")[2], dict[str, bool]()
    if not repository.is_dir():
        why = "it is not there"
    lost = [need for need in asked if not have.get(need.commit)]
    if not lost:
        return None
    return Loss(
        repository,
        project,
        why,
        sorted({need.plan for need in lost if not need.applied}),
        sorted({need.plan for need in lost if need.applied}),
    )


def _have(project: Project, commits: Iterable[str]) -> Mapping[str, bool]:
    """Of each commit whether it can be read, its tree too."""
    asked = sorted(set(commits))
    if not project.repository.is_dir():
        return {}
    found = repositories.resolve(project, [f"{commit}^{{tree}}" for commit in asked])
    trees = repositories.resolve(
        project, [f"{tree}^{{tree}}" if tree else commit for tree, commit in zip(found, asked, strict=True)]
    )
    return {commit: bool(tree and readable) for commit, tree, readable in zip(asked, found, trees, strict=True)}
