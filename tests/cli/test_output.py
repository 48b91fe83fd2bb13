"""What a result, an error and a state look like: the envelope, the formats, tables that fit, words."""

import io
import json
from collections.abc import Iterable
from typing import Any, TextIO

import msgspec
import pytest
from ruamel.yaml import YAML

from cleveragents_tui import output, wording
from cleveragents_tui.cli import children_text
from cleveragents_tui.cli.progress import block_lines
from cleveragents_tui.cli.tables import Cell, Column, pairs, table
from cleveragents_tui.output import ErrorBody, Look, Output, Result
from cleveragents_tui.wording import Mood, Tone
from daemon import views
from store import errors

NOW = wording.seconds("2026-03-01T12:00:00.000Z")


class Terminal(io.TextIOWrapper):
    """A stream in memory that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def stream(*, terminal: bool = False, encoding: str = "utf-8") -> io.TextIOWrapper:
    output.prepare_streams()
    made = Terminal if terminal else io.TextIOWrapper
    return made(io.BytesIO(), encoding=encoding, errors="ca", write_through=True)


def written(out: TextIO) -> bytes:
    out.flush()
    assert isinstance(out.buffer, io.BytesIO)
    return out.buffer.getvalue()


def make(environ: dict[str, str] | None = None, **kind: Any) -> Output:
    return Output(environ or {}, stream(**kind), stream(**kind), now=NOW)


def text(out: Output) -> str:
    return written(out.stdout).decode()


def said(out: Output) -> str:
    return written(out.stderr).decode()


def greet(data: dict[str, str], look: Look) -> Iterable[str]:
    yield look.paint(f"hello {data['who']}", Tone.DONE)


def plan(**changes: Any) -> views.PlanView:
    """A plan as the daemon shows it."""
    values: dict[str, Any] = {
        "plan_id": "01JDAAAAAAAAAAAAAAAAAAAAAA", "name": "fix-types", "action": "local/annotate", "projects": ["local/web"],
        "phase": "execute", "state": "complete", "terminal": False, "recoverable": False,
        "automation_profile": "supervised", "profile_source": "default", "arguments": {}, "priority": 0,
        "parent_plan_id": None, "root_plan_id": "01JDAAAAAAAAAAAAAAAAAAAAAA", "depth": 0, "subplan": None,
        "base": {"local/web": "4f1c2d9" + "0" * 33}, "sandboxes": [], "steps": [],
        "children": views.ChildrenView(0, 0, 0, 0, 0, 0, 0), "diff": None, "applied": None, "error": None,
        "reversions": 0, "job_id": "01JDBBBBBBBBBBBBBBBBBBBBBB", "revision": 1,
        "created_at": "2026-03-01T11:00:00.000Z", "updated_at": "2026-03-01T11:59:46.000Z",
        "started_at": "2026-03-01T11:00:00.000Z", "finished_at": None, "next": ["ca plan diff fix-types"],
    }  # fmt: skip
    return views.PlanView(**{**values, **changes})


def step(name: str, state: str, **changes: Any) -> views.StepView:
    values: dict[str, Any] = {
        "id": name, "title": name, "kind": "run", "state": state, "attempt": 1, "exit_code": None,
        "started_at": "2026-03-01T11:59:46.000Z", "finished_at": None, "log": None, "children": None,
    }  # fmt: skip
    return views.StepView(**{**values, **changes})


def test_a_result_is_one_envelope_with_every_key() -> None:
    """Programs get exactly one document with the keys of the specification."""
    out = make()
    out.choose("json")

    code = out.finish("plan show", Result({"who": "you"}, greet, messages=["b"]), ["a"], 3)

    assert code == 0
    assert json.loads(text(out)) == {
        "schema": 1, "command": "plan show", "status": "ok", "exit_code": 0, "data": {"who": "you"},
        "messages": ["a", "b"], "timing": {"duration_ms": 3},
    }  # fmt: skip
    assert text(out).count("\n") == 1
    assert not said(out)


def test_an_error_is_an_envelope_too() -> None:
    """An error has its code, detail and suggestions on stdout, and nothing on stderr."""
    out = make()
    out.choose("json")

    code = out.fail(
        "plan show", errors.NotFoundError("no plan", detail={"plan": "x"}, suggestions=["ca plan list"]), [], 2
    )

    assert code == 3
    assert json.loads(text(out)) == {
        "schema": 1, "command": "plan show", "status": "error", "exit_code": 3,
        "error": {"code": "not_found", "message": "no plan", "detail": {"plan": "x"}, "suggestions": ["ca plan list"]},
        "messages": [], "timing": {"duration_ms": 2},
    }  # fmt: skip
    assert not said(out)


def test_yaml_is_the_same_document() -> None:
    """YAML has the keys, the values and the order of JSON."""
    documents: list[Any] = []
    for form in ("json", "yaml"):
        out = make()
        out.choose(form)
        out.finish("x", Result({"b": ["1", None, True], "a": "line\nline\n"}, None), [], 1)
        documents.append(YAML(typ="safe").load(text(out)))  # pyright: ignore[reportUnknownMemberType]

    assert documents[0] == documents[1]
    assert list(documents[1]["data"]) == ["b", "a"]


def test_people_get_lines_on_stdout_and_talk_on_stderr() -> None:
    """Data goes to stdout, messages beside it to stderr."""
    out = make()

    out.finish("x", Result({"who": "you"}, greet), ["by the way"], 1)

    assert (text(out), said(out)) == ("hello you\n", "by the way\n")


def test_a_wait_that_ended_badly_is_text_on_stderr_and_an_error_for_programs() -> None:
    """The exit code is that of the wait, whatever the error's own would be."""
    failed = Result({"who": "plan"}, greet, exit_code=124, error=ErrorBody("timed_out", "too late", {}, []))
    people, programs = make(), make()
    programs.choose("json")

    assert people.finish("plan wait", failed, [], 1) == 124
    assert programs.finish("plan wait", failed, [], 1) == 124
    assert (text(people), said(people)) == ("", "hello plan\n")
    assert json.loads(text(programs))["error"]["code"] == "timed_out"


