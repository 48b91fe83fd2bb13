"""What a person meant: plans and jobs by id, a unique part of an id, or name; projects, actions and actors by name."""

from collections.abc import Iterable
from pathlib import Path

from store import definitions, entities, errors, jobs, names, plans
from store.database import Reader
from store.records import Action, Actor, AsyncJob, Entity, Plan, Project

SHORTEST_PART = 4
LONGEST_WORD = 100
"""Characters of a word that a refusal repeats."""
NAMED = 10
"""Candidates that an ambiguous part lists at most."""


def plan(db: Reader, text: str) -> Plan:
    """The plan that `text` names.

    Raises:
        NotFoundError, AmbiguousError: none, or several; the candidates are listed.
    """
    found = plans.get(db, text.upper()) or plans.named(db, text)
    if found is not None:
        return found
    candidates = plans.like(db, text) if len(text) >= SHORTEST_PART else []
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise _ambiguous("plan", text, [(found.plan_id, found.name) for found in candidates])
    raise _not_found("plan", text, (found.name for found in plans.find(db, limit=200)[0]))


def job(db: Reader, text: str) -> AsyncJob:
    """The job that `text` names; a plan's name stands for its newest job.

    Raises:
        NotFoundError, AmbiguousError: none, or several; the candidates are listed.
    """
    found = jobs.get(db, text.upper())
    if found is not None:
        return found
    candidates = jobs.like(db, text) if len(text) >= SHORTEST_PART else []
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise _ambiguous("job", text, [(found.job_id, found.phase) for found in candidates])
    owner = plans.named(db, text)
    newest = jobs.latest(db, plan_id=owner.plan_id, limit=1) if owner else []
    if newest:
        return newest[0]
    raise _not_found("job", text, ())


def project(db: Reader, text: str) -> Project:
    """The project of a name, or of a directory given as an absolute path.

    Raises:
        NotFoundError: there is none, then the nearest is named; or it has no directory here.
    """
    found = any_project(db, text)
    if isinstance(found, Project):
        return found
    name = found.whole_name
    raise errors.NotFoundError(
        f"the project {name} is shared, and has no directory here",
        detail={"project": name},
        suggestions=[f"ca project add PATH --name {name}"],
    )


def any_project(db: Reader, text: str) -> Project | Entity:
    """The same, also one that the team server has and that has no directory here.

    Raises:
        NotFoundError: there is none; the nearest is named.
    """
    if text.startswith("/"):
        found = definitions.project_at(db, str(Path(text).resolve()))
    else:
        text = names.parse_name(text, what="project name")
        found = definitions.project(db, text) or _project_elsewhere(db, text)
    if found is not None:
        return found
    known = [candidate.name for candidate in definitions.projects(db)]
    known += [candidate.whole_name for candidate in entities.projects_elsewhere(db)]
    raise _not_found("project", text, known, "ca project add PATH")


def _project_elsewhere(db: Reader, name: str) -> Entity | None:
    return next((entity for entity in entities.projects_elsewhere(db) if entity.whole_name == name), None)


def action(db: Reader, text: str) -> Action:
    """The action of a name.

    Raises:
        NotFoundError: there is none, or it is archived; the nearest is named.
    """
    text = names.parse_name(text, what="action name")
    found = definitions.action(db, text)
    if found is not None:
        return found
    known = [candidate.name for candidate in definitions.actions(db)]
    raise _not_found("action", text, known, "ca action create FILE")


def actor(db: Reader, text: str) -> Actor:
    """The registered actor of a name.

    Raises:
        NotFoundError: there is none; the nearest is named.
    """
    text = names.parse_name(text, what="actor name")
    found = definitions.actor(db, text)
    if found is not None:
        return found
    known = [candidate.name for candidate in definitions.actors(db)]
    raise _not_found("actor", text, known, "ca actor create FILE")


def _short_name(name: str) -> str:
    return name.removeprefix(f"{names.DEFAULT_NAMESPACE}/")


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_WORD else f"{text[:LONGEST_WORD]}…"


def _not_found(what: str, text: str, known: Iterable[str], *more: str) -> errors.NotFoundError:
    text = _short(text)
    # Without the namespace that nobody types: all names would look alike because of it.
    near = names.nearest(_short_name(text), [_short_name(name) for name in known])
    hint = f"; did you mean {near}?" if near else ""
    return errors.NotFoundError(
        f"there is no {what} {text!r}{hint}", detail={what: text}, suggestions=[f"ca {what} list", *more]
    )


def _ambiguous(what: str, text: str, candidates: list[tuple[str, str]]) -> errors.AmbiguousError:
    text = _short(text)
    shown = ", ".join(f"{identity} ({name})" for identity, name in candidates[:NAMED])
    more = " and more" if len(candidates) > NAMED else ""
    return errors.AmbiguousError(
        f"{text!r} fits several {what}s: {shown}{more}",
        detail={"candidates": [identity for identity, _ in candidates[:NAMED]]},
        suggestions=[f"ca {what} show {candidates[0][0]}"],
    )
