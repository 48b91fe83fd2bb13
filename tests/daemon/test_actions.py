"""Action files: what is read, what is refused and where, and that a value never becomes a command."""

import json
import subprocess
import tempfile
import textwrap
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from daemon import actions
from store import errors

MODERNISE = """\
name: modernise
description: Bring every package to the current lint rules
definition_of_done: ruff reports nothing
strategy_actor: builtin/steps        # default; or a registered actor
execution_actor: builtin/shell       # default; what a `prompt` step is given to
automation_profile: supervised       # optional
read_only: false                     # true: Execute may not change files; a change is an error
reusable: true                       # false: the action is archived after its first plan
arguments:
  - {name: rules, type: string, default: "UP,I", description: rule set}
  - {name: target, type: path, required: true}
invariants:
  - never edit generated files
sandbox:
  include: [".env", "config/local.toml"]   # ignored files that the steps need; copied in, never applied back
  setup: python -m venv .venv
env: {PYTHONUTF8: "1"}
steps:
  - id: fix
    run: ruff check --select {rules} --fix {target}
    timeout: 10m
  - id: packages
    needs: [fix]
    subplans:
      action: local/modernise-one
      for_each: {glob: "src/*/"}          # or a list, or {run: "command printing one item a line"}
      arguments: {target: "{item}"}
      mode: parallel                      # sequential | parallel | dependency_ordered
      max_parallel: 7                     # 1..50
      fail_fast: false
      merge: git_three_way                # sequential_apply | fail_on_conflict | last_wins
      retries: 2
      timeout: 30m
  - id: explain
    needs: [packages]
    prompt: Write a changelog entry for this change.     # handed to execution_actor
checks:                                   # run on the merged result; a failure makes apply constrained
  - run: ruff check {target}
"""


def parse(text: str | bytes) -> actions.Action:
    return actions.parse(textwrap.dedent(text) if isinstance(text, str) else text, source="tidy.yaml")


def with_steps(steps: str, arguments: str = "[{name: target, type: path}, {name: rules}]") -> actions.Action:
    return parse(f"name: tidy\narguments: {arguments}\nsteps:\n" + textwrap.indent(textwrap.dedent(steps), "  "))


def refused(text: str | bytes) -> errors.InvalidActionError:
    with pytest.raises(errors.InvalidActionError) as caught:
        parse(text)
    return caught.value


def test_the_example_of_the_manual_is_read_with_every_key() -> None:
    action = parse(MODERNISE)

    assert action == actions.Action(
        name="local/modernise",
        description="Bring every package to the current lint rules",
        definition_of_done="ruff reports nothing",
        automation_profile="supervised",
        arguments=[
            actions.Argument(name="rules", default="UP,I", description="rule set"),
            actions.Argument(name="target", type="path", required=True),
        ],
        invariants=["never edit generated files"],
        sandbox=actions.SandboxSpec(include=[".env", "config/local.toml"], setup="python -m venv .venv"),
        env={"PYTHONUTF8": "1"},
        steps=[
            actions.StepSpec(
                id="fix", title="fix", kind="run", run="ruff check --select {rules} --fix {target}", timeout=600
            ),
            actions.StepSpec(
                id="packages",
                title="packages",
                kind="subplans",
                needs=["fix"],
                subplans=actions.SubplansSpec(
                    action="local/modernise-one",
                    for_each=actions.ForEach(glob="src/*/"),
                    arguments={"target": "{item}"},
                    max_parallel=7,
                    retries=2,
                    timeout=1_800,
                ),
            ),
            actions.StepSpec(
                id="explain",
                title="explain",
                kind="prompt",
                needs=["packages"],
                prompt="Write a changelog entry for this change.",
            ),
        ],
        checks=[actions.CheckSpec(run="ruff check {target}", name="check 1")],
    )


def test_an_action_survives_json_and_msgpack() -> None:
    action = parse(MODERNISE)

    assert msgspec.json.decode(msgspec.json.encode(action), type=actions.Action) == action
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(action), type=actions.Action) == action


def test_the_smallest_action_gets_the_defaults() -> None:
    action = parse("name: team/tidy\nsteps: [{id: a, run: 'true'}]")

    assert (action.name, action.strategy_actor, action.execution_actor) == (
        "team/tidy", "builtin/steps", "builtin/shell",
    )  # fmt: skip
    assert (action.automation_profile, action.read_only, action.reusable, action.shell) == (None, False, True, None)
    assert action.steps == [actions.StepSpec(id="a", title="a", kind="run", run="true")]


def test_a_strategy_actor_of_its_own_needs_no_steps() -> None:
    assert parse("name: a\nstrategy_actor: planner").strategy_actor == "local/planner"


