"""What a program reads of a command of `ca` that became a process of ours and was refused: the envelope of every command."""

import time

from store import errors


def refused(command: str, error: errors.CleverAgentsError, began: float) -> dict[str, object]:
    """The document of an error; `began` is when the command did, on the monotonic clock."""
    return {
        "schema": 1,
        "command": command,
        "status": "error",
        "exit_code": error.exit_code,
        "error": body(error),
        "messages": [],
        "timing": {"duration_ms": round((time.monotonic() - began) * 1000)},
    }


def body(error: errors.CleverAgentsError) -> dict[str, object]:
    """The error itself."""
    return {
        "code": error.code,
        "message": error.message,
        "detail": error.detail,
        "suggestions": error.suggestions,
    }
