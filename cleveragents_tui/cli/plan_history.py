"""The verbs of `ca plan` that look back: artifacts and explain."""

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from cleveragents_tui import wording
from cleveragents_tui.cli.commands import make_verb
from cleveragents_tui.cli.session import Session
from cleveragents_tui.cli.tables import Cell, Column, table
from cleveragents_tui.output import Look, Result
from cleveragents_tui.wording import Tone
from daemon import protocol, views


@make_verb(None, examples=["ca plan artifacts fix-types"])
@click.argument("plan")
def artifacts(session: Session, plan: str) -> Result[views.PlanArtifactsView]:
    """What a plan made: sandboxes, the commits that keep its work, the log of every attempt."""
    return Result(session.call(protocol.PlanArtifacts(plan=plan)), artifact_lines)


@make_verb(None, examples=["ca plan explain fix-types"])
@click.argument("plan")
def explain(session: Session, plan: str) -> Result[views.PlanExplainView]:
    """Why a plan stands where it stands, and what each command that makes sense now would do."""
    return Result(session.call(protocol.PlanExplain(plan=plan)), explain_lines)


def artifact_lines(found: views.PlanArtifactsView, look: Look) -> Iterable[str]:
    """What can be reached: sandboxes, commits, logs."""
    if not found.artifacts:
        yield look.dim("Nothing was made yet.")
        return
    boxes = [one for one in found.artifacts if one.kind == "sandbox"]
    for box in boxes:
        yield f"{look.dim('sandbox of')} {look.bold(wording.short_name(box.project or ''))}  {wording.plain(box.path)}"
    for repository in dict.fromkeys(one.path for one in found.artifacts if one.ref):
        yield from _commits([one for one in found.artifacts if one.ref and one.path == repository], repository, look)
    yield from _files([one for one in found.artifacts if one.bytes is not None], look)


_COMMITS = (Column(), Column(), Column(), Column(minimum=16, drop=1))


def _commits(commits: Sequence[views.ArtifactView], repository: str, look: Look) -> Iterable[str]:
    yield f"{look.dim('commits of')} {look.bold(wording.short_name(commits[0].project or ''))}"
    rows = [
        [
            Cell(one.kind, bold=True),
            _of(one),
            wording.short_commit(one.commit),
            Cell(_below(one.ref or ""), Tone.WAITING),
        ]
        for one in commits
    ]
    yield from table(look, _COMMITS, rows, heading=False, indent=2)
    shown = next((one for one in reversed(commits) if one.kind == "partial"), commits[-1])
    yield look.dim("  look at one:")
    yield f"  git --git-dir={shlex.quote(repository)} show {shown.ref}"


def _below(ref: str) -> str:
    """A ref without what is the same for all of a plan."""
    return ref.split("/", 4)[-1]


def _of(one: views.ArtifactView) -> str:
    attempt = f" attempt {one.attempt}" if one.attempt else ""
    return f"{one.step or ''}{attempt}"


_FILES = (Column(), Column(), Column(right=True), Column(minimum=8, drop=1))


def _files(files: Sequence[views.ArtifactView], look: Look) -> Iterable[str]:
    for directory in dict.fromkeys(str(Path(one.path).parent) for one in files):
        yield f"{look.dim('files in')} {wording.plain(directory)}"
        rows = [_file(one) for one in files if str(Path(one.path).parent) == directory]
        yield from table(look, _FILES, rows, heading=False, indent=2)


def _file(one: views.ArtifactView) -> list[Cell | str]:
    name = wording.plain(Path(one.path).name)
    return [
        Cell(one.kind, bold=True),
        _of(one) or "of the phase",
        wording.size(one.bytes or 0),
        Cell(name, Tone.WAITING),
    ]


def explain_lines(found: views.PlanExplainView, look: Look) -> Iterable[str]:
    """The summary, the facts behind it, and what each command would do."""
    yield from _wrapped(wording.plain(found.summary), look, "")
    yield look.dim("why")
    for reason in found.reasons:
        yield from _wrapped(wording.plain(reason).replace("\n", " "), look, "  ")
    if found.next:
        yield look.dim("next")
    for one in found.next:
        yield f"  {one.command}"
        yield from _wrapped(one.effect, look, "      ")


def _wrapped(text: str, look: Look, indent: str) -> Iterable[str]:
    """`text` in lines that fit; later lines stand two columns further in."""
    line = indent
    for word in text.split():
        if line.strip() and wording.columns(line) + 1 + wording.columns(word) > look.width:
            yield line
            line = f"{indent}  {word}"
        else:
            line = f"{line} {word}" if line.strip() else f"{line}{word}"
    if line.strip():
        yield line
