"""From the nodes of a file to an `Action`: every key, type and reference is checked; the first problem is raised."""

import re
from collections.abc import Mapping, Sequence
from typing import get_args

from daemon import action_schema as schema
from daemon import action_values, step_order, templates
from daemon.action_section import Section, shown
from daemon.documents import Node

MAX_STEPS = 1_000
MAX_RETRIES = 100
MAX_ARGUMENTS = 200

_IDENTIFIER = re.compile(r"[a-z][a-z0-9_-]{0,63}", re.ASCII)
_STEP_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)

_ACTION_KEYS = (
    "name", "description", "definition_of_done", "strategy_actor", "execution_actor", "automation_profile", "read_only",
    "reusable", "arguments", "invariants", "sandbox", "env", "shell", "steps", "checks",
)  # fmt: skip
_ARGUMENT_KEYS = ("name", "type", "required", "default", "description", "choices")
_STEP_KEYS = (
    "id", "title", "needs", "run", "prompt", "subplans", "timeout", "env", "shell", "isolated", "project", "paths",
    "retries",
)  # fmt: skip
_SUBPLANS_KEYS = (
    "action", "for_each", "arguments", "mode", "max_parallel", "fail_fast", "merge", "retries", "timeout",
)  # fmt: skip
_CHECK_KEYS = ("run", "name", "timeout", "env", "shell")
# A key that would have no effect on a step of that kind, and where it belongs instead.
_MISPLACED = {
    "prompt": {"shell": "it goes with run"},
    "subplans": {
        "shell": "it goes with run",
        "env": "it goes with run; a child's steps have their own",
        "retries": "write it inside subplans",
        "isolated": "children are always isolated",
    },
}


def read_action(root: Node, source: str) -> schema.Action:
    """The action that a file describes.

    Raises:
        InvalidActionError: it is not what the schema asks for.
    """
    top = Section.of(root, source, "", _ACTION_KEYS)
    name = top.name("name")
    arguments = _arguments(top)
    known = action_values.known(arguments)
    shell = top.text("shell") if top.has("shell") else None
    strategy_actor = top.name("strategy_actor") if top.has("strategy_actor") else "builtin/steps"
    return schema.Action(
        name=name,
        description=top.text("description", ""),
        definition_of_done=top.text("definition_of_done", ""),
        strategy_actor=strategy_actor,
        execution_actor=top.name("execution_actor") if top.has("execution_actor") else "builtin/shell",
        automation_profile=top.choice("automation_profile", get_args(schema.Profile), None),
        read_only=top.flag("read_only", default=False),
        reusable=top.flag("reusable", default=True),
        arguments=arguments,
        invariants=top.texts("invariants"),
        sandbox=_sandbox(top, known, shell),
        env=top.environment("env"),
        shell=shell,
        steps=read_steps(top, known, shell, required=strategy_actor == "builtin/steps"),
        checks=[
            _check(section, known, shell, number) for number, section in enumerate(top.list("checks", _CHECK_KEYS))
        ],
    )


def _arguments(top: Section) -> list[schema.Argument]:
    found: dict[str, schema.Argument] = {}
    sections = top.list("arguments", _ARGUMENT_KEYS)
    if len(sections) > MAX_ARGUMENTS:
        top.refuse("arguments", f"has {len(sections)} entries, and {MAX_ARGUMENTS} is the limit")
    for section in sections:
        argument = _argument(section)
        variable = templates.environment_name(argument.name)
        if variable in found:
            both = f"{found[variable].name!r} and {argument.name!r}"
            section.refuse("name", f"the arguments {both} would both be {variable} in the environment; rename one")
        found[variable] = argument
    return list(found.values())


def _argument(section: Section) -> schema.Argument:
    name = section.text("name")
    if not _IDENTIFIER.fullmatch(name):
        wanted = "lower case letters, digits, '-' and '_', starting with a letter, at most 64"
        section.refuse("name", f"{name!r} cannot be the name of an argument: use {wanted}")
    if name == templates.ITEM:
        section.refuse("name", f"{name!r} is what each item of a subplans step is called; choose another name")
    argument = schema.Argument(
        name=name,
        type=section.choice("type", get_args(schema.ArgumentType), "string"),
        required=section.flag("required", default=False),
        description=section.text("description", ""),
        choices=section.texts("choices"),
    )
    if (argument.type == "choice") != bool(argument.choices):
        missing = "an argument of type choice lists them" if argument.type == "choice" else "only for the type choice"
        section.refuse("choices", missing)
    if not section.has("default"):
        return argument
    if argument.required:
        section.refuse("required", "an argument with a default is not required; remove one of the two")
    return _with_default(section, argument)


