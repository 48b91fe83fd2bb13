"""Actor files and the answers of strategy actors: what is accepted, and what a refusal says."""

import json

import pytest

from daemon import actions, actors, strategy_reader
from store import errors

FILE = "actor.yaml"
HEAD = "name: a\ntype: command\n"


def test_every_key_is_read() -> None:
    text = 'name: team/a\ntype: command\ncommand: [x, -p, "{prompt}"]\nenv: {A: "1"}\ntimeout: 10m\ndescription: d\n'

    assert actors.parse(text, source=FILE) == actors.Actor(
        name="team/a", type="command", command=["x", "-p", "{prompt}"], env={"A": "1"}, timeout=600, description="d"
    )


@pytest.mark.parametrize(
    ("what", "text", "line", "key", "words"),
    [
        ("an unknown key", "name: a\ntype: command\ncomand: [x]\n", 3, "comand", "did you mean 'command'"),
        ("no name", "type: command\ncommand: [x]\n", 1, "name", "is missing"),
        ("a name of ours", "name: builtin/x\ntype: command\ncommand: [x]\n", 1, "name", "builtin"),
        ("no type", "name: a\ncommand: [x]\n", 1, "type", "type: command"),
        ("another type", "name: a\ntype: comand\ncommand: [x]\n", 2, "type", "did you mean 'command'"),
        ("no command", HEAD, 1, "command", "is missing"),
        ("a command that is text", f"{HEAD}command: x -p\n", 3, "command", "must be a list"),
        ("an empty command", f"{HEAD}command: []\n", 3, "command", "program"),
        ("an empty program", f'{HEAD}command: ["", x]\n', 3, "command[0]", "not empty"),
        ("a number", f"{HEAD}command: [x, 1]\n", 3, "command[1]", 'put it in quotes: "1"'),
        ("a prompt as program", f'{HEAD}command: ["{{prompt}}"]\n', 3, "command[0]", "placeholder"),
        ("another placeholder", f'{HEAD}command:\n  - x\n  - "{{promt}}"\n', 5, "command[1]", "did you mean {prompt}"),
        ("a placeholder far off", f'{HEAD}command: [x, "{{v}}"]\n', 3, "command[1]", "write {{v}}"),
        ("a variable of ours", f"{HEAD}command: [x]\nenv: {{CA_GUIDANCE: x}}\n", 4, "env.CA_GUIDANCE", "CleverAgents"),
        ("a timeout that is none", f"{HEAD}command: [x]\ntimeout: soon\n", 4, "timeout", "duration"),
        ("a NUL", f'{HEAD}command: [x, "\\0"]\n', 3, "command[1]", "NUL"),
        ("nothing", "", None, None, "empty"),
        ("a list", "- a\n", 1, None, "mapping"),
        ("too much", "#" * (1 << 20) + "\n", None, None, "1 MiB"),
    ],
)
def test_a_bad_file_is_refused_with_its_place(
    what: str, text: str, line: int | None, key: str | None, words: str
) -> None:
    with pytest.raises(errors.InvalidActionError) as caught:
        actors.parse(text, source=FILE)

    assert (caught.value.detail["line"], caught.value.detail["key"]) == (line, key), what
    assert words in caught.value.message
    assert caught.value.suggestions == [f"ca actor create {FILE}"]


@pytest.mark.parametrize(
    ("argument", "given"),
    [
        ("{prompt}", 'it\'s "x"\n$(rm) {prompt} é'),
        ("--message={prompt}!", "x"),
        ("{{prompt}} ${HOME} {}", "x"),
    ],
)
def test_the_text_becomes_one_argument_as_it_is(argument: str, given: str) -> None:
    actor = actors.Actor(name="local/a", type="command", command=["a{{b}}", "-p", argument])
    literal = argument.replace("{{prompt}}", "{prompt}")

    expected = literal if "{{" in argument else argument.replace("{prompt}", given)
    assert actor.argv(given) == ["a{b}", "-p", expected]
    assert actor.takes_argument == ("{{" not in argument)