def test_every_key_of_a_step_and_a_check_is_read() -> None:
    action = parse("""\
        name: a
        shell: bash
        steps:
          - {id: one, title: First, run: make, needs: [], timeout: 90, env: {A: b}, shell: dash, isolated: true,
             project: web, paths: [src, docs/], retries: 3}
        checks:
          - {run: make test, name: tests, timeout: 2h, env: {A: "1"}, shell: sh}
        """)

    assert action.shell == "bash"
    assert action.steps == [
        actions.StepSpec(
            id="one", title="First", kind="run", run="make", timeout=90, env={"A": "b"}, shell="dash", isolated=True,
            project="local/web", paths=["src", "docs/"], retries=3,
        )
    ]  # fmt: skip
    assert action.checks == [
        actions.CheckSpec(run="make test", name="tests", timeout=7_200, env={"A": "1"}, shell="sh")
    ]


def items_of(written: str) -> list[actions.Item] | None:
    action = with_steps(f"- {{id: a, subplans: {{action: b, mode: dependency_ordered, for_each: {written}}}}}")
    spec = action.steps[0].subplans
    assert spec is not None
    return spec.for_each.items


def test_the_items_of_a_list_are_read_as_they_are_written() -> None:
    assert items_of("[a, 1, 1.50, true]") == [actions.Item(item=text) for text in ("a", "1", "1.50", "true")]
    assert items_of("[{item: a}, {item: b, needs: [a]}]") == [
        actions.Item(item="a"), actions.Item(item="b", needs=["a"]),
    ]  # fmt: skip


