"""Commits that an Apply makes on the user's behalf: whether the project can take one, and with whose name."""

import os
import re

from daemon import git, preflight, repositories
from daemon.repositories import Project
from store import errors

MODES = ("worktree", "index", "commit", "branch")
"""What Apply may change: files; files and index; files, index and the current branch; a new branch alone."""

_WHO = re.compile(r"(?P<name>.*) <(?P<email>[^>]*)> \d+ [+-]\d+")
_NAMES = tuple(f"GIT_{role}_{part}" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL"))


def check_target(project: Project, mode: str, branch: str | None) -> None:
    """See that the project can take a change in this mode.

    Raises:
        InvalidArgumentError: it cannot; the message says why.
    """
    if mode not in MODES:
        raise errors.InvalidArgumentError(f"there is no apply mode {mode!r}", suggestions=[", ".join(MODES)])
    if mode == "worktree":
        return
    if project.kind != "git":
        raise errors.InvalidArgumentError(
            f"project {project.name} is a plain folder: a change can only be applied to its files",
            suggestions=["--mode worktree"],
        )
    if mode == "commit" and preflight.settled(project).branch is None:
        raise errors.InvalidArgumentError(
            f"HEAD of project {project.name} is detached: a commit would belong to no branch",
            suggestions=[f"git -C {project.path} switch BRANCH", "--mode branch"],
        )
    if mode == "branch":
        _check_new(project, branch)
    if mode in {"commit", "branch"}:
        _identity(project)


def make(project: Project, tree: str, parent: str | None, message: str) -> str:
    """A commit of the user's in the private repository; its id.

    Raises:
        InvalidArgumentError: git does not know who the user is.
    """
    parents = ["-p", parent] if parent else []
    made = git.run(
        ["commit-tree", tree, *parents],
        git_dir=project.repository,
        input=(message.strip() + "\n").encode(),
        env=_identity(project),
    )
    return made.decode().strip()


def _check_new(project: Project, branch: str | None) -> None:
    ref = f"refs/heads/{branch}"
    valid = branch and not branch.startswith("-")
    if not valid or git.call(["check-ref-format", ref], ok=None).returncode != 0:
        raise errors.InvalidArgumentError(f"{branch!r} is no name for a branch")
    for known in (
        repositories.look(project, ["for-each-ref", "--format=%(refname)", "refs/heads"]).decode().splitlines()
    ):
        if known == ref or known.startswith(f"{ref}/") or ref.startswith(f"{known}/"):
            there = known.removeprefix("refs/heads/")
            raise errors.InvalidArgumentError(
                f"project {project.name} has the branch {there} already, so {branch} cannot be made",
                suggestions=[f"git -C {project.path} branch -m {there} OTHER-NAME", "--mode worktree"],
            )


def _identity(project: Project) -> dict[str, str]:
    """The user's name and address as the project's git has them, for git in the private repository."""
    own = {name: os.environ[name] for name in _NAMES if name in os.environ}
    found: dict[str, str] = {}
    for role in "AUTHOR", "COMMITTER":
        said = git.call(
            ["-c", "user.useConfigOnly=true", "var", f"GIT_{role}_IDENT"], cwd=project.path, env=own, ok=None
        )
        who = _WHO.match(said.stdout.decode(errors="surrogateescape"))
        if said.returncode != 0 or who is None:
            raise errors.InvalidArgumentError(
                "git does not know who you are, so it cannot make a commit in your name; "
                "tell it: git config --global user.name NAME, and the same for user.email",
                suggestions=['git config --global user.name "…"', 'git config --global user.email "…"'],
            )
        found |= {f"GIT_{role}_NAME": who["name"], f"GIT_{role}_EMAIL": who["email"]}
    return found
