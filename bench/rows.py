"""Every row, in groups: the table of what has to be reached, and what is told beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

from bench import children, commands, commits, costs, dashboard, git_work, idle, lasting, queueing, spawning, sync, wire
from bench.measure import Row

_TABLE = (
    "status", "plan-list", "reply", "reply-32", "jobs", "jobs-in-a-row", "processes", "first-instruction", "claim",
    "commits", "first-sandbox", "later-sandbox", "snapshot", "diff-merge", "sync-pull", "dashboard-first-row",
    "dashboard-page-cpu", "idle-cpu", "idle-memory", "cold-start",
)  # fmt: skip
"""The figures that a release is held to, in the order in which they are promised."""


@dataclass(frozen=True)
class Group:
    """Rows that are taken, and shown, together."""

    name: str
    title: str
    rows: list[Row]


def _of(*modules: ModuleType) -> list[Row]:
    return [row for module in modules for row in module.ROWS]


ROWS = {
    row.name: row
    for row in _of(
        commands, wire, queueing, spawning, lasting, commits, git_work, children, idle, sync, dashboard, costs
    )
}


def _others(name: str, title: str, *modules: ModuleType) -> Group:
    return Group(name, title, [row for row in _of(*modules) if row.name not in _TABLE])


def _groups() -> Sequence[Group]:
    return (
        Group("table", "What has to be reached", [ROWS[name] for name in _TABLE]),
        _others("work", "Commands, jobs and commits", commands, queueing, spawning, lasting, commits),
        _others("children", "Children of one plan", children),
        _others("team", "Team server and sync", sync),
        _others("dashboard", "The dashboard", dashboard),
        _others("costs", "What it costs to keep", costs),
    )


GROUPS = _groups()