ONE = "name: a\nsteps:\n  - id: one\n    run: make\n"
REFUSED: list[tuple[str, str, int | None, str | None, str]] = [
    ("an empty file", "", None, None, "the file is empty"),
    ("a comment only", "# nothing\n", None, None, "the file is empty"),
    ("a list", "- a\n- b\n", 1, None, "must be a mapping"),
    ("a text", "hello\n", 1, None, "must be a mapping"),
    ("a missing name", "description: x\n", 1, "name", "is missing"),
    ("an illegal name", "name: ../x\n", 1, "name", "did you mean 'x'"),
    ("an upper case name", "\nname: Tidy\n", 2, "name", "did you mean 'tidy'"),
    ("an unknown key", "name: a\nstep: []\n", 2, "step", "did you mean 'steps'"),
    ("a far unknown key", "name: a\nqqq: 1\n", 2, "qqq", "the keys here are name, description"),
    ("an unknown key of a step", ONE + "    timout: 3\n", 5, "steps[0].timout", "did you mean 'timeout'"),
    ("an unknown key of a check", ONE + "checks: [{rum: x}]\n", 5, "checks[0].rum", "did you mean 'run'"),
    ("an unknown key of the sandbox", ONE + "sandbox: {includes: []}\n", 5, "sandbox.includes", "'include'"),
    ("a duplicate key", "name: a\ndescription: x\nname: b\n", 3, "name", "the first is in line 1"),
    ("a duplicate nested key", ONE + "    run: x\n", 5, "run", "the first is in line 4"),
    ("a duplicate step id", ONE + "  - {id: one, run: x}\n", 5, "steps[1].id", "the step in line 3 too"),
    ("a missing dependency", ONE + "    needs: [on]\n", 5, "steps[0].needs", "did you mean 'one'"),
    ("a step that needs itself", ONE + "    needs: [one]\n", 5, "steps[0].needs", "one -> one"),
    (
        "a cycle",
        "name: a\nsteps:\n- {id: z, run: x, needs: [b]}\n- {id: b, run: x, needs: [c]}\n- {id: c, run: x, needs: [b]}",
        4, "steps[1].needs", "wait for each other: b -> c -> b",
    ),
    ("no steps", "name: a\nsteps: []\n", 2, "steps", "at least one step"),
    ("steps that are nothing", "name: a\nsteps:\n", 2, "steps", "must be a list, not nothing"),
    ("a step without an id", "name: a\nsteps: [{run: x}]\n", 2, "steps[0].id", "is missing"),
    ("an illegal step id", "name: a\nsteps: [{id: A b, run: x}]\n", 2, "steps[0].id", "cannot be the id"),
    ("a step that does nothing", "name: a\nsteps:\n  - id: x\n", 3, "steps[0].run", "one of run, prompt, subplans"),
    ("a step that does two things", ONE + "    prompt: x\n", 5, "steps[0].prompt", "not both run and prompt"),
    ("a number for a text", "name: a\ndescription: 3\n", 2, "description", 'put it in quotes: "3"'),
    ("a text for a boolean", "name: a\nread_only: yes\n", 2, "read_only", "true or false, not the text 'yes'"),
    ("a text for a list", "name: a\ninvariants: x\n", 2, "invariants", "must be a list"),
    ("a mapping in a list of texts", "name: a\ninvariants:\n - a: b\n", 3, "invariants[0]", "must be text"),
    ("an empty command", "name: a\nsteps: [{id: a, run: ''}]\n", 2, "steps[0].run", "must not be empty"),
    ("an unknown profile", "name: a\nautomation_profile: trust\n", 2, "automation_profile", "did you mean 'trusted'"),
    ("a bad duration", ONE + "    timeout: 10 minutes\n", 5, "steps[0].timeout", "90, 90s, 10m, 2h or 7d"),
    ("a duration of nothing", ONE + "    timeout: 0\n", 5, "steps[0].timeout", "longer than 0"),
    ("a duration that is a list", ONE + "    timeout: []\n", 5, "steps[0].timeout", "must be a duration"),
    ("too many retries", ONE + "    retries: 101\n", 5, "steps[0].retries", "from 0 to 100"),
    ("retries as a boolean", ONE + "    retries: true\n", 5, "steps[0].retries", "not the boolean true"),
    ("an environment number", ONE + "    env: {A: 1}\n", 5, "steps[0].env.A", 'put it in quotes: "1"'),
    ("an environment name with =", ONE + "    env: {'A=B': x}\n", 5, "steps[0].env.A=B", "is not the name"),
    ("an environment that is a list", ONE + "    env: [A]\n", 5, "steps[0].env", "a mapping of variables"),
    ("an environment name of ours", ONE + "    env: {CA_STEP_ID: x}\n", 5, "steps[0].env.CA_STEP_ID", "is set by"),
    ("a NUL in the environment", ONE + '    env: {A: "x\\0"}\n', 5, "steps[0].env.A", "NUL"),
    ("a NUL in a command", 'name: a\nsteps: [{id: a, run: "x\\0"}]\n', 2, "steps[0].run", "NUL"),
    ("an included file outside", "name: a\nsandbox: {include: [../x]}\n", 2, "sandbox.include[0]", "stay inside"),
    ("an absolute path", ONE + "    paths: [/etc]\n", 5, "steps[0].paths[0]", "relative to the project"),
    ("a shell on a prompt", "name: a\nsteps: [{id: a, prompt: x, shell: sh}]\n", 2, "steps[0].shell", "goes with run"),
    ("an unknown placeholder", "name: a\nsteps: [{id: a, run: 'x {it}'}]\n", 2, "steps[0].run", "write {{it}}"),
    ("an item outside of subplans", "name: a\nsteps: [{id: a, run: 'x {item}'}]\n", 2, "steps[0].run", "{item}"),
    ("a second document", ONE + "---\nname: b\n", 5, None, "a second document"),
    ("a tab", "name: a\nsteps:\n\t- id: x\n", 3, None, "a tab is used"),
    ("a tab behind spaces", "name: a\nsteps:\n  - id: x\n  \trun: y\n", 4, None, "a tab is used"),
    ("an anchor", "name: &x a\n", 1, None, "anchors (&) and aliases (*)"),
    ("an alias", "name: a\ndescription: *x\n", 2, None, "anchors (&) and aliases (*)"),
    ("a tag", "name: !!python/object:os.system a\n", 1, None, "tags (!)"),
    ("a colon in a text", "name: a\ndescription: do: this\n", 2, None, "must be put in quotes"),
    ("an open quote", "name: a\ndescription: 'x\n", 3, None, "not closed"),
    ("a control character", "name: a\ndescription: \x07\n", 2, None, "'\\x07' is not allowed"),
    ("a list as a key", "name: a\n? [x]\n: y\n", 2, None, "cannot be a key"),
    ("deep nesting", "a: " + "[" * 60_000, 1, None, "levels inside each other"),
    ("very many values", "a: [" + "1," * 70_000 + "]", 1, None, "60,000 values"),
    ("a thousand and one steps", "name: a\nsteps:\n" + "".join(f"- {{id: s{at}, run: x}}\n" for at in range(1_001)), 2,
     "steps", "1,000 is the limit"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "line", "key", "says"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_a_wrong_file_is_refused_with_file_line_key_and_help(
    text: str, line: int | None, key: str | None, says: str
) -> None:
    error = refused(text)

    assert error.message.startswith("tidy.yaml")
    assert says in error.message
    assert error.exit_code == 2
    assert error.detail["file"] == "tidy.yaml"
    if line is not None:
        assert error.detail["line"] == line
        assert f"line {line}:" in error.message
    if key is not None:
        assert str(error.detail["key"]).endswith(key)
        assert key in error.message


SUBPLANS: list[tuple[str, str, str]] = [
    ("{for_each: [x]}", "action", "is missing"),
    ("{action: B, for_each: [x]}", "action", "upper case"),
    ("{action: b}", "for_each", "is missing"),
    ("{action: b, for_each: []}", "for_each", "1 to 1,000 items"),
    ("{action: b, for_each: x}", "for_each", "must be a list"),
    ("{action: b, for_each: {}}", "for_each", "one of glob and run"),
    ("{action: b, for_each: {glob: x, run: y}}", "for_each", "one of glob and run"),
    ("{action: b, for_each: {globs: x}}", "for_each.globs", "did you mean 'glob'"),
    ("{action: b, for_each: {glob: ../x}}", "for_each.glob", "stay inside"),
    ("{action: b, for_each: {run: 'ls {x}'}}", "for_each.run", "{x} is not an argument"),
    ("{action: b, for_each: [x, x]}", "for_each", "given twice"),
    ("{action: b, for_each: [[x]]}", "for_each[0]", "not a list"),
    ("{action: b, for_each: [{item: x, needs: [y]}]}", "for_each", "ask for the mode dependency_ordered"),
    ("{action: b, mode: dependency_ordered, for_each: [{item: one, needs: [on]}]}", "for_each", "did you mean 'one'"),
    ("{action: b, mode: dependency_ordered, for_each: [{item: x, needs: [x]}]}", "for_each", "x -> x"),
    ("{action: b, for_each: [x], mode: paralel}", "mode", "did you mean 'parallel'"),
    ("{action: b, for_each: [x], merge: git}", "merge", "must be one of git_three_way"),
    ("{action: b, for_each: [x], max_parallel: 0}", "max_parallel", "from 1 to 50"),
    ("{action: b, for_each: [x], max_parallel: 51}", "max_parallel", "from 1 to 50"),
    ("{action: b, for_each: [x], fail_fast: 1}", "fail_fast", "true or false"),
    ("{action: b, for_each: [x], retries: -1}", "retries", "from 0 to 100"),
    ("{action: b, for_each: [x], timeout: never}", "timeout", "90s"),
    ("{action: b, for_each: [x], arguments: [x]}", "arguments", "must be a mapping"),
    ("{action: b, for_each: [x], arguments: {a: [x]}}", "arguments.a", "text or a number"),
    ("{action: b, for_each: [x], arguments: {a: '{itm}'}}", "arguments.a", "did you mean {item}"),
]


@pytest.mark.parametrize(("spec", "key", "says"), SUBPLANS)
def test_a_wrong_subplans_step_is_refused(spec: str, key: str, says: str) -> None:
    error = refused(f"name: a\nsteps:\n  - id: x\n    subplans: {spec}\n")

    assert error.detail["key"] == f"steps[0].subplans.{key}"
    assert says in error.message
    assert error.detail["line"] == 4


@pytest.mark.parametrize(("key", "value"), [("shell", "sh"), ("env", "{A: b}"), ("retries", "2"), ("isolated", "true")])
def test_a_key_without_effect_on_a_subplans_step_is_refused(key: str, value: str) -> None:
    error = refused(f"name: a\nsteps: [{{id: x, subplans: {{action: b, for_each: [x]}}, {key}: {value}}}]\n")

    assert error.detail["key"] == f"steps[0].{key}"
    assert "has no effect" in error.message


ARGUMENTS: list[tuple[str, str, str]] = [
    ("{type: string}", "name", "is missing"),
    ("{name: A}", "name", "cannot be the name"),
    ("{name: 1a}", "name", "cannot be the name"),
    ("{name: item}", "name", "choose another name"),
    ("{name: a, type: strin}", "type", "did you mean 'string'"),
    ("{name: a, type: choice}", "choices", "lists them"),
    ("{name: a, choices: [x]}", "choices", "only for the type choice"),
    ("{name: a, default: 1}", "default", 'put it in quotes: "1"'),
    ("{name: a, type: integer, default: x}", "default", "of the type integer"),
    ("{name: a, type: integer, default: true}", "default", "of the type integer"),
    ("{name: a, type: boolean, default: 'true'}", "default", "of the type boolean"),
    ("{name: a, type: number, default: .inf}", "default", "of the type number"),
    ("{name: a, type: path, default: ../x}", "default", "stay inside"),
    ("{name: a, type: choice, choices: [one, two], default: on}", "default", "did you mean 'one'"),
    ("{name: a, required: true, default: x}", "required", "remove one of the two"),
]


@pytest.mark.parametrize(("argument", "key", "says"), ARGUMENTS)
def test_a_wrong_argument_is_refused(argument: str, key: str, says: str) -> None:
    error = refused(f"name: a\narguments:\n  - {argument}\nsteps: [{{id: x, run: y}}]\n")

    assert error.detail["key"] == f"arguments[0].{key}"
    assert says in error.message
    assert error.detail["line"] == 3


def test_two_arguments_with_one_environment_variable_are_refused() -> None:
    error = refused("name: a\narguments: [{name: a-b}, {name: a_b}]\nsteps: [{id: x, run: y}]\n")

    assert "would both be CA_ARG_A_B" in error.message


def test_more_arguments_than_anyone_reads_are_refused() -> None:
    many = ", ".join(f"{{name: a{at}}}" for at in range(201))

    assert "200 is the limit" in refused(f"name: a\narguments: [{many}]\nsteps: [{{id: x, run: y}}]\n").message


def test_a_file_over_one_mebibyte_is_refused_unread() -> None:
    for body in (b"# " + b"x" * (2 << 20), "# " + "x" * (2 << 20)):
        assert "1 MiB" in refused(body).message


def test_a_file_just_below_the_limit_is_read() -> None:
    body = ONE.encode() + b"# "

    assert parse(body + b"x" * ((1 << 20) - len(body))).name == "local/a"


def test_bytes_that_are_not_utf8_are_named_with_their_line() -> None:
    error = refused(b"name: a\ndescription: caf\xe9\n")

    assert error.detail["line"] == 2
    assert "0xe9" in error.message


def test_a_byte_order_mark_is_skipped() -> None:
    assert parse(b"\xef\xbb\xbf" + ONE.encode()).name == "local/a"


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_bytes_are_an_action_or_an_error_about_the_file(text: bytes | str) -> None:
    try:
        action = actions.parse(text, source="any.yaml")
    except errors.InvalidActionError as error:
        message = error.message
    else:
        message = f"any.yaml is {action.name}"

    assert message.startswith("any.yaml")


def bound(arguments: str, given: Mapping[str, str]) -> actions.Values:
    return actions.bind(with_steps("- {id: a, run: x}", arguments), given)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("string", "", ""), ("string", "$(x)\n'\"", "$(x)\n'\""), ("integer", "-7", -7), ("integer", "+007", 7),
        ("boolean", "yes", True), ("boolean", "False", False),
        ("path", "src/a b/..c", "src/a b/..c"), ("path", ".", "."), ("choice, choices: [a, b]", "b", "b"),
    ],
)  # fmt: skip
def test_an_argument_becomes_a_value_of_its_type(kind: str, text: str, value: object) -> None:
    result = bound(f"[{{name: x, type: {kind}}}]", {"x": text})["x"]

    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3), ("-0", 0), ("+3", 3), ("0.10", 0.1), ("1e3", 1000.0), (".5", 0.5), ("3.", 3.0),
        ("12345678901234567890", 1.2345678901234567e19), ("9223372036854775807", (1 << 63) - 1),
    ],
)  # fmt: skip
def test_a_number_is_given_to_a_command_as_it_was_written(text: str, value: float) -> None:
    """To the command, to its environment, and as a default; programs that read JSON get a number."""
    values = bound("[{name: x, type: number}]", {"x": text})
    default = with_steps("- {id: a, run: x}", f"[{{name: x, type: number, default: {text}}}]").arguments[0].default

    assert actions.render("seq {x}", values) == f"seq {text}"
    assert actions.argument_environment(values) == {"CA_ARG_X": text}
    assert actions.render_text("{x}", {"x": default}) == text
    assert (shown := actions.as_json(values["x"])) == value
    assert type(shown) is type(value)


