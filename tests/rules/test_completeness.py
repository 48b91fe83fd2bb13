"""Nothing is half there: requests, error codes, configuration keys and crash points against their counterparts."""

import inspect
import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from daemon import listener, main, protocol
from store import errors, states
from store.config import KEYS
from tests.crashes import scenarios

ROOT = Path(__file__).parents[2]
PACKAGES = ("cleveragents_tui", "daemon", "store")
REQUESTS = get_args(protocol.AnyRequest)
CODES = frozenset({
    "not_found", "ambiguous", "usage", "invalid_action", "invalid_argument", "invalid_config", "invalid_transition",
    "lock_conflict", "lock_lost", "invalid_ttl", "already_running", "change_moved", "merge_conflict",
    "nothing_to_apply", "checks_failed", "step_failed", "timed_out", "lost", "cancelled", "daemon_unavailable",
    "protocol_error", "store_damaged", "unreachable", "unauthorized", "forbidden", "version_mismatch", "tls",
    "sync_conflict", "disk_full", "permission_denied", "internal", "payload_version", "stuck",
})  # fmt: skip
"""The codes that scripts may meet: a fixed vocabulary."""
EXIT_CODES = {"not_found": 3, "usage": 2, "lock_conflict": 4, "invalid_transition": 4, "already_running": 4,
              "merge_conflict": 4, "change_moved": 4, "daemon_unavailable": 5, "cancelled": 6}  # fmt: skip


def sources(*packages: str) -> dict[Path, str]:
    return {path: path.read_text() for package in packages for path in sorted((ROOT / package).rglob("*.py"))}


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: request.__name__)
def test_every_request_has_a_handler(request_: type) -> None:
    if request_ is protocol.Subscribe:
        assert "protocol.Subscribe" in inspect.getsource(listener.Connection)
    else:
        assert request_ in main.HANDLERS


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: request.__name__)
def test_every_request_is_sent_by_a_command(request_: type) -> None:
    """What nobody asks for is not offered."""
    users = [path for path, text in sources("cleveragents_tui").items() if f"protocol.{request_.__name__}(" in text]

    assert users != [] or request_ is protocol.Ping


def test_every_handler_is_for_a_request() -> None:
    assert set(main.HANDLERS) <= set(REQUESTS)


def test_every_request_says_what_it_is_and_what_comes_back() -> None:
    for request in REQUESTS:
        assert request.__doc__
        assert getattr(request, "__orig_bases__")[0].__origin__ is protocol.Request  # noqa: B009  only typing knows it


def test_tags_are_unique_and_fields_are_strict() -> None:
    tags = [request.__struct_config__.tag for request in REQUESTS]

    assert len(tags) == len(set(tags))
    for message in [*REQUESTS, protocol.Hello, protocol.Ask, protocol.Reply, protocol.Failure, protocol.Notice]:
        config: msgspec.structs.StructConfig = message.__struct_config__
        assert config.forbid_unknown_fields
        assert config.frozen


def all_errors() -> list[type[errors.CleverAgentsError]]:
    found = [errors.CleverAgentsError]
    for one in found:
        found += one.__subclasses__()
    return found


@pytest.mark.parametrize("error", all_errors(), ids=lambda error: error.__name__)
def test_every_error_has_a_code_of_the_vocabulary(error: type[errors.CleverAgentsError]) -> None:
    assert error.code in CODES
    assert error.exit_code in {1, 2, 3, 4, 5, 6}
    assert error.exit_code == EXIT_CODES.get(error.code, error.exit_code)


def test_a_code_leads_back_to_its_error() -> None:
    for code, cls in errors.BY_CODE.items():
        error = errors.from_code(code, "m", {"a": 1}, ["s"])
        assert type(error) is cls
        assert (error.code, error.message, error.detail, error.suggestions) == (code, "m", {"a": 1}, ["s"])


def test_an_unknown_code_is_shown_as_it_is() -> None:
    error = errors.from_code("brand_new", "m", {}, [])

    assert error.code == "internal"
    assert "brand_new" in error.message


def test_every_error_is_raised_somewhere() -> None:
    """A code that nothing produces is a promise that nobody keeps."""
    text = "\n".join(content for path, content in sources(*PACKAGES).items() if path.name != "errors.py")
    text += (ROOT / "store" / "errors.py").read_text().partition("def _descendants")[2]
    unused = [
        error.__name__
        for error in all_errors()
        if error.__module__ == "store.errors"
        and not re.search(rf"\b{error.__name__}\b", text)
        and error is not errors.CleverAgentsError
    ]

    assert unused == []


@pytest.mark.parametrize("key", KEYS)
def test_every_configuration_key_is_read(key: str) -> None:
    """A key that nothing reads is a setting without effect."""
    readers = [
        path for path, text in sources("cleveragents_tui", "daemon").items() if re.search(rf'"{re.escape(key)}"', text)
    ]

    assert readers != []


def crash_points() -> set[str]:
    return {
        name for text in sources(*PACKAGES).values() for name in re.findall(r'crashpoints\.reach\("([a-z.-]+)"\)', text)
    }


