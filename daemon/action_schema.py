"""What an action file says, as immutable records; they are stored with a plan, so they survive JSON and msgpack."""

from typing import Literal, TypeAlias

from msgspec import Struct, field

ArgumentType: TypeAlias = Literal["string", "integer", "number", "boolean", "path", "choice"]
StepKind: TypeAlias = Literal["run", "prompt", "subplans"]
SubplanMode: TypeAlias = Literal["sequential", "parallel", "dependency_ordered"]
MergeStrategy: TypeAlias = Literal["git_three_way", "sequential_apply", "fail_on_conflict", "last_wins"]
Profile: TypeAlias = Literal["manual", "supervised", "trusted", "full-auto"]


class Number(Struct, frozen=True):
    """A number as it was written: a command gets these characters, not those that another program would write."""

    text: str

    @property
    def value(self) -> int | float:
        """What it is in JSON: whole when it was written so, as far as 64 bits go."""
        try:
            whole = int(self.text)
        except ValueError:
            return float(self.text)
        return whole if -(1 << 63) <= whole < 1 << 63 else float(self.text)


ArgumentValue: TypeAlias = str | int | float | bool | Number
Values: TypeAlias = dict[str, ArgumentValue | None]
"""Of the arguments of an action, by their names; None without one."""


class Argument(Struct, frozen=True, kw_only=True):
    """One value that `plan use --arg` may or must give."""

    name: str
    type: ArgumentType = "string"
    required: bool = False
    default: ArgumentValue | None = None
    description: str = ""
    choices: list[str] = field(default_factory=list[str])


class SandboxSpec(Struct, frozen=True, kw_only=True):
    """What a sandbox needs beside the project's own files."""

    include: list[str] = field(default_factory=list[str])
    """Ignored files that are copied in, relative to the project; never applied back."""
    setup: str | None = None
    """A command that runs in each new sandbox before the first step."""


class Item(Struct, frozen=True, kw_only=True):
    """One entry of a `for_each` list."""

    item: str
    needs: list[str] = field(default_factory=list[str])
    """Items that must be integrated first; only in the mode `dependency_ordered`."""


class ForEach(Struct, frozen=True, kw_only=True):
    """Where the items come from: exactly one of the three is not None."""

    items: list[Item] | None = None
    glob: str | None = None
    run: str | None = None
    """A command that prints one item a line."""


class SubplansSpec(Struct, frozen=True, kw_only=True):
    """The children of a `subplans` step: one plan of `action` for each item."""

    action: str
    for_each: ForEach
    arguments: dict[str, str] = field(default_factory=dict[str, str])
    """Templates in which `{item}` is known too; their text is given to the child's arguments."""
    mode: SubplanMode = "parallel"
    max_parallel: int = 5
    fail_fast: bool = False
    merge: MergeStrategy = "git_three_way"
    retries: int = 0
    timeout: float | None = None
    """Seconds for each child."""


class StepSpec(Struct, frozen=True, kw_only=True):
    """One step: `kind` says which of `run`, `prompt` and `subplans` is not None."""

    id: str
    title: str
    kind: StepKind
    needs: list[str] = field(default_factory=list[str])
    run: str | None = None
    prompt: str | None = None
    subplans: SubplansSpec | None = None
    timeout: float | None = None
    """Seconds; None is no limit but the job's."""
    env: dict[str, str] = field(default_factory=dict[str, str])
    shell: str | None = None
    isolated: bool = False
    project: str | None = None
    paths: list[str] = field(default_factory=list[str])
    """Templates of the paths that the step, or each child, will change."""
    retries: int = 0


class CheckSpec(Struct, frozen=True, kw_only=True):
    """A command that runs on the merged result; its failure makes Apply constrained."""

    run: str
    name: str
    timeout: float | None = None
    env: dict[str, str] = field(default_factory=dict[str, str])
    shell: str | None = None


class Action(Struct, frozen=True, kw_only=True):
    """A reusable description of work, checked from end to end."""

    name: str
    description: str = ""
    definition_of_done: str = ""
    strategy_actor: str = "builtin/steps"
    execution_actor: str = "builtin/shell"
    automation_profile: Profile | None = None
    read_only: bool = False
    reusable: bool = True
    arguments: list[Argument] = field(default_factory=list[Argument])
    invariants: list[str] = field(default_factory=list[str])
    sandbox: SandboxSpec = SandboxSpec()
    env: dict[str, str] = field(default_factory=dict[str, str])
    shell: str | None = None
    steps: list[StepSpec] = field(default_factory=list[StepSpec])
    checks: list[CheckSpec] = field(default_factory=list[CheckSpec])