def test_an_error_for_people_has_its_suggestions_below() -> None:
    """`✘`, the message, and what helps."""
    out = make()

    out.fail("x", errors.UsageError("wrong\nsecond line", suggestions=["ca --help"]), [], 1)

    assert said(out) == "✘ wrong\n  second line\n  → ca --help\n"


@pytest.mark.parametrize(
    ("environ", "terminal", "form", "coloured"),
    [
        ({}, True, "auto", True),
        ({}, False, "auto", False),
        ({}, False, "rich", True),
        ({}, True, "plain", False),
        ({"NO_COLOR": "1"}, True, "auto", False),
        ({"TERM": "dumb"}, True, "auto", False),
    ],
)
def test_colour_is_for_terminals_that_want_it(
    environ: dict[str, str], *, terminal: bool, form: str, coloured: bool
) -> None:
    """NO_COLOR, a dumb terminal, a pipe and `plain` have none; `rich` forces it."""
    out = make(environ, terminal=terminal)
    out.choose(form)

    assert out.look.colour is coloured


def test_an_encoding_without_our_signs_gets_ascii() -> None:
    """Signs have stand-ins, other letters become `?`, bytes that were escaped come out as they were."""
    out = make(encoding="ascii")

    out.say(["✔ done → ü \udcff"])

    assert written(out.stdout) == b"+ done -> ? \xff\n"


def test_json_survives_what_is_not_utf_8() -> None:
    r"""Arguments that are not UTF-8 are shown with `\xNN`."""
    out = make()
    out.choose("json")

    out.fail("x", errors.NotFoundError("no plan '\udcff'", detail={"plan": "\udcff"}), [], 1)

    assert json.loads(text(out))["error"]["detail"] == {"plan": "\\xff"}


def test_a_stream_of_lines_is_not_followed_by_an_envelope() -> None:
    """Ctrl-C after `--follow` adds nothing to the documents that were printed."""
    out = make()
    out.choose("json")
    out.line({"seq": 1})

    assert out.interrupted("events", [], 1) == 130
    assert text(out) == '{"seq":1}\n'


def test_interrupted_is_an_envelope_when_nothing_was_printed() -> None:
    """Programs get a document also when Ctrl-C ended the command."""
    out = make()
    out.choose("json")

    assert out.interrupted("plan wait", [], 1) == 130
    assert json.loads(text(out))["exit_code"] == 130


LAYOUT = (
    Column("PLAN", minimum=6),
    Column("STATE"),
    Column("NOTE", minimum=6, drop=1),
    Column("AGE", right=True, drop=2),
)
ROWS = [["modernise-everything", "execute complete", "12 files changed", "3 h"], ["b", "queued", "", "40 s"]]


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_tables_fit_the_terminal(width: int) -> None:
    """No line is wider than the terminal, and the first two columns are always there."""
    lines = list(table(Look(width=width), LAYOUT, ROWS))

    assert all(wording.columns(line) <= width for line in lines)
    assert all("execute complete" in line for line in lines[1:2])


