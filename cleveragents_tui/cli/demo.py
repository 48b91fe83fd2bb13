"""`ca demo`: the whole product on a sample repository, each command through the real program and a real daemon."""

import shlex
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
import msgspec

from cleveragents_tui import wording
from cleveragents_tui.cli.commands import make_verb
from cleveragents_tui.cli.session import Session
from cleveragents_tui.demo.script import SCRIPT, Scene
from cleveragents_tui.demo.stage import Stage, ended_by_signals
from cleveragents_tui.output import Look, Result
from cleveragents_tui.wording import Tone
from store import errors


class RanView(msgspec.Struct, frozen=True):
    """One command of the demo."""

    command: str
    exit_code: int
    duration_ms: int


class DemoView(msgspec.Struct, frozen=True):
    """What the demo did, and whether its directory is still there."""

    dir: str
    kept: bool
    steps: list[RanView]


@make_verb("demo", examples=["ca demo", "ca demo --keep", "ca demo --dir /tmp/look-around --keep"])
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where to play it: a new or empty directory. Without it, a temporary one.",
)
@click.option("--keep", is_flag=True, help="Leave the directory there, to look around and go on.")
def command(session: Session, directory: Path | None, *, keep: bool) -> Result[DemoView]:
    """The whole product on a sample repository: a plan is made, executed, reviewed, applied and undone.

    It has a store and a daemon of its own: yours are not touched.
    """
    started = time.monotonic()
    ran: list[RanView] = []
    with ended_by_signals():
        stage = Stage(directory, session.environ, "plain" if session.out.structured else session.out.format)
        try:
            stage.build()
            _play(session, stage, ran)
        except errors.StepFailedError as error:
            error.detail.update(dir=str(stage.directory), kept=keep, steps=msgspec.to_builtins(ran))
            raise
        finally:
            stage.close(keep=keep)
            if keep and not session.out.structured:
                session.out.talk(*_going_on(stage, session.out.talk_look))
    seconds = time.monotonic() - started

    def render(view: DemoView, look: Look) -> Iterable[str]:
        sign = look.paint("✔", Tone.DONE)
        gone = "its daemon is stopped" if view.kept else "its daemon is stopped and its directory removed"
        yield f"{sign} {len(view.steps)} commands in {wording.duration(seconds)}; {gone}"

    return Result(DemoView(str(stage.directory), keep, ran), render)


def _play(session: Session, stage: Stage, ran: list[RanView]) -> None:
    for number, scene in enumerate(SCRIPT, 1):
        _announce(session, number, scene)
        started = time.monotonic()
        code, said = stage.run(scene.command, quiet=session.out.structured)
        line = shlex.join(scene.command)
        ran.append(RanView(line, code, round((time.monotonic() - started) * 1000)))
        if not session.out.structured:
            session.out.say([""])
            session.out.flush()
        if code:
            raise errors.StepFailedError(
                f"the demo stopped: `{line}` ended with exit code {code}" + (f"\n{said}" if said else ""),
                suggestions=["ca demo --keep", "ca diagnostics"],
            )


def _announce(session: Session, number: int, scene: Scene) -> None:
    line = f"$ {shlex.join(scene.command)}"
    if session.out.structured:
        session.say(line)
        return
    look = session.out.look
    session.out.say([look.dim(f"{number}/{len(SCRIPT)}  {scene.sentence}"), look.bold(line)])
    session.out.flush()


def _going_on(stage: Stage, look: Look) -> Sequence[str]:
    return [
        f"The demo is kept in {stage.directory}. Go on there with:",
        f"  {look.bold(f'export CLEVERAGENTS_HOME={shlex.quote(str(stage.home))}')}",
        f"  {look.bold(f'cd {shlex.quote(str(stage.project))}')}",
        f"  {look.bold('ca plan apply rename-1')}",
        f"When you are done: ca daemon stop; rm -r {shlex.quote(str(stage.directory))}",
    ]