@pytest.mark.parametrize("point", sorted(crash_points()))
def test_every_crash_point_is_used_by_a_test(point: str) -> None:
    tests = "\n".join(text for path, text in sources("tests").items() if path != Path(__file__))
    prefix = point.partition("-")[0]

    assert point in tests or f"{prefix}-{{" in tests or "store.{when}-commit" in tests


def event_kinds() -> set[str]:
    """Every kind of event that the program appends, as it is written in the sources."""
    text = "\n".join(sources("daemon", "store").values())
    kinds = set(re.findall(r'(?:\.event|_note|\btell)\(\s*(?:tx,\s*)?(?:row,\s*)?f?"([a-z{][a-z._{}-]+)"', text))
    assert all("{" not in kind for kind in kinds - {"job.{status}"})
    ends = {f"job.{status}" for status in states.VALID_JOB_TRANSITIONS[states.AsyncJobStatus.RUNNING]}
    return kinds - {"job.{status}"} | ends


def test_a_daemon_is_killed_at_the_commit_of_every_kind_of_event() -> None:
    assert event_kinds() == {*scenarios.KINDS, "plan.moved", "step.finished"}


def test_a_daemon_is_killed_at_every_move_of_a_plan() -> None:
    moves = {
        f"{here}>{target}"
        for table in (states.FORWARD, states.REVERSIONS)
        for here, targets in table.items()
        for target in targets
    }

    assert set(scenarios.MOVES) == moves


def test_a_daemon_is_killed_at_every_move_of_a_job() -> None:
    moves = {f"{here}>{target}" for here, targets in states.VALID_JOB_TRANSITIONS.items() for target in targets}

    assert set(scenarios.JOB_MOVES) == moves
    assert set(scenarios.JOB_MOVES.values()) <= set(scenarios.MOVES)


def test_a_daemon_is_killed_at_every_end_of_a_step() -> None:
    without_event = {states.StepState.RUNNING, states.StepState.SKIPPED}  # it starts with another event; it never ran

    assert set(scenarios.STEP_ENDS) == set(states.StepState) - without_event


def test_every_error_code_in_the_source_is_of_the_vocabulary() -> None:
    """Codes that are written as text, not as a class."""
    found = {
        code
        for text in sources(*PACKAGES).values()
        for code in re.findall(r'\bcode(?:=|: ClassVar\[str\] = |\s==\s)"([a-z_]+)"', text)
    }

    assert found <= CODES


def test_every_position_is_reachable_and_leads_somewhere() -> None:
    """From the start every phase and state can be reached, and only the terminal ones have no move ahead."""
    reached, todo = {states.START}, [states.START]
    while todo:
        here = todo.pop()
        for target in states.FORWARD.get(here, frozenset()) | states.REVERSIONS.get(here, frozenset()):
            if target not in reached:
                reached.add(target)
                todo.append(target)
    every = {states.Position(phase, state) for phase, some in states.STATES.items() for state in some}

    assert reached == every
    assert {here.state for here in every if not states.FORWARD[here]} == states.TERMINAL


def test_the_tables_of_moves_are_those_of_the_contract() -> None:
    """Written out once more, independent of how the program builds them."""
    wanted: dict[str, set[str]] = {
        "strategize/queued": {"strategize/processing", "strategize/cancelled"},
        "strategize/processing": {
            "strategize/complete", "strategize/errored", "strategize/queued", "strategize/cancelled",
        },
        "strategize/complete": {"execute/queued", "strategize/cancelled"},
        "strategize/errored": {"strategize/queued", "strategize/cancelled"},
        "strategize/cancelled": set(),
        "execute/queued": {"execute/processing", "execute/cancelled"},
        "execute/processing": {"execute/complete", "execute/errored", "execute/queued", "execute/cancelled"},
        "execute/complete": {"apply/queued", "execute/cancelled"},
        "execute/errored": {"execute/queued", "execute/cancelled"},
        "execute/cancelled": set(),
        "apply/queued": {"apply/processing", "apply/cancelled"},
        "apply/processing": {
            "apply/applied", "apply/constrained", "apply/errored", "apply/queued", "apply/cancelled",
        },
        "apply/errored": {"apply/queued", "apply/cancelled"},
        "apply/constrained": {"apply/queued", "apply/cancelled"},
        "apply/applied": set(),
        "apply/cancelled": set(),
    }  # fmt: skip
    back: dict[str, set[str]] = {
        "strategize/errored": {"strategize/queued"},
        "execute/complete": {"strategize/queued"},
        "execute/errored": {"strategize/queued"},
        "apply/errored": {"strategize/queued"},
        "apply/constrained": {"strategize/queued"},
        "apply/applied": {"execute/complete"},
    }

    assert {str(here): set(map(str, targets)) for here, targets in states.FORWARD.items()} == wanted
    assert {str(here): set(map(str, targets)) for here, targets in states.REVERSIONS.items()} == back