def test_columns_are_aligned_and_empty_ones_left_out() -> None:
    """Numbers stand to the right; a column without content takes no place."""
    lines = list(table(Look(), (Column("A"), Column("B"), Column("N", right=True)), [["x", "", "1"], ["yy", "", "22"]]))

    assert lines == ["A    N", "x    1", "yy  22"]


def test_wide_letters_are_counted_as_wide() -> None:
    """A Chinese name does not push the next column."""
    lines = list(table(Look(), (Column("A"), Column("B")), [["日本", "x"], ["abcd", "y"]]))

    assert lines[1:] == ["日本  x", "abcd  y"]


def test_pairs_leave_out_what_has_no_value() -> None:
    """Labels are aligned, empty values have no line."""
    assert list(pairs(Look(), [("id", "1"), ("gone", ""), ("longer", Cell("2"))])) == ["  id      1", "  longer  2"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 ms"),
        (0.04, "40 ms"),
        (0.2, "0.2 s"),
        (12.4, "12 s"),
        (59.6, "1 m"),
        (100, "1 m 40 s"),
        (11_100, "3 h 5 m"),
        (180_000, "2 d 2 h"),
    ],
)
def test_durations_in_words(seconds: float, shown: str) -> None:
    """Two units at most, and the small ones only while they matter."""
    assert wording.duration(seconds) == shown


@pytest.mark.parametrize(
    ("then", "shown"),
    [
        ("2026-03-01T12:00:00.000Z", "now"),
        ("2026-03-01T11:59:20.000Z", "40 s"),
        ("2026-03-01T11:40:00.000Z", "20 m"),
        ("2026-03-01T09:00:00.000Z", "3 h"),
        ("2026-02-20T09:00:00.000Z", "9 d"),
        ("2025-03-01T09:00:00.000Z", "2025-03-01"),
    ],
)
def test_ages_in_words(then: str, shown: str) -> None:
    """One unit, and the date when it is long ago."""
    assert wording.age(then, NOW) == shown


@pytest.mark.parametrize(("bytes_", "shown"), [(0, "0 B"), (812, "812 B"), (1200, "1.2 KiB"), (34 << 20, "34 MiB")])
def test_sizes_in_words(bytes_: int, shown: str) -> None:
    """Binary units, one digit after the point while it is small."""
    assert wording.size(bytes_) == shown


def test_clock_counts_up() -> None:
    """Minutes and seconds, hours when there are some."""
    assert (wording.clock(14), wording.clock(3723)) == ("00:14", "1:02:03")


@pytest.mark.parametrize(
    ("changes", "mood", "position"),
    [
        ({"state": "complete"}, Mood.NEEDS_YOU, "execute complete"),
        ({"state": "complete", "parent_plan_id": "x"}, Mood.DONE, "execute complete"),
        ({"phase": "strategize", "state": "queued"}, Mood.QUEUED, "strategize queued"),
        ({"phase": "strategize", "state": "queued", "job_id": None}, Mood.NEEDS_YOU, "strategize waiting"),
        ({"state": "processing"}, Mood.RUNNING, "execute processing"),
        ({"state": "errored"}, Mood.FAILED, "execute errored"),
        ({"phase": "apply", "state": "constrained"}, Mood.FAILED, "apply constrained"),
        ({"phase": "apply", "state": "applied"}, Mood.DONE, "apply applied"),
        ({"state": "cancelled"}, Mood.CANCELLED, "execute cancelled"),
    ],
)
def test_what_a_position_means(changes: dict[str, Any], mood: Mood, position: str) -> None:
    """A plan that waits for a verb needs you; a child that is complete does not."""
    shown = plan(**changes)

    assert (wording.plan_mood(shown), wording.position(shown)) == (mood, position)


def test_notes_say_the_one_thing_worth_knowing() -> None:
    """The change, the step to blame, or how far it is."""
    changed = plan(diff=views.DiffStatView("d" * 64, 12, 240, 85))
    failed = plan(state="errored", error=views.ErrorView("step_failed", "exit 1\nmore", "test", {}))
    running = plan(state="processing", steps=[step("a", "succeeded"), step("b", "running")])

    assert wording.plan_note(changed, NOW) == "12 files " + wording.signed(240, 85)
    assert wording.plan_note(failed, NOW) == "step test: exit 1"
    assert wording.plan_note(running, NOW) == "1/2 b 00:14"


