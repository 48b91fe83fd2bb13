"""From an argument list to an exit code: every way a run can end ends here.

That is: a result, an error of ours, a defect, a closed pipe, Ctrl-C. Help and the parser's refusals come from `root`.
"""

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Sequence

from cleveragents_tui import output
from cleveragents_tui.cli.session import Session
from cleveragents_tui.output import Result
from store import errors

COMPLETE = "_CA_COMPLETE"
"""Set by the script of `ca completion`: the shell asks what the words on its line may become."""

BARE: dict[tuple[str, ...], tuple[str, str, str]] = {
    (): ("status", "cleveragents_tui.cli.overview", "status"),
    ("status",): ("status", "cleveragents_tui.cli.overview", "status"),
    ("plan", "list"): ("plan list", "cleveragents_tui.cli.plan_list", "plans"),
}
"""What people and their prompts run all day. Without options there is nothing to parse, and the parser takes a fifth of
the time: these verbs are called as they are. With options they go the way of all others."""


def run(arguments: Sequence[str], *, apart: bool = False) -> int:
    """Carry out one command line; returns the exit code. All output is flushed.

    Raises:
        NeedsCallerError: only with `apart`, in a process that does it for the one that was called: that one has to.
    """
    output.prepare_streams()
    session = Session(os.environ, apart=apart)
    try:
        code = _guarded(session, list(arguments))
        session.out.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        return session.out.exit_code  # the reader has seen enough
    except OSError as error:
        failure = errors.from_os_error(error, "cannot write the output")
        with contextlib.suppress(OSError):
            os.write(2, f"{failure.message}\n".encode())  # stdout takes nothing any more, not even an envelope
        code = session.out.exit_code or failure.exit_code
    return code


def lost(arguments: Sequence[str]) -> int:
    """Say that the process which carried out a command line for this one is gone; returns the exit code."""
    from cleveragents_tui.cli.root import wanted_format  # noqa: PLC0415  nearly never

    output.prepare_streams()
    session = Session(os.environ)
    session.ask_for_format(wanted_format(arguments))
    code = session.fail(
        errors.InternalError(
            "the process that carried out this command was killed; what it was about to do may or may not be done",
            suggestions=["ca status", "ca events"],
        )
    )
    sys.stdout.flush()
    return code


def _guarded(session: Session, arguments: Sequence[str]) -> int:
    try:
        return _dispatch(session, arguments)
    except errors.CleverAgentsError as error:
        return session.fail(error)
    except KeyboardInterrupt:
        return session.interrupted()
    except (BrokenPipeError, output.UnwritableError):
        raise
    except Exception as error:  # noqa: BLE001  the last resort: a person gets a sentence, a program its envelope
        return session.fail(_defect(error))


def _dispatch(session: Session, arguments: Sequence[str]) -> int:
    if COMPLETE in session.environ:
        from cleveragents_tui.cli import completing  # noqa: PLC0415  only a shell that completes needs it

        return completing.respond(session, session.environ[COMPLETE])
    bare = BARE.get(tuple(arguments))
    if not arguments and session.has_screen:
        arguments, bare = ["tui"], None
    if bare is None:
        from cleveragents_tui.cli import root  # noqa: PLC0415  click is imported there

        return root.dispatch(session, arguments)
    command, module, name = bare
    session.begin(command)
    verb: Callable[[Session], Result[object]] = getattr(importlib.import_module(module), name)
    return session.finish(verb(session))


def _defect(error: Exception) -> errors.CleverAgentsError:
    if os.environ.get("CLEVERAGENTS_DEBUG") == "1":
        import traceback  # noqa: PLC0415  only a defect needs it

        traceback.print_exception(error)
    return errors.InternalError(
        f"this is a defect of `ca`: {type(error).__name__}: {error}", suggestions=["CLEVERAGENTS_DEBUG=1 shows where"]
    )
