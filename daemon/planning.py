"""What `plan use` and `run` come to: the action parsed or made, its arguments bound, projects found, settings resolved."""

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from daemon import actions, git, lookup, profiles
from daemon.handlers.action import parsed
from store import definitions, errors, names, plans
from store.config import Config, Level
from store.database import Reader, Transaction
from store.paths import Paths
from store.records import Plan, PlanProject, Project
from store.states import START

RUN = "local/run"
"""The action that `run` makes of a command; it is not registered."""
RUN_PROFILE = "trusted"
"""A command that was typed is meant to be executed; nothing is applied by itself."""


class Draft(msgspec.Struct, frozen=True):
    """Everything that is known of a plan before it is stored."""

    action: actions.Action
    arguments: dict[str, Any]
    projects: list[Project]
    strategies: list[str]
    profile: str
    profile_source: str


def draft(
    db: Reader,
    paths: Paths,
    *,
    action: str,
    projects: Sequence[str],
    arguments: Mapping[str, str],
    profile: str | None,
    environment: Mapping[str, str],
) -> Draft:
    """Check what was asked for, without storing anything.

    Raises:
        NotFoundError: no such action or project.
        InvalidActionError, InvalidArgumentError, InvalidConfigError: what was given does not fit.
    """
    record = lookup.action(db, action)
    if record.archived:
        raise errors.InvalidActionError(
            f"{record.name} is not reusable and has made its plan; it is archived",
            suggestions=["ca action create FILE --update"],
        )
    definition = parsed(record)
    found = [lookup.project(db, name) for name in projects]
    if not found:
        raise errors.InvalidArgumentError("a plan needs at least one project", suggestions=["ca project list"])
    if len({project.name for project in found}) != len(found):
        raise errors.InvalidArgumentError("a project is named twice", detail={"projects": [p.name for p in found]})
    config = Config(paths.config_file, environment)
    chosen, source = _profile(config, definition, [project.name for project in found], profile)
    return Draft(
        action=definition,
        arguments=actions.bind(definition, arguments),
        projects=found,
        strategies=[_strategy(config, definition, project) for project in found],
        profile=chosen,
        profile_source=source,
    )


def draft_run(
    paths: Paths,
    project: Project,
    *,
    command: str,
    directory: Path,
    profile: str | None,
    environment: Mapping[str, str],
) -> Draft:
    """A plan of one command; it runs where `directory` is in the sandbox, when that lies in the project.

    Raises:
        InvalidArgumentError, InvalidConfigError: what was given does not fit.
    """
    if not command.strip() or "\0" in command:
        reason = "has a NUL character" if "\0" in command else "is empty"
        raise errors.InvalidArgumentError(f"the command {reason}", suggestions=["ca run -- make test"])
    config = Config(paths.config_file, environment)
    chosen, source = _run_profile(config, project.name, profile)
    step = actions.StepSpec(id="run", title=command, kind="run", run=_script(command, project, directory))
    action = actions.Action(name=RUN, description=command, steps=[step])
    return Draft(
        action=action,
        arguments={},
        projects=[project],
        strategies=[_strategy(config, action, project)],
        profile=chosen,
        profile_source=source,
    )


def _script(command: str, project: Project, directory: Path) -> str:
    """The command as a template without placeholders, in its directory."""
    root = Path(project.path)
    if directory != root and directory.is_relative_to(root):
        below = directory.relative_to(root)
        gone = shlex.quote(f"{below} is not in the sandbox: it is empty or ignored")
        # On a line of its own: before `&&` an `||` of the command would change its meaning.
        command = f"cd -- {shlex.quote(f'./{below}')} 2>/dev/null || {{ echo {gone} >&2; exit 1; }}\n{command}"
    return command.replace("{", "{{").replace("}", "}}")


def _run_profile(config: Config, project: str, flag: str | None) -> tuple[str, str]:
    """Flag, then what was set for the project or for all; `trusted` when nothing was."""
    if flag is not None:
        return profiles.check(flag), Level.FLAG
    resolved = config.get("core.automation-profile", project=project)
    if resolved.level is Level.DEFAULT:
        return RUN_PROFILE, "run"
    return profiles.check(str(resolved.value)), resolved.level