@pytest.mark.parametrize("extra", [0, 1])
def test_the_longest_argument_is_what_linux_takes(extra: int) -> None:
    actor = actors.Actor(name="local/a", type="command", command=["x", "--m={prompt}"])
    text = "é" * ((actors.LONGEST_ARGUMENT - 4) // 2) + "x" * extra

    if not extra:
        assert len(actor.argv(text)[1].encode()) == actors.LONGEST_ARGUMENT - 1
        return
    assert len(actor.argv(text)[1].encode()) == actors.LONGEST_ARGUMENT
    with pytest.raises(errors.InvalidArgumentError, match="standard input"):
        actor.argv(text + "x")


ACTION = actions.Action(
    name="local/x", strategy_actor="local/planner", arguments=[actions.Argument(name="target", type="string")]
)
STEP = {"id": "one", "run": "true"}
DECISION = {"question": "q", "choice": "c", "reason": "r"}


def answer(*steps: object, decisions: object = ()) -> str:
    return json.dumps({"decisions": decisions, "steps": steps})


def test_a_good_answer_is_read_like_the_steps_of_a_file() -> None:
    text = answer(
        {"id": "a", "prompt": "é {target} {{x}}", "timeout": "10m"},
        {"id": "b", "run": "echo {target}", "needs": ["a"], "retries": 2, "env": {"A": "1"}, "isolated": True},
        decisions=[DECISION, DECISION | {"kind": "invariant_enforced"}],
    )

    strategy = strategy_reader.read(f"\n{text}\n".encode(), ACTION)

    assert [(step.id, step.kind, step.timeout, step.retries) for step in strategy.steps] == [
        ("a", "prompt", 600, 0),
        ("b", "run", None, 2),
    ]
    assert [decision.kind for decision in strategy.decisions] == ["strategy_choice", "invariant_enforced"]


@pytest.mark.parametrize(
    ("what", "text", "key", "words"),
    [
        ("nothing", "", None, "empty"),
        ("prose", "Here is my plan", None, "begins with 'Here is my plan'"),
        ("a fence", f"```json\n{answer(STEP)}\n```", None, "not one JSON object"),
        ("two objects", answer(STEP) * 2, None, "Extra data"),
        ("a list", json.dumps([STEP]), None, "must be a mapping"),
        ("YAML", "steps: [{id: a, run: x}]", None, "not one JSON object"),
        ("not a number", '{"decisions": [], "steps": [{"id": "a", "run": "x", "retries": NaN}]}', None, "NaN"),
        ("too deep", "[" * 100_000, None, "levels"),
        ("a number without an end", '{"decisions": [], "steps": ' + "1" * 5_000 + "}", None, "not one JSON object"),
        ("half a character", '{"decisions": [], "steps": [{"id": "a", "run": "\\ud800"}]}', None, "surrogate"),
        ("a key twice", '{"steps": [], "steps": []}', "steps", "twice"),
        ("too long", " " * (1 << 20) + answer(STEP), None, "1 MiB"),
        ("no steps", '{"decisions": []}', "steps", "is missing"),
        ("no decisions", json.dumps({"steps": [STEP]}), "decisions", "is missing"),
        ("empty steps", answer(), "steps", "at least one"),
        ("an unknown key", json.dumps({"decision": [], "steps": [STEP]}), "decision", "did you mean 'decisions'"),
        ("an unknown key of a step", answer({"id": "a", "rum": "x"}), "steps[0].rum", "did you mean 'run'"),
        ("a wrong type", answer({"id": "a", "run": 1}), "steps[0].run", "must be text, not the number 1"),
        ("a null", answer({"id": "a", "run": "x", "title": None}), "steps[0].title", "nothing"),
        ("a step twice", answer(STEP, STEP), "steps[1].id", "an earlier step"),
        ("no such step", answer(STEP | {"needs": ["on"]}), "steps[0].needs", "there is no step 'on'; did you mean 'one'"),
        ("a cycle", answer({"id": "a", "run": "x", "needs": ["b"]}, {"id": "b", "run": "x", "needs": ["a"]}),
         "steps[0].needs", "a -> b -> a"),
        ("a placeholder", answer({"id": "a", "run": "{targt}"}), "steps[0].run", "did you mean {target}"),
        ("a NUL", answer({"id": "a", "run": "x\0"}), "steps[0].run", "NUL"),
        ("a duration", answer(STEP | {"timeout": 10**400}), "steps[0].timeout", "duration"),
        ("a decision's key", answer(STEP, decisions=[DECISION | {"why": "x"}]), "decisions[0].why", "unknown key"),
        ("a decision without reason", answer(STEP, decisions=[{"question": "q", "choice": "c"}]),
         "decisions[0].reason", "is missing"),
        ("a decision of ours", answer(STEP, decisions=[DECISION | {"kind": "reversion"}]), "decisions[0].kind", "one of"),
        ("decisions that are text", answer(STEP, decisions="none"), "decisions", "must be a list"),
    ],
)  # fmt: skip
def test_a_bad_answer_is_refused_by_key(what: str, text: str, key: str | None, words: str) -> None:
    with pytest.raises(errors.InvalidActionError) as caught:
        strategy_reader.read(text.encode(), ACTION)

    assert words in caught.value.message, what
    assert caught.value.message.startswith("the answer of local/planner: "), "no line: nobody counted"
    assert (caught.value.detail["key"], caught.value.detail["actor"]) == (key, "local/planner")
    caught.value.message.encode()


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(errors.InvalidActionError, match="not UTF-8"):
        strategy_reader.read(b'{"steps": "\xff"}', ACTION)
