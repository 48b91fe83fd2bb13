"""Any step with any children, ended in any order, against what the scheduler promises about them."""

from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.action_schema import ForEach, MergeStrategy, SubplanMode, SubplansSpec
from daemon.scheduling import Next, Rules, Sibling, Stage, apart, look

BEHIND = frozenset({Stage.INTEGRATED, Stage.LEFT_OUT})
PATHS = ("a", "a/b", "c", ".")


class Part(msgspec.Struct, frozen=True):
    """What a child is, and what will become of it.

    Attributes:
        needs: Positions before its own.
        paths: What it declares.
        failures: How often it fails before it succeeds.
        fits: Whether it enters its parent without a conflict.
        cancelled: Whether somebody cancels it while it is active.
    """

    needs: frozenset[int]
    paths: tuple[str, ...]
    failures: int
    fits: bool
    cancelled: bool


class Work(msgspec.Struct, frozen=True):
    """A step and its children."""

    spec: SubplansSpec
    parts: list[Part]


@st.composite
def works(draw: st.DrawFn) -> Work:
    mode: SubplanMode = draw(st.sampled_from(("parallel", "sequential", "dependency_ordered")))
    merges: tuple[MergeStrategy, ...] = ("git_three_way", "sequential_apply")
    spec = SubplansSpec(
        action="local/x",
        for_each=ForEach(),
        mode=mode,
        merge=draw(st.sampled_from(merges)),
        max_parallel=draw(st.integers(1, 4)),
        fail_fast=draw(st.booleans()),
        retries=draw(st.integers(0, 1)),
    )
    parts = [
        Part(
            needs=draw(st.frozensets(st.integers(0, n - 1), max_size=2))
            if n and mode == "dependency_ordered"
            else frozenset(),
            paths=tuple(draw(st.lists(st.sampled_from(PATHS), max_size=2))),
            failures=draw(st.sampled_from((0, 0, 0, 1, 2))),
            fits=draw(st.sampled_from((True, True, True, False))),
            cancelled=draw(st.sampled_from((False, False, False, True))),
        )
        for n in range(draw(st.integers(0, 7)))
    ]
    return Work(spec, parts)


class Run:
    """A parent's job over its children, and the children, which end as `order` says.

    Attributes:
        entered: Who is in the parent, in the order in which they came.
    """

    def __init__(self, work: Work, order: Iterator[int]) -> None:
        self.spec, self.parts, self._order = work.spec, list(work.parts), order
        self.rules = Rules.of(work.spec)
        self.stages = [Stage.WAITING for _ in work.parts]
        self.starts = [0 for _ in work.parts]
        self.began_from: dict[int, list[int]] = {}
        self.held_up: set[int] = set()
        self.given_up: set[int] = set()
        self.entered: list[int] = []
        self.stopped = False
        self.mended = False

    def until_over(self) -> None:
        """One execution of the parent."""
        came: list[int] = []
        for _ in range(20 * (1 + len(self.parts))):
            todo = self.look()
            if todo.over:
                self.check_end()
                return
            for position in todo.start:
                self.start(position)
            if todo.integrate is not None and self.integrate(todo.integrate):
                assert came == [one for one in came if one < todo.integrate], "out of turn"
                came.append(todo.integrate)
            if todo.integrate is None and not todo.start:
                self.wait()
        raise AssertionError("it never ends")

    def look(self) -> Next:
        siblings = [
            Sibling(f"p{n}", stage, part.needs, part.paths)
            for n, (stage, part) in enumerate(zip(self.stages, self.parts, strict=True))
        ]
        return look(self.rules, siblings, stopped=self.stopped, held_up=frozenset(self.held_up))

    def start(self, position: int) -> None:
        """It begins, unless somebody else has locked its files."""
        part = self.parts[position]
        assert self.stages[position] is Stage.WAITING
        assert position not in self.held_up
        assert all(self.stages[need] in BEHIND for need in part.needs)
        if part.paths and next(self._order) % 4 == 0:
            self.held_up.add(position)
            return
        active = [n for n, stage in enumerate(self.stages) if stage is Stage.ACTIVE]
        assert len(active) < self.rules.at_once
        assert all(apart(part.paths, self.parts[other].paths) for other in active)
        if self.rules.chained:
            before = self.stages[:position]
            assert Stage.FINISHED not in before, "it would start without the result of the one before"
        if self.spec.mode == "sequential":
            assert all(stage in BEHIND for stage in self.stages[:position]), "the one before did not succeed"
        self.stages[position] = Stage.ACTIVE
        self.starts[position] += 1
        self.began_from.setdefault(position, list(self.entered))

    def integrate(self, position: int) -> bool:
        assert self.stages[position] is Stage.FINISHED
        assert not self.stopped
        assert position not in self.given_up
        if self.rules.all_or_none:
            assert all(stage in {Stage.FINISHED, *BEHIND} for stage in self.stages), "nothing enters beside a failure"
        if self.rules.chained and not self.mended:
            assert self.began_from[position] == self.entered, "it did not start from the result of the one before"
        if not self.parts[position].fits:
            self.stopped = True
            return False
        self.stages[position] = Stage.INTEGRATED
        self.entered.append(position)
        return True

    def wait(self) -> None:
        """Something ends: a child, or what one waits for."""
        active = [n for n, stage in enumerate(self.stages) if stage is Stage.ACTIVE]
        choices = [*active, *(-1 - n for n in sorted(self.held_up))]
        assert choices != [], "it waits, and nothing will ever happen"
        chosen = choices[next(self._order) % len(choices)]
        if chosen < 0:
            self.held_up.discard(-1 - chosen)
        else:
            self.end(chosen)

    def end(self, position: int) -> None:
        part = self.parts[position]
        if part.cancelled:
            self.stages[position] = Stage.CANCELLED
        elif self.starts[position] > part.failures:
            self.stages[position] = Stage.FINISHED
        elif self.starts[position] <= self.spec.retries:
            self.stages[position] = Stage.WAITING
            self.held_up.add(position)  # it rests
        else:
            self.stages[position] = Stage.FAILED
            if self.spec.fail_fast:
                self.give_up_the_others()

    def give_up_the_others(self) -> None:
        for position, stage in enumerate(self.stages):
            if stage is Stage.ACTIVE or (stage is Stage.WAITING and not self.starts[position]):
                self.stages[position] = Stage.CANCELLED
                self.given_up.add(position)

    def check_end(self) -> None:
        """Nothing could still have happened."""
        assert Stage.ACTIVE not in self.stages
        for position, stage in enumerate(self.stages):
            if stage is Stage.WAITING:
                assert self.is_kept_out(position), f"{position} could have started"
            if stage is Stage.FINISHED and not self.stopped:
                assert self.rules.all_or_none
                assert {Stage.FAILED, Stage.CANCELLED} & set(self.stages), f"{position} could have been integrated"

    def is_kept_out(self, position: int) -> bool:
        before = self.stages[:position]
        return (
            any(self.stages[need] not in BEHIND for need in self.parts[position].needs)
            or (self.spec.mode == "sequential" and any(stage not in BEHIND for stage in before))
            or (self.spec.fail_fast and Stage.FAILED in self.stages)
            or (self.rules.chained and self.stopped)
        )

    def mend(self) -> None:
        """What a person does who wants the rest in: conflicts are settled, and what failed will succeed."""
        self.stopped = False
        self.mended = True
        again = {Stage.FAILED: Stage.WAITING, Stage.CANCELLED: Stage.LEFT_OUT}
        for position, stage in enumerate(self.stages):
            self.stages[position] = Stage.WAITING if position in self.given_up else again.get(stage, stage)
        self.given_up.clear()
        self.parts = [msgspec.structs.replace(part, failures=0, fits=True, cancelled=False) for part in self.parts]

    @property
    def whole(self) -> bool:
        return all(stage in BEHIND for stage in self.stages)