@pytest.mark.parametrize(
    ("kind", "text", "says"),
    [
        ("string", "a\0b", "NUL"), ("string", "x" * 70_000, "the limit"), ("string", "\udcff", "UTF-8"),
        ("integer", "1.0", "whole number"), ("integer", "", "whole number"), ("integer", "9" * 19, "18 digits"),
        ("integer", "٣", "whole number"), ("number", "nan", "a number"), ("number", "1e999", "a number"),
        ("boolean", "maybe", "true or false"), ("path", "", "must not be empty"), ("path", "/etc", "relative"),
        ("path", "~/x", "relative"), ("path", "a/../b", "'..'"), ("path", "..", "'..'"), ("path", "a\0", "NUL"),
        ("choice, choices: [one, two]", "on", "did you mean 'one'"),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_names_the_argument(kind: str, text: str, says: str) -> None:
    with pytest.raises(errors.InvalidArgumentError) as caught:
        bound(f"[{{name: x, type: {kind}}}]", {"x": text})

    assert says in caught.value.message
    assert "'x' of local/tidy" in caught.value.message
    assert caught.value.detail["argument"] == "x"
    assert len(caught.value.message) < 500


def test_defaults_and_missing_values_are_filled_in() -> None:
    arguments = "[{name: n, type: integer, default: 3}, {name: b, type: boolean, default: false}, {name: s}]"

    assert bound(arguments, {}) == {"n": 3, "b": False, "s": None}


def test_a_required_argument_must_be_given() -> None:
    with pytest.raises(errors.InvalidArgumentError, match=r"'x' of local/tidy is required \(what to tidy\)"):
        bound("[{name: x, required: true, description: what to tidy}]", {})


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("[{name: target}]", "did you mean 'target'"),
        ("[{name: zz}]", "its arguments are zz"),
        ("[]", "has no arguments"),
    ],
)
def test_an_unknown_argument_is_refused_with_the_nearest(arguments: str, says: str) -> None:
    with pytest.raises(errors.InvalidArgumentError, match="'taget' of local/tidy does not exist") as caught:
        bound(arguments, {"taget": "x"})

    assert says in caught.value.message


