"""The named SQL blocks: each of them parses against the schema, and the hot ones read no whole table."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import apsw
import pytest

from store import opening, rows, team_opening
from store.database import Connection

FAMILIES = sorted(path.stem for path in rows.QUERIES.glob("*.sql"))
BLOCKS = [(family, name) for family in FAMILIES for name in rows.statements(family)]
LARGE = (
    "async_jobs",
    "events",
    "plans",
    "board",
    "steps",
    "decisions",
    "locks",
    "entities",
    "entity_versions",
    "changes",
    "pushes",
)
"""Tables that grow with use."""

WHOLE_TABLE = {
    ("plans", "like"): "a part of an id is looked for in all ids",
    ("plans", "list"): "the newest ones that fit: it walks back from the newest and stops at the limit",
    ("plans", "count"): "how many fit is counted",
    ("plans", "count_roots"): "how many there are is counted",
    ("boards", "counts_of_matching"): "how many fit is counted, over narrow rows and in a thread",
    ("plans", "unfinished_of_action"): "asked when an action is removed",
    ("trees", "list"): "the newest trees that fit: it walks back from the newest and stops at the limit",
    ("jobs", "like"): "a part of an id is looked for in all ids",
    ("jobs", "latest"): "the newest that fit: it walks back from the newest and stops at the limit",
    ("jobs", "count"): "how many fit is counted",
    ("events", "last"): "the newest: walks back and stops at the limit",
    ("events", "count"): "how many fit is counted",
    ("events", "prune"): "asked once an hour",
    ("locks", "stale"): "there are as many locks as jobs run",
    ("locks", "cleanup"): "there are as many locks as jobs run",
    ("locks", "list"): "every lock",
    ("team", "floors"): "asked once a day",
    ("entities", "projects_elsewhere"): "asked when projects are listed, of all namespaces",
}
"""Blocks that may read a whole table, each with its reason."""


class Schemas:
    """The daemon's store and the team server's, empty."""

    def __init__(self, store: Connection, team: Connection) -> None:
        self.store = store
        self.team = team

    def of(self, family: str) -> Connection:
        return self.team if family == "team" else self.store


def empty(migrations: Path) -> Connection:
    connection = cast("Connection", apsw.Connection(":memory:"))
    for step in sorted(migrations.glob("*.sql")):
        connection.execute(step.read_text())
    return connection


@pytest.fixture(scope="module")
def schema() -> Iterator[Schemas]:
    found = Schemas(empty(opening.MIGRATIONS), empty(team_opening.MIGRATIONS))
    yield found
    found.store.close()
    found.team.close()


def plan_of(schemas: Schemas, family: str, name: str) -> list[str]:
    """SQLite's own words about how it would carry a statement out."""
    schema = schemas.of(family)
    statement = rows.statements(family)[name]
    named = set(re.findall(r":([a-z_]+)", statement))
    bindings = dict.fromkeys(named, None) if named else [None] * statement.count("?")
    return [str(row[3]) for row in schema.execute(f"EXPLAIN QUERY PLAN {statement}", bindings).fetchall()]


def whole_tables(plan: list[str]) -> list[str]:
    """The steps that read every row of a large table or every entry of an index over it."""
    tables = [*LARGE, "job", "other", "newer"]  # with the names that statements give them
    return [step for step in plan if re.match(rf"SCAN ({'|'.join(tables)})\b", step)]


@pytest.mark.parametrize(("family", "name"), BLOCKS)
def test_every_block_parses_against_the_schema(schema: Schemas, family: str, name: str) -> None:
    plan_of(schema, family, name)

    assert rows.statements(family)[name].count(";") == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_every_block_is_named_once_and_has_a_purpose(family: str) -> None:
    text = (rows.QUERIES / f"{family}.sql").read_text()
    names = re.findall(r"^-- ([a-z_]+):", text, re.MULTILINE)

    assert len(names) == len(set(names)) == len(rows.statements(family))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_block_is_used(family: str) -> None:
    """A statement that nobody runs is dead text."""
    source = "\n".join(path.read_text() for path in (Path(rows.__file__).parent).glob("*.py"))

    assert [name for name in rows.statements(family) if f'_SQL["{name}"]' not in source] == []


@pytest.mark.parametrize(("family", "name"), [block for block in BLOCKS if block not in WHOLE_TABLE])
def test_no_statement_reads_a_whole_large_table(schema: Schemas, family: str, name: str) -> None:
    """What is asked for each job, beat or move costs the same whatever has piled up."""
    found = whole_tables(plan_of(schema, family, name))

    assert [step for step in found if not re.search(r"USING (COVERING )?INDEX jobs_(queued|running|open)", step)] == []


@pytest.mark.parametrize(("family", "name"), sorted(WHOLE_TABLE))
def test_every_exception_is_still_needed(schema: Schemas, family: str, name: str) -> None:
    assert whole_tables(plan_of(schema, family, name)) != []


def test_a_claim_walks_the_queue_in_its_order(schema: Schemas) -> None:
    """The index over the queued gives the order, so the first that may run is found without sorting."""
    plan = plan_of(schema, "jobs", "claim")

    assert any("jobs_queued" in step for step in plan)
    assert any("jobs_running" in step for step in plan)
    assert not [step for step in plan if "TEMP B-TREE" in step]


@pytest.mark.parametrize(
    ("family", "name", "index"),
    [
        ("jobs", "move", "sqlite_autoindex_async_jobs_1"),
        ("jobs", "beat", "sqlite_autoindex_async_jobs_1"),
        ("jobs", "open_of_plan", "jobs_open_of_plan"),
        ("jobs", "running", "jobs_running"),
        ("jobs", "queued_count", "jobs_queued"),
        ("jobs", "prune", "jobs_finished"),
        ("plans", "get", "sqlite_autoindex_plans_1"),
        ("plans", "named", "sqlite_autoindex_plans_2"),
        ("locks", "release_all", "locks_by_owner"),
        ("events", "prune", "events_by_plan"),
    ],
)
def test_hot_statements_use_their_index(schema: Schemas, family: str, name: str, index: str) -> None:
    assert any(index in step for step in plan_of(schema, family, name))


def test_the_queue_indexes_hold_no_finished_job(schema: Schemas) -> None:
    """That is what keeps a claim flat beside a million finished jobs."""
    definitions = dict(
        schema.store.execute(
            "SELECT name, sql FROM sqlite_schema WHERE tbl_name = 'async_jobs' AND sql IS NOT NULL"
        ).fetchall()
    )

    assert "WHERE status = 'queued'" in definitions["jobs_queued"]
    assert "WHERE status = 'running'" in definitions["jobs_running"]
