"""Named places where the crash tests end a process, as a power cut would: no clean-up runs.

`CLEVERAGENTS_CRASH_AT=name` dies at the first pass of that place, `name:3` at the third. Every commit is passed before it
and after it under the name of each event in it, so whatever becomes durable has its two places without being told; a commit
without events is `quiet`.
"""

import os
import signal
from collections import Counter
from collections.abc import Sequence

import msgspec

from store.records import Event

_wanted = os.environ.get("CLEVERAGENTS_CRASH_AT", "")
_passes: Counter[str] = Counter()


def reach(name: str) -> None:
    """Say that `name` was reached; costs one comparison when no test asked."""
    if not _wanted:
        return
    _passes[name] += 1
    if _wanted in {name, f"{name}:{_passes[name]}"}:
        os.kill(os.getpid(), signal.SIGKILL)


def around_commit(when: str, events: Sequence[Event]) -> None:
    """Say that these events are about to become durable (`before`), or are (`after`)."""
    if not _wanted:
        return
    for name in map(_name, events) if events else ["quiet"]:
        reach(f"{when}:{name}")


def _name(event: Event) -> str:
    """`plan.moved execute/queued>execute/processing`, `step.finished failed`, or the kind alone."""
    detail = msgspec.json.decode(event.detail_json)
    if "from" in detail:
        return f"{event.kind} {detail['from']}>{detail['to']}"
    return f"{event.kind} {detail['state']}" if "state" in detail else event.kind