def test_the_environment_has_raw_values_and_leaves_out_what_has_none() -> None:
    values = {"rule-set": "a 'b'", "fast": True, "n": 3, "x": None}

    assert actions.argument_environment(values) == {"CA_ARG_RULE_SET": "a 'b'", "CA_ARG_FAST": "true", "CA_ARG_N": "3"}


def shell(command: str, *, program: str | None = None) -> bytes:
    """What `command` prints, run as a step is."""
    done = subprocess.run(actions.shell_argv(command, program), capture_output=True, check=True, cwd="/")
    assert done.stderr == b""
    return done.stdout


ANY_VALUE = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=40)
PLACES = [
    ("printf %s {x}", "%"),
    ('printf %s "<{x}>"', "<%>"),
    ("printf %s '<{x}>'", "<%>"),
    ('printf %s "$(printf %s {x}; printf .)"', "%."),
    ('printf %s "$(printf %s "{x}"; printf .)"', "%."),
    ("printf %s a{x}b\"{x}\"'{x}'", "a%b%%"),
    ("# don't\nprintf %s {x} # \"", "%"),
    ("cat <<'END' >/dev/null\nit's\nEND\nprintf %s {x}", "%"),
    ("(printf %s {x})", "%"),
    ('v={x}; printf %s "$v"', "%"),
    ('for v in {x}; do printf %s "$v"; done', "%"),
    ("case {x} in '') printf %s {x};; *) printf %s \"{x}\";; esac", "%"),
    ("printf %s ${HOME:+}{x}", "%"),
    ("printf %s \\\n  # it's\nprintf %s {x}", "%"),
]  # fmt: skip