def project_around(known: Sequence[Project], directory: Path) -> Project | None:
    """The registered project that `directory` lies in; of several the deepest."""
    around = [project for project in known if directory.is_relative_to(project.path)]
    return max(around, key=lambda project: len(Path(project.path).parts), default=None)


def repository_around(directory: Path) -> Path | None:
    """The root of the git repository whose files `directory` is among."""
    found = git.call(["rev-parse", "--show-toplevel"], cwd=directory, env={"GIT_CEILING_DIRECTORIES": ""}, ok=None)
    top = found.stdout.removesuffix(b"\n")
    return Path(os.fsdecode(top)) if found.returncode == 0 and top else None


def _profile(config: Config, action: actions.Action, projects: Sequence[str], flag: str | None) -> tuple[str, str]:
    """Flag, then action, then project, then configuration; with its source.

    Of several projects the most careful one decides: what waits for a person in one of them does not happen by itself.
    """
    if flag is not None:
        return profiles.check(flag), Level.FLAG
    if action.automation_profile is not None:
        return profiles.check(action.automation_profile), "action"
    resolved = [config.get("core.automation-profile", project=project) for project in projects]
    careful = list(profiles.PROFILES)
    return min(
        ((profiles.check(str(one.value)), one.level) for one in resolved), key=lambda found: careful.index(found[0])
    )


def _strategy(config: Config, action: actions.Action, project: Project) -> str:
    strategy = str(config.value("sandbox.strategy", project=project.name))
    if strategy == "none" and not action.read_only:
        raise errors.InvalidArgumentError(
            f"sandbox.strategy is none for {project.name}, which is only for actions that are read_only; {action.name} is not",
            detail={"project": project.name, "action": action.name},
            suggestions=[
                f"ca config unset sandbox.strategy --project {project.name}",
                "set read_only: true in the action",
            ],
        )
    return strategy


def store(
    tx: Transaction, draft_: Draft, plan_id: str, *, name: str | None, priority: int, umask: int
) -> tuple[Plan, list[PlanProject]]:
    """The records of a new plan, its name settled; the caller hands them to the life cycle.

    Raises:
        InvalidArgumentError: the name is taken.
    """
    plan = Plan(
        plan_id=plan_id,
        name=_name(tx, draft_, name),
        action=draft_.action.name,
        definition_json=msgspec.json.encode(draft_.action).decode(),
        arguments_json=msgspec.json.encode(draft_.arguments).decode(),
        phase=START.phase,
        state=START.state,
        automation_profile=draft_.profile,
        profile_source=draft_.profile_source,
        priority=priority,
        parent_plan_id=None,
        root_plan_id=plan_id,
        depth=0,
        reversions=0,
        attempt=0,
        revision=1,
        umask=umask,
        error_json=None,
        diff_json=None,
        applied_json=None,
        job_id=None,
        created_at=tx.now,
        updated_at=tx.now,
        started_at=None,
        finished_at=None,
    )
    if not draft_.action.reusable:
        definitions.archive_action(tx, draft_.action.name)
    return plan, [_project(plan_id, position, draft_) for position in range(len(draft_.projects))]


def _project(plan_id: str, position: int, draft_: Draft) -> PlanProject:
    project = draft_.projects[position]
    return PlanProject(
        plan_id=plan_id,
        position=position,
        project_id=project.project_id,
        project=project.name,
        path=project.path,
        kind=project.kind,
        strategy=draft_.strategies[position],
        sandbox_path=None,
        sandbox_status="absent",
        head=None,
        branch=None,
        modified=0,
        base=None,
        base_tree=None,
        tip=None,
        tip_tree=None,
    )


def _name(tx: Transaction, draft_: Draft, wanted: str | None) -> str:
    if wanted is not None:
        name = names.parse_label(wanted)
        taken = plans.named(tx, name)
        if taken is None:
            return name
        raise errors.InvalidArgumentError(
            f"a plan is named {name!r} already ({taken.plan_id})",
            detail={"name": name, "plan_id": taken.plan_id},
            suggestions=[f"--name {name}-2"],
        )
    stem = names.split_name(draft_.action.name)[1][:52]
    while True:
        name = f"{stem}-{plans.next_number(tx, stem)}"
        if plans.named(tx, name) is None:
            return name