def order_of(numbers: list[int]) -> Iterator[int]:
    yield from numbers
    while True:
        yield 1


ORDERS = st.lists(st.integers(0, 23), max_size=60)


@given(works(), ORDERS, ORDERS)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_every_order_of_ends_leads_to_the_same_parent(work: Work, one: list[int], other: list[int]) -> None:
    """Who is in the parent, and who came after whom, does not depend on who was the fastest."""
    runs = [Run(work, order_of(order)) for order in (one, other)]
    for run in runs:
        run.until_over()

    left, right = runs
    if not (work.spec.fail_fast and work.spec.mode == "dependency_ordered"):  # which of them are over when one fails?
        assert left.entered == right.entered
        assert left.began_from.keys() & set(left.entered) == right.began_from.keys() & set(right.entered)
        if not left.rules.chained:
            return
        assert [left.began_from[n] for n in left.entered] == [right.began_from[n] for n in right.entered]


@given(works(), ORDERS)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_a_step_that_failed_can_be_brought_to_its_end(work: Work, order: list[int]) -> None:
    """With what failed mended, a second execution brings in all that nobody cancelled, each once."""
    run = Run(work, order_of(order))
    run.until_over()
    if not run.whole:
        run.mend()
        run.until_over()

    assert run.whole
    assert sorted(run.entered) == [n for n, stage in enumerate(run.stages) if stage is Stage.INTEGRATED]


@given(works(), ORDERS)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_fail_fast_in_parallel_is_all_or_none(work: Work, order: list[int]) -> None:
    spec = msgspec.structs.replace(work.spec, mode="parallel", merge="git_three_way", fail_fast=True)
    parts = [msgspec.structs.replace(part, needs=frozenset(), fits=True) for part in work.parts]
    run = Run(Work(spec, parts), order_of(order))

    run.until_over()

    assert run.entered in ([], list(range(len(parts))))
    fails = any(part.failures > spec.retries or part.cancelled for part in parts)
    assert (run.entered == []) == (fails or not parts)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (["a"], ["b"], True),
        (["a"], ["a"], False),
        (["a"], ["a/b"], False),
        (["a/b"], ["a"], False),
        (["a"], ["ab"], True),
        (["."], ["a"], False),
        ([], ["a"], True),
        (["c", "a"], ["b", "a/x"], False),
    ],
)
def test_paths_are_apart_when_none_holds_another(one: list[str], other: list[str], *, expected: bool) -> None:
    assert apart(one, other) is expected