@pytest.mark.parametrize("program", ["/bin/sh", "bash"])
@pytest.mark.parametrize(("template", "expected"), PLACES)
@settings(deadline=None)
@given(value=ANY_VALUE)
@example(value="$(echo pwned)`echo pwned`")
@example(value="'; echo pwned; '")
@example(value='"; echo pwned; "')
@example(value="a\n\\\n\\")
@example(value="-n")
@example(value="")
def test_any_value_arrives_unchanged_wherever_it_stands(template: str, expected: str, value: str, program: str) -> None:
    command = actions.render(template, {"x": value})

    assert shell(command, program=program) == expected.replace("%", value).encode()


@pytest.mark.parametrize(
    ("template", "rendered"),
    [
        ("echo {a}", "echo 'it'\"'\"'s'"), ("echo {n} {yes} {none}", "echo 3 true ''"), ("{n}>x", "'3'>x"),
        ("{z}", "'=ls'"), ("{{a}} {{ }}", "{a} { }"), ("{{{n}}}", "{3}"), ("a }} b", "a } b"), ("a {{ b", "a { b"),
        ("${HOME}/${A:-${B}}", "${HOME}/${A:-${B}}"), ("${{n}}", "${n}"), ("${n}", "${n}"),
        ("awk '{print $1}'", "awk '{print $1}'"), ("awk '{if (x) {y = 1}}'", "awk '{if (x) {y = 1}}'"),
        ("echo {1..3} {a,b} {} { x; }", "echo {1..3} {a,b} {} { x; }"), ("git show HEAD@{1}", "git show HEAD@{1}"),
        ("f() { echo {n}; }", "f() { echo 3; }"), ("xargs -I{} cp {} {n}", "xargs -I{} cp {} 3"),
        ('echo "{a} $x"', 'echo "it\'s $x"'), ("echo $(({{n}}))", "echo $(({n}))"), ("", ""),
        ("cat <<<{n} <(ls {n})", "cat <<<3 <(ls 3)"),
        ("a=({n} $(ls {n}))", "a=(3 $(ls 3))"), ("[ 1 -lt {n} ]", "[ 1 -lt 3 ]"),
    ],
)  # fmt: skip
def test_braces_are_read_by_one_rule(template: str, rendered: str) -> None:
    values = {"a": "it's", "n": 3, "yes": True, "none": None, "z": "=ls"}

    assert actions.render(template, values) == rendered


