"""Phases, states, and every move between them: the tables of the life cycle, as data.

A move that is in none of the tables does not exist. Who makes a move, and when, is decided in `daemon.lifecycle`.
"""

import enum
from collections.abc import Mapping
from typing import NamedTuple


class Phase(enum.StrEnum):
    """Which part of its way a plan is on."""

    STRATEGIZE = "strategize"  # read-only: steps and children are decided
    EXECUTE = "execute"  # the steps run in the sandbox
    APPLY = "apply"  # the reviewed change enters the project


class State(enum.StrEnum):
    """Where a plan stands in its phase."""

    QUEUED = "queued"  # a job is durable and no worker has it; under `manual` there may be no job yet
    PROCESSING = "processing"  # exactly one job works on it and holds the plan's lock
    COMPLETE = "complete"  # the phase's work is done and durable
    ERRORED = "errored"  # the phase failed; `error` says why and what to do
    CANCELLED = "cancelled"  # terminal: somebody asked to stop
    CONSTRAINED = "constrained"  # Apply found a conflict or a failed check; the project is untouched
    APPLIED = "applied"  # terminal: the change is in the project


class Position(NamedTuple):
    """A phase and a state: where a plan is."""

    phase: Phase
    state: State

    def __str__(self) -> str:
        return f"{self.phase}/{self.state}"


_S, _E, _A = Phase.STRATEGIZE, Phase.EXECUTE, Phase.APPLY

STATES: Mapping[Phase, frozenset[State]] = {
    _S: frozenset({State.QUEUED, State.PROCESSING, State.COMPLETE, State.ERRORED, State.CANCELLED}),
    _E: frozenset({State.QUEUED, State.PROCESSING, State.COMPLETE, State.ERRORED, State.CANCELLED}),
    _A: frozenset(set(State) - {State.COMPLETE}),
}

START = Position(_S, State.QUEUED)
TERMINAL: frozenset[State] = frozenset({State.APPLIED, State.CANCELLED})
RECOVERABLE: frozenset[State] = frozenset({State.ERRORED, State.CONSTRAINED})

_WITHIN_ANY_PHASE: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.PROCESSING, State.CANCELLED}),
    State.PROCESSING: frozenset({State.COMPLETE, State.ERRORED, State.QUEUED, State.CANCELLED}),
    State.COMPLETE: frozenset({State.CANCELLED}),
    State.ERRORED: frozenset({State.CANCELLED}),
}

_ACROSS: dict[Position, frozenset[Position]] = {
    Position(_S, State.COMPLETE): frozenset({Position(_E, State.QUEUED)}),
    Position(_S, State.ERRORED): frozenset({Position(_S, State.QUEUED)}),
    Position(_E, State.COMPLETE): frozenset({Position(_A, State.QUEUED)}),
    Position(_E, State.ERRORED): frozenset({Position(_E, State.QUEUED)}),
    Position(_A, State.PROCESSING): frozenset({Position(_A, State.APPLIED), Position(_A, State.CONSTRAINED)}),
    Position(_A, State.ERRORED): frozenset({Position(_A, State.QUEUED)}),
    Position(_A, State.CONSTRAINED): frozenset({Position(_A, State.QUEUED), Position(_A, State.CANCELLED)}),
}


def _forward_moves() -> dict[Position, frozenset[Position]]:
    moves: dict[Position, frozenset[Position]] = {}
    for phase, states in STATES.items():
        for state in states:
            here = Position(phase, state)
            within = {Position(phase, target) for target in _WITHIN_ANY_PHASE.get(state, frozenset()) & states}
            moves[here] = frozenset(within) | _ACROSS.get(here, frozenset())
    return moves


FORWARD: Mapping[Position, frozenset[Position]] = _forward_moves()
"""From each position, those that lie ahead: work, its end, its cancellation, its retry."""

REVERSIONS: Mapping[Position, frozenset[Position]] = {
    Position(_S, State.ERRORED): frozenset({START}),
    Position(_E, State.COMPLETE): frozenset({START}),
    Position(_E, State.ERRORED): frozenset({START}),
    Position(_A, State.ERRORED): frozenset({START}),
    Position(_A, State.CONSTRAINED): frozenset({START}),
    Position(_A, State.APPLIED): frozenset({Position(_E, State.COMPLETE)}),
}
"""From each position, those that lie behind: `plan revert`, and `plan undo` as the one way out of `applied`."""


class AsyncJobStatus(enum.StrEnum):
    """Where a job stands."""

    QUEUED = "queued"  # durable, no worker has it
    RUNNING = "running"  # exactly one live worker holds its fence
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


VALID_JOB_TRANSITIONS: Mapping[AsyncJobStatus, frozenset[AsyncJobStatus]] = {
    AsyncJobStatus.QUEUED: frozenset({AsyncJobStatus.RUNNING, AsyncJobStatus.CANCELLED}),
    AsyncJobStatus.RUNNING: frozenset(
        {AsyncJobStatus.SUCCEEDED, AsyncJobStatus.FAILED, AsyncJobStatus.CANCELLED, AsyncJobStatus.QUEUED}
    ),
    AsyncJobStatus.SUCCEEDED: frozenset(),
    AsyncJobStatus.FAILED: frozenset(),
    AsyncJobStatus.CANCELLED: frozenset(),
}


class StepState(enum.StrEnum):
    """Where a step of Execute stands."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    LOST = "lost"  # its process ended and nobody saw how