def _with_default(section: Section, argument: schema.Argument) -> schema.Argument:
    node = section.node("default")
    kinds: dict[str, type | tuple[type, ...]] = {"integer": int, "number": (int, float), "boolean": bool}
    wanted = kinds.get(argument.type, str)
    if not isinstance(node.value, wanted) or (isinstance(node.value, bool) and wanted is not bool):
        quotes = f'; put it in quotes: "{node.text}"' if wanted is str and node.text else ""
        section.refuse("default", f"must be of the type {argument.type}, not {shown(node)}{quotes}")
    try:
        default = action_values.convert(argument, node.text)
    except action_values.ValueRefused as error:
        section.refuse("default", f"{error}")
    return schema.Argument(
        name=argument.name, type=argument.type, default=default, description=argument.description,
        choices=argument.choices,
    )  # fmt: skip


def _sandbox(top: Section, known: Mapping[str, bool], shell: str | None) -> schema.SandboxSpec:
    if not top.has("sandbox"):
        return schema.SandboxSpec()
    section = top.section("sandbox", ("include", "setup"))
    return schema.SandboxSpec(
        include=_paths(section, "include", None),
        setup=section.template("setup", known, shell=shell) if section.has("setup") else None,
    )


def _paths(section: Section, key: str, known: Mapping[str, bool] | None) -> list[str]:
    """Paths inside the project; templates when there are `known` names."""
    found = section.texts(key)
    for index, text in enumerate(found):
        place = f"{key}[{index}]"
        if known is not None:
            section.check_template(place, text, known)
        try:
            action_values.relative_path(text)
        except action_values.ValueRefused as error:
            section.refuse(place, f"{error}", line=section.nodes(key)[index].line)
    return found


def read_steps(top: Section, known: Mapping[str, bool], shell: str | None, *, required: bool) -> list[schema.StepSpec]:
    """The `steps` of an action file or of a strategy actor's answer.

    Args:
        top: What has the key `steps`.
        known: The names of the action's arguments, see `action_values.known`.
        shell: The action's shell.
        required: Whether there must be one.

    Raises:
        InvalidActionError: they are not what the schema asks for.
    """
    sections = top.list("steps", _STEP_KEYS)
    if required and not sections:
        top.refuse("steps", "needs at least one step")
    if len(sections) > MAX_STEPS:
        top.refuse("steps", f"has {len(sections):,} steps, and {MAX_STEPS:,} is the limit")
    lines: dict[str, int] = {}
    steps: list[schema.StepSpec] = []
    for section in sections:
        step = _step(section, known, shell)
        if step.id in lines:
            other = f"the step in line {lines[step.id]}" if lines[step.id] else "an earlier step"
            section.refuse("id", f"{step.id!r} is the id of {other} too")
        lines[step.id] = section.line
        steps.append(step)
    _check_needs(sections, steps)
    return steps


def _check_needs(sections: Sequence[Section], steps: Sequence[schema.StepSpec]) -> None:
    ids = {step.id for step in steps}
    for section, step in zip(sections, steps, strict=True):
        for need in step.needs:
            if need not in ids:
                section.refuse("needs", f"there is no step {need!r}{templates.did_you_mean(need, ids)}")
    circle = step_order.cycle({step.id: step.needs for step in steps})
    if circle:
        first = next(section for section, step in zip(sections, steps, strict=True) if step.id == circle[0])
        first.refuse("needs", f"the steps wait for each other: {' -> '.join([*circle, circle[0]])}", cycle=circle)


def _step(section: Section, known: Mapping[str, bool], shell: str | None) -> schema.StepSpec:
    step_id = section.text("id")
    if not _STEP_ID.fullmatch(step_id):
        wanted = "lower case letters, digits, '-' and '_', starting with a letter or digit, at most 64"
        section.refuse("id", f"{step_id!r} cannot be the id of a step: use {wanted}")
    kind = _kind(section)
    program = section.text("shell") if section.has("shell") else shell
    inner = {**known, templates.ITEM: False} if kind == "subplans" else known
    return schema.StepSpec(
        id=step_id,
        title=section.text("title", "") or step_id,
        kind=kind,
        needs=list(dict.fromkeys(section.texts("needs"))),
        run=section.template("run", known, shell=program) if kind == "run" else None,
        prompt=section.template("prompt", known, command=False) if kind == "prompt" else None,
        subplans=_subplans(section, known, shell) if kind == "subplans" else None,
        timeout=section.duration("timeout"),
        env=section.environment("env"),
        shell=section.text("shell") if section.has("shell") else None,
        isolated=section.flag("isolated", default=False),
        project=section.name("project") if section.has("project") else None,
        paths=_paths(section, "paths", inner),
        retries=section.integer("retries", 0, MAX_RETRIES, 0),
    )