def test_what_programs_print_cannot_play_with_the_terminal() -> None:
    """Colours, cursor moves, titles and bells go; a redrawn line is what it was last."""
    assert wording.plain("\x1b[31mred\x1b[0m \x1b]0;title\x07\x07x") == "red x"
    assert wording.plain("10%\r50%\r100%\r") == "100%"


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_live_block_fits_every_terminal(width: int) -> None:
    """A line that wrapped would spoil the next picture."""
    steps = [step("first", "succeeded", finished_at="2026-03-01T11:59:50.000Z"), step("second", "running")]
    lines = block_lines(plan(state="processing", steps=steps), Look(width=width, now=NOW), room=10)

    assert all(wording.columns(line) <= width for line in lines)
    assert any("1/2" in line for line in lines)
    assert any("00:14" in line for line in lines)


def test_the_live_block_of_many_steps_shows_those_around_the_running_one() -> None:
    """A hundred steps do not push the running one off the screen."""
    steps = [step(f"s{n}", "succeeded" if n < 50 else "running" if n == 50 else "pending") for n in range(100)]
    lines = block_lines(plan(state="processing", steps=steps), Look(width=80, now=NOW), room=10)

    assert len(lines) == 13
    assert any("▶ s50" in line for line in lines)


# --- children ------------------------------------------------------------------------------------------------------------


def child(number: int, state: str = "processing", **changes: Any) -> views.PlanView:
    place = views.SubplanView(
        step="packages", item=f"src/package{number}", position=number, needs=[], paths=[], starts=1, left_out=False,
        integrated_at=None,
    )  # fmt: skip
    steps = [step("tidy", "running")] if state == "processing" else []
    return plan(name=f"fix-types.{number}", parent_plan_id="p", state=state, subplan=place, steps=steps, **changes)


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("room", [4, 10, 40])
def test_the_live_block_shows_as_many_running_children_as_fit(width: int, room: int) -> None:
    """The others are counted, and the steps are still there; on a very low terminal the numbers have to do."""
    counts = views.StepChildrenView(60, 20, 30, 9, 0, 1, 0, integrated=7)
    steps = [step("fix", "succeeded", finished_at="2026-03-01T11:59:50.000Z"), step("last", "pending")]
    steps.insert(1, step("packages", "running", kind="subplans", children=counts))
    running = [child(number) for number in range(min(30, room - 3))]

    lines = block_lines(plan(state="processing", steps=steps), Look(width=width, now=NOW), room, running)

    assert all(wording.columns(line) <= width for line in lines)
    assert len(lines) <= 3 + room
    counted = "9/60 ▶30 ✘1" if width < 60 else "━━━╺──────────────── 9/60 · 30 running · 1 failed"
    (step_line,) = [line for line in lines if counted in line]
    assert lines[-1].strip().startswith("◌ last")
    shown = [line for line in lines if "▶ src/package" in line]
    assert len(shown) == {4: 0, 10: 6, 40: 30}[room]
    assert all("tidy" in line and "00:14" in line for line in shown)
    more = ["      and 24 more running"] if room == 10 else []
    assert lines[lines.index(step_line) + 1 : -1] == shown + more


def node(number: int, state: str) -> views.PlanTreeView:
    return views.PlanTreeView(f"id{number}", f"p.{number}", f"item{number}", "execute", state, [], [])


def test_a_tree_of_a_thousand_children_does_not_flood() -> None:
    """The first ones, some of those that failed wherever they stand, and how many there are beside."""
    children = [node(number, "errored" if number in {700, 900} else "complete") for number in range(1000)]
    spawned = [decision(f"d{number}", "subplan_spawn", "d") for number in range(1000)]
    top = views.PlanTreeView(
        "id", "p", None, "execute", "errored", [decision("d", "prompt_definition", None)], children
    )

    few = list(children_text.tree(msgspec.structs.replace(top, children=children[:20]), Look(now=NOW)))
    many = list(children_text.tree(top, Look(now=NOW)))
    old = list(children_text.tree(msgspec.structs.replace(top, decisions=[*top.decisions, *spawned]), Look(now=NOW)))

    assert len([line for line in few if "✔ item" in line]) == 20
    assert "more" not in few[-1]
    assert len([line for line in many if "item" in line]) == 20
    assert [line.split()[2] for line in many if "✘" in line] == ["item700", "item900"]
    assert "980 more: ca plan list --children --all" in many[-1]
    assert old == many


def decision(identity: str, kind: str, parent: str | None) -> views.DecisionView:
    return views.DecisionView(identity, parent, kind, "what", "this", "", False, "id", "2026-03-01T11:00:00.000Z")  # noqa: FBT003  its place
