"""One verb on several plans or jobs: each is tried, and the answers are put together."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from cleveragents_tui.cli.session import Session
from cleveragents_tui.output import ErrorBody, Look, Result, error_lines
from store import errors


def each(
    session: Session, names: Sequence[str], verb: Callable[[str], Result[Any]], *, noun: str = "plan"
) -> Result[Any]:
    """Do it to everything that was named; one failure does not keep the others from being moved."""
    if len(names) == 1:
        return verb(names[0])
    done: list[Any] = []
    failed: list[tuple[str, ErrorBody, int]] = []
    for name in names:
        try:
            result = verb(name)
        except errors.CleverAgentsError as error:
            result = Result(None, None, exit_code=error.exit_code, error=ErrorBody.of(error))
        if result.error is None:
            done.append(result.data)
        else:
            failed.append((name, result.error, result.exit_code))
        if not session.out.structured:
            _print_one(session, result)
    data = {f"{noun}s": done, "total": len(done)}
    if not failed:
        return Result(data)
    return Result(data, _nothing, exit_code=failed[0][2], error=_together(noun, done, failed))


def _print_one(session: Session, result: Result[Any]) -> None:
    out = session.out
    if result.error is None:
        out.say(result.render(result.data, out.look) if result.render else ())
    else:
        look = out.talk_look
        out.talk(*(result.render(result.data, look) if result.render else error_lines(result.error, look)))
    out.talk(*session.messages)
    session.messages.clear()


def _nothing(_data: object, _look: Look) -> Iterable[str]:
    return ()


def _together(noun: str, done: list[Any], failed: list[tuple[str, ErrorBody, int]]) -> ErrorBody:
    first = failed[0][1]
    return ErrorBody(
        first.code,
        f"{len(failed)} of {len(done) + len(failed)} {noun}s: {first.message}",
        {"done": done, "failed": [{noun: name, "exit_code": code, "error": error} for name, error, code in failed]},
        first.suggestions,
    )