def _kind(section: Section) -> schema.StepKind:
    kinds = get_args(schema.StepKind)
    written: list[schema.StepKind] = [kind for kind in kinds if section.has(kind)]
    if len(written) != 1:
        found = f"not both {' and '.join(written)}" if written else "and this one has none"
        section.refuse(written[1] if written else "run", f"a step has one of {', '.join(kinds)}, {found}")
    for key, reason in _MISPLACED.get(written[0], {}).items():
        if section.has(key):
            section.refuse(key, f"has no effect on a {written[0]} step: {reason}")
    return written[0]


def _subplans(step: Section, known: Mapping[str, bool], shell: str | None) -> schema.SubplansSpec:
    section = step.section("subplans", _SUBPLANS_KEYS)
    mode = section.choice("mode", get_args(schema.SubplanMode), "parallel")
    arguments = section.scalars("arguments")
    for name, text in arguments.items():
        section.check_template(f"arguments.{name}", text, {**known, templates.ITEM: False})
    return schema.SubplansSpec(
        action=section.name("action"),
        for_each=_for_each(section, known, shell, mode),
        arguments=arguments,
        mode=mode,
        max_parallel=section.integer("max_parallel", 1, 50, 5),
        fail_fast=section.flag("fail_fast", default=False),
        merge=section.choice("merge", get_args(schema.MergeStrategy), "git_three_way"),
        retries=section.integer("retries", 0, MAX_RETRIES, 0),
        timeout=section.duration("timeout"),
    )


def _for_each(
    section: Section, known: Mapping[str, bool], shell: str | None, mode: schema.SubplanMode
) -> schema.ForEach:
    node = section.node("for_each")
    if isinstance(node.value, list):
        return schema.ForEach(items=_items(section, mode))
    if not isinstance(node.value, dict):
        section.refuse("for_each", f"must be a list, {{glob: …}} or {{run: …}}, not {shown(node)}")
    source = section.section("for_each", ("glob", "run"))
    if source.has("glob") == source.has("run"):
        section.refuse("for_each", "must be a list, or have one of glob and run")
    if source.has("run"):
        return schema.ForEach(run=source.template("run", known, shell=shell))
    glob = source.template("glob", known, command=False)
    try:
        return schema.ForEach(glob=action_values.relative_path(glob))
    except action_values.ValueRefused as error:
        source.refuse("glob", f"{error}")


def _items(section: Section, mode: schema.SubplanMode) -> list[schema.Item]:
    nodes = section.nodes("for_each")
    if not 0 < len(nodes) <= MAX_STEPS:
        section.refuse("for_each", f"must have 1 to {MAX_STEPS:,} items, not {len(nodes):,}")
    items = [_item(section, node, f"for_each[{at}]") for at, node in enumerate(nodes)]
    known: set[str] = set()
    for item, node in zip(items, nodes, strict=True):
        if item.item in known:
            section.refuse("for_each", f"the item {item.item!r} is given twice", line=node.line)
        known.add(item.item)
    for item, node in zip(items, nodes, strict=True):
        if item.needs and mode != "dependency_ordered":
            section.refuse("for_each", "items with needs ask for the mode dependency_ordered", line=node.line)
        for need in item.needs:
            if need not in known:
                hint = templates.did_you_mean(need, known)
                section.refuse("for_each", f"there is no item {need!r}{hint}", line=node.line)
    circle = step_order.cycle({item.item: item.needs for item in items})
    if circle:
        section.refuse("for_each", f"the items wait for each other: {' -> '.join([*circle, circle[0]])}", cycle=circle)
    return items


def _item(section: Section, node: Node, place: str) -> schema.Item:
    if isinstance(node.value, dict):
        entry = section.entry(node, place, ("item", "needs"))
        return schema.Item(item=entry.text("item"), needs=entry.texts("needs"))
    if node.value is None or isinstance(node.value, list) or not node.text:
        section.refuse(place, f"must be text or {{item: …, needs: […]}}, not {shown(node)}", line=node.line)
    return schema.Item(item=node.text)


def _check(section: Section, known: Mapping[str, bool], shell: str | None, number: int) -> schema.CheckSpec:
    own = section.text("shell") if section.has("shell") else None
    return schema.CheckSpec(
        run=section.template("run", known, shell=own or shell),
        name=section.text("name", "") or f"check {number + 1}",
        timeout=section.duration("timeout"),
        env=section.environment("env"),
        shell=own,
    )