@pytest.mark.parametrize(
    ("command", "place"),
    [
        ("cat <<END\n{target}\nEND", "here-document"), ("cat <<-'END'\n\t{target}\n\tEND\nx", "here-document"),
        ("cat <<{target}\nx", "here-document"), ("echo `ls {target}`", "`…`"), ('echo `ls "{target}"`', "`…`"),
        ("echo ${A:-{target}}", "${…}"), ('echo "${A:-"{target}"}"', "${…}"), ("echo $((1 + {target}))", "arithmetic"),
        ("((x = {target}))", "arithmetic"), ("echo a # {target}", "comment"), ("echo \\{target}", "backslash"),
        ("echo $'{target}'", "$'…'"), ("echo $'a\\'b' {target}", "cannot be told"),
        ("echo $(case x in x) echo {target};; esac)", "cannot be told"),
        ("echo $((echo ')'); ls) {target}", "cannot be told"), ("echo $[1] {target}", "cannot be told"),
        ('cat <<END "\nEND\n"\nEND\necho {target}', "cannot be told"),
        ("echo {target} '", "does not end"), ("echo $(ls {target}", "does not end"), ("cat <<E; ls {target}", "does not end"),
        ("a=({target} \necho (x))", "does not end"),
        ("echo $\\\n{target}", "token over two lines"), ('echo "$\\\n\\\n{target}"', "token over two lines"),
    ],
)  # fmt: skip
def test_a_placeholder_where_nothing_can_be_quoted_is_refused(command: str, place: str) -> None:
    with pytest.raises(errors.InvalidActionError) as caught:
        with_steps(f"- id: a\n  run: |-\n{textwrap.indent(command, '    ')}\n".replace("\t", ""))

    assert place in caught.value.message
    assert "CA_ARG_TARGET" in caught.value.message


FRAGMENTS = st.sampled_from([
    "'", '"', "$(",
    ")", "`", "${A:-", "}", "#", " #", "\n", "<<E", "<<-'E'", "\nE\n", "case x in x)", ";;", "esac",
    "\\", "\\\n", "$\\\n", "$'", "$((", "))", " ", "echo ", ";", "|", "a", "{x}", "{x}",
    "(", "((", "$[", "$", "[[ ", "]]", "<<<", "A=(", "f() ",
    "{ ", "; }", "{{", "}}", "\n#'\n", "x#'y", "$#", "&",
])  # fmt: skip
ATTACKS = [
    "$(:>PWNED)", "`:>PWNED`", "';:>PWNED;'", '";:>PWNED;"', "\n:>PWNED\n", "\n:>PWNED #", "\n:>PWNED;'", "');:>PWNED;('",
    "\nE\n:>PWNED\n", "\\';:>PWNED;\\'", "};:>PWNED;{", "));:>PWNED;((", "a[$(:>PWNED)]", "x\\",
]  # fmt: skip


