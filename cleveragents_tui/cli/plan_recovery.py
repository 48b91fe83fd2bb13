"""The verbs of `ca plan` for a plan that did not come out right: prompt and rollback."""

import sys

import click

from cleveragents_tui.cli import plan_text
from cleveragents_tui.cli.commands import make_verb
from cleveragents_tui.cli.session import Session
from cleveragents_tui.output import Result
from daemon import protocol, views
from store import errors

READ_LIMIT = 1024 * 1024
"""Bytes of standard input that are read; the daemon says how much of it is too much."""


@make_verb(
    None,
    examples=['ca plan prompt fix-types "leave the generated files alone"', "ca plan prompt fix-types - < notes.txt"],
)
@click.argument("plan")
@click.argument("text")
def prompt(session: Session, plan: str, text: str) -> Result[views.PlanView]:
    """Tell the next attempt of an errored plan something; TEXT `-` is read from standard input."""
    return Result(session.call(protocol.PlanPrompt(plan=plan, text=_guidance(text))), plan_text.moved)


def _guidance(text: str) -> str:
    try:
        return (sys.stdin.buffer.read(READ_LIMIT) if text == "-" else text.encode("utf-8", "surrogateescape")).decode()
    except UnicodeError as error:
        raise errors.InvalidArgumentError(
            "the guidance is not UTF-8 text", suggestions=["ca plan prompt PLAN - < FILE, with FILE in UTF-8"]
        ) from error


@make_verb(None, examples=["ca plan rollback fix-types format"])
@click.argument("plan")
@click.argument("step")
def rollback(session: Session, plan: str, step: str) -> Result[views.PlanView]:
    """Let the sandbox stand where it stood after STEP; what was done since is kept under a ref."""
    return Result(session.call(protocol.PlanRollback(plan=plan, step=step), timeout=None), plan_text.moved)