@settings(deadline=None)
@given(st.lists(FRAGMENTS, max_size=8), st.sampled_from(ATTACKS), st.sampled_from(["/bin/sh", "bash"]))
def test_whatever_the_command_a_value_never_runs(fragments: list[str], value: str, program: str) -> None:
    """Commands of random fragments, most of them no shell at all: one that is accepted does not run its value."""
    try:
        command = actions.render("".join([*fragments, "{x}"]), {"x": value})
    except errors.InvalidArgumentError:
        return

    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(
            [program, "-c", command], cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        assert not (Path(directory) / "PWNED").exists()


AGAIN = [
    "if [[ {x} -gt 3 ]]; then echo big; fi", "[[ a == b && {x} -eq 1 ]]", "[[ -v {x} ]]",
    "while [[ $i -lt {x} ]]; do :; done", "let 'a={x}'", "let a={x}", "printf -v {x} %s a", "test -v {x}", "[ -v {x} ]",
    "a[{x}]=1", "declare -a a=([{x}]=1)", "declare -i n={x}", "local -i n; n={x}", "declare {x}=1", "read {x}",
    "unset {x}", 'eval "echo {x}"', "eval echo {x}", "if eval {x}; then :; fi", "{{ eval {x}; }}", "a=$(eval echo {x})",
    "e''val {x}", 'trap "echo {x}" EXIT', "alias l='ls {x}'", 'sh -c "echo {x}"', 'su -c "ls {x}" bob',
    "su - bob -c 'ls {x}'", "su --command={x}", "cd y && bash -ec 'echo {x}'", "A=1 /bin/bash -c {x}",
    "timeout 5 bash -c -- {x}", "xargs -I_ sh -c 'echo {x}'", "bash 2>&1 -c {x}", "bash \\\n -c 'a {x}'",
    "yes | bash -c '\n{x}\n'",
]  # fmt: skip


@pytest.mark.parametrize("command", AGAIN)
def test_a_place_where_a_value_is_read_again_is_refused(command: str) -> None:
    """Unless no value can be anything but one plain word, or this one is."""
    with pytest.raises(errors.InvalidActionError, match=r"value of {x} .*(CA_ARG_X|integer)"):
        with_steps(f"- {{id: a, shell: bash, run: {json.dumps(command)}}}", "[{name: x}]")
    with pytest.raises(errors.InvalidArgumentError, match=r"value of {x}"):
        actions.render(command, {"x": "a[$(:>PWNED)]"})
    for kind in ("integer", "number", "boolean", "choice, choices: [a-b, c/d]"):
        with_steps(f"- {{id: a, shell: bash, run: {json.dumps(command)}}}", f"[{{name: x, type: {kind}}}]")
    assert "37" in actions.render(command, {"x": 37})


@pytest.mark.parametrize(
    "command",
    [
        "[[ {x} == a ]]", "[[ -f {x} ]]", "[[ -f a ]] && [ {x} -eq 3 ]", "[ {x} -gt 3 ]", "test -n {x}",
        "sh -c 'echo \"$1\"' _ {x}", "bash script.sh {x}", "bash {x}", "bash -x {x}", "sh -c true; echo {x}",
        "export A={x}", "local a={x}", "A={x} make", "a=({x} b)", "a=$(cat {x})", "(eval a); echo {x}",
        'eval "$(ssh-agent)"; ssh-add {x}', "echo eval {x}", "grep -r trap {x}", "make -c {x}", "ls 2>&1 {x}",
        "printf %s {x}", "git commit -m 'eval {x}'",
    ],
)  # fmt: skip
def test_a_place_where_a_value_is_read_once_is_none_of_these(command: str) -> None:
    with_steps(f"- {{id: a, shell: bash, run: {json.dumps(command)}}}", "[{name: x}]")


@pytest.mark.parametrize("command", ["cat <<END\n{x}\nEND", "cat <<E\r\nE\n{x}\nE\r\n"])
def test_a_refused_template_is_refused_by_render_too(command: str) -> None:
    with pytest.raises(errors.InvalidArgumentError, match="here-document"):
        actions.render(command, {"x": "a"})


def test_a_value_that_is_not_there_or_has_a_nul_is_refused() -> None:
    with pytest.raises(errors.InvalidArgumentError, match=r"did you mean \{target\}"):
        actions.render("ls {taget}", {"target": "x"})
    with pytest.raises(errors.InvalidArgumentError, match="NUL"):
        actions.render("ls {x}", {"x": "a\0b"})


def test_a_placeholder_for_a_program_with_other_quotes_is_refused() -> None:
    with pytest.raises(errors.InvalidActionError, match="cannot be quoted for 'python3'; read CA_ARG_TARGET"):
        with_steps("- {id: a, shell: python3, run: 'print({target})'}")


def test_a_text_that_no_shell_reads_gets_the_value_as_it_is() -> None:
    assert actions.render_text("Fix {x}, keep {{x}} and ${x}", {"x": "it's"}) == "Fix it's, keep {x} and ${x}"
    with pytest.raises(errors.InvalidArgumentError, match=r"did you mean \{target\}"):
        actions.render_text("Fix {taget}", {"target": "x"})


@pytest.mark.parametrize(
    ("program", "argv"),
    [
        (None, ["/bin/sh", "-e", "-c", "x"]), ("bash", ["bash", "-e", "-c", "x"]),
        ("/usr/bin/zsh", ["/usr/bin/zsh", "-e", "-c", "x"]), ("python3", ["python3", "-c", "x"]),
    ],
)  # fmt: skip
def test_a_bourne_shell_stops_at_the_first_failure(program: str | None, argv: list[str]) -> None:
    assert actions.shell_argv("x", program) == argv


def test_steps_are_ordered_by_need_and_otherwise_as_declared() -> None:
    action = with_steps("""\
        - {id: d, run: x, needs: [b]}
        - {id: a, run: x}
        - {id: c, run: x, needs: [a]}
        - {id: b, run: x, needs: [a, c]}
        - {id: e, run: x}
        """)

    assert [step.id for step in actions.order(action.steps)] == ["a", "c", "b", "d", "e"]


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 30))
def test_every_step_comes_after_all_that_it_needs(seed: int, count: int) -> None:
    steps = [
        actions.StepSpec(
            id=f"s{at}",
            title="",
            kind="run",
            run="x",
            needs=[f"s{need}" for need in range(at) if seed >> (at + need) & 1],
        )
        for at in range(count)
    ]
    seen: list[str] = []
    for step in actions.order(steps[::-1]):
        assert set(step.needs) <= set(seen)
        seen.append(step.id)

    assert sorted(seen) == sorted(step.id for step in steps)


def test_steps_that_wait_for_each_other_cannot_be_ordered() -> None:
    steps = [
        actions.StepSpec(id="a", title="", kind="run", run="x", needs=["b"]),
        actions.StepSpec(id="b", title="", kind="run", run="x", needs=["a"]),
    ]

    with pytest.raises(errors.InvalidActionError, match="a, b"):
        actions.order(steps)


def test_a_thousand_steps_are_read_and_ordered() -> None:
    chain = "".join(f"- {{id: s{at}, run: x, needs: [{f's{at + 1}' if at < 999 else ''}]}}\n" for at in range(1_000))

    action = with_steps(chain)

    assert [step.id for step in actions.order(action.steps)] == [f"s{at}" for at in range(999, -1, -1)]


def test_a_refusal_suggests_the_command_that_checks_a_file(tmp_path: Path) -> None:
    file = tmp_path / "tidy.yaml"
    file.write_text("nam: x\n")

    with pytest.raises(errors.InvalidActionError) as caught:
        actions.parse(file.read_bytes(), source=str(file))

    assert caught.value.suggestions == [f"ca action validate {file}"]
