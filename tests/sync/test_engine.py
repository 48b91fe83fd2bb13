"""What becomes of definitions when both sides change them, and when a sync is cut off: each case by itself."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import pytest

from daemon import projects
from daemon.sync.engine import Outcome
from daemon.sync.merging import Policy
from store import definitions, entities, errors
from tests.models.sync_servers import NAMESPACE, Key, Server, text
from tests.models.sync_world import Client, Fault, Side, What, World

X, Y = Key("actor", "x"), Key("action", "y")
OLD, MINE, THEIRS = text(X, "old"), text(X, "mine"), text(X, "theirs")
MANY = 1200


class Clash(NamedTuple):
    """What both had, and what each made of it; None is nothing."""

    before: str | None
    mine: str | None
    theirs: str | None


clashes = pytest.mark.parametrize(
    "clash",
    [Clash(OLD, MINE, THEIRS), Clash(OLD, MINE, None), Clash(OLD, None, THEIRS), Clash(None, MINE, THEIRS)],
    ids=["edit/edit", "edit/delete", "delete/edit", "create/create"],
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path, "ab")
    try:
        yield found
        found.check()
    finally:
        found.close()


@pytest.fixture
def a(world: World) -> Client:
    return world.clients[0]


@pytest.fixture
def b(world: World) -> Client:
    return world.clients[1]


@pytest.fixture
def server(world: World) -> Server:
    return world.servers[0]


def change(world: World, client: Client, key: Key, content: str | None) -> None:
    world.run(client.remove(key) if content is None else client.put(key, content))


def sync(world: World, *clients: Client) -> None:
    for client in clients:
        world.run(client.sync())


def collide(world: World, clash: Clash) -> None:
    """The second client has pushed its version; the first one has its own, and knows nothing of the other."""
    a, b = world.clients
    change(world, a, X, clash.before)
    sync(world, a, b)
    change(world, b, X, clash.theirs)
    sync(world, b)
    change(world, a, X, clash.mine)


# --- conflicts ---------------------------------------------------------------------------------------------------------


@clashes
def test_a_conflict_keeps_both_and_runs_the_local_one(world: World, a: Client, server: Server, clash: Clash) -> None:
    collide(world, clash)

    first, second = world.run(a.sync()), world.run(a.sync())

    assert (first, second) == (Outcome(conflicts=1), Outcome())
    assert a.conflicts() == [X]
    assert (a.entity(X).content, a.here(X), a.entity(X).theirs_content) == clash
    assert server.at(X).content == clash.theirs


@clashes
@pytest.mark.parametrize("take", ["local", "server"])
def test_a_conflict_is_settled_by_choice_and_the_other_version_is_kept(
    world: World, a: Client, b: Client, take: Side, clash: Clash
) -> None:
    collide(world, clash)
    sync(world, a)

    world.run(a.resolve(X, take))
    sync(world, a, b)

    chosen, loser = (clash.mine, ("server", clash.theirs)) if take == "local" else (clash.theirs, ("local", clash.mine))
    assert (a.here(X), b.here(X), world.servers[0].at(X).content) == (chosen, chosen, chosen)
    assert a.lost(X) == [loser]
    assert a.conflicts() == []


@clashes
@pytest.mark.parametrize("policy", ["local_wins", "server_wins"])
def test_a_policy_settles_a_conflict_at_once_and_the_other_version_is_kept(
    world: World, a: Client, b: Client, policy: Policy, clash: Clash
) -> None:
    collide(world, clash)
    a.policy = policy

    sync(world, a, b)

    chosen, loser = (
        (clash.mine, ("server", clash.theirs)) if policy == "local_wins" else (clash.theirs, ("local", clash.mine))
    )
    assert (a.here(X), b.here(X), world.servers[0].at(X).content) == (chosen, chosen, chosen)
    assert a.lost(X) == [loser]
    assert world.run(a.sync()) == Outcome()


@clashes
@pytest.mark.parametrize("policy", ["manual", "local_wins", "server_wins"])
def test_a_conflict_that_only_the_server_sees_is_the_same(
    world: World, a: Client, policy: Policy, clash: Clash
) -> None:
    """A push without a pull before it is refused by the server, which sends what it has."""
    collide(world, clash)
    a.policy = policy

    pushed = world.run(a.sync("push"))

    assert pushed == Outcome(pushed=int(policy == "local_wins"), conflicts=int(policy == "manual"))
    assert a.here(X) == (clash.theirs if policy == "server_wins" else clash.mine)
    assert (
        a.lost(X)
        == {"manual": [], "local_wins": [("server", clash.theirs)], "server_wins": [("local", clash.mine)]}[policy]
    )
    assert world.servers[0].at(X).content == (clash.mine if policy == "local_wins" else clash.theirs)


@pytest.mark.parametrize("policy", ["local_wins", "server_wins"])
def test_an_open_conflict_is_settled_when_a_policy_is_chosen(world: World, a: Client, policy: Policy) -> None:
    collide(world, Clash(OLD, MINE, THEIRS))
    sync(world, a)

    a.policy = policy
    sync(world, a)

    chosen = MINE if policy == "local_wins" else THEIRS
    assert (a.conflicts(), a.here(X), world.servers[0].at(X).content) == ([], chosen, chosen)


def test_the_same_change_on_both_sides_is_no_conflict(world: World, a: Client) -> None:
    collide(world, Clash(OLD, MINE, MINE))

    assert world.run(a.sync()) == Outcome()

    assert (a.entity(X).pending, a.lost(X)) == (None, [])


def test_a_conflict_that_is_chosen_by_editing_is_none_any_more(world: World, a: Client) -> None:
    collide(world, Clash(OLD, MINE, THEIRS))
    sync(world, a)

    change(world, a, X, THEIRS)

    assert (a.conflicts(), a.entity(X).pending) == ([], None)
    assert world.run(a.sync()) == Outcome()


def test_there_is_nothing_to_choose_without_a_conflict(world: World, a: Client) -> None:
    change(world, a, X, OLD)
    sync(world, a)

    with pytest.raises(errors.NotFoundError):
        world.run(a.resolve(X, "local"))

    assert a.here(X) == OLD


def test_a_choice_is_for_the_conflict_that_was_seen(world: World, a: Client) -> None:
    """The definition is changed once more after the choice has looked at it."""
    collide(world, Clash(OLD, MINE, THEIRS))
    sync(world, a)
    newer = text(X, "newer")

    async def choose_and_change() -> tuple[BaseException | None, BaseException | None]:
        return await asyncio.gather(a.resolve(X, "server"), a.put(X, newer), return_exceptions=True)

    refused, _ = world.run(choose_and_change())

    assert isinstance(refused, errors.SyncConflictError)
    assert (a.here(X), a.conflicts()) == (newer, [X])


# --- cut off -----------------------------------------------------------------------------------------------------------


def test_a_change_whose_answer_was_lost_is_known_as_our_own(world: World, a: Client, b: Client, server: Server) -> None:
    """It was taken over, changed again here, and overwritten by somebody who had seen it."""
    change(world, a, X, OLD)
    sync(world, a, b)
    change(world, a, X, MINE)
    assert world.run(a.sync("push", Fault("reply lost", 1))) is None
    change(world, a, X, text(X, "mine again"))
    sync(world, b)
    change(world, b, X, THEIRS)
    sync(world, b)

    sync(world, a)

    assert a.conflicts() == [X]
    entity = a.entity(X)
    assert (entity.content, a.here(X), entity.theirs_content) == (MINE, text(X, "mine again"), THEIRS)
    assert [write.version.content for write in server.history] == [OLD, MINE, THEIRS]


def test_a_change_whose_answer_was_lost_is_no_conflict_with_what_was_made_of_it(
    world: World, a: Client, b: Client
) -> None:
    change(world, a, X, MINE)
    assert world.run(a.sync("push", Fault("reply lost", 2))) is None
    sync(world, b)
    change(world, b, X, THEIRS)
    sync(world, b)

    assert world.run(a.sync()) == Outcome(pulled=1, pushed=1)

    assert (a.here(X), a.conflicts(), a.lost(X)) == (THEIRS, [], [])


@pytest.mark.parametrize("content", [text(X, "mine again"), None, OLD], ids=["changed", "removed", "changed back"])
@pytest.mark.parametrize("moment", ["meddle", "answered"])
def test_a_change_that_is_made_during_a_push_is_pushed_after_it(
    world: World, a: Client, server: Server, moment: Literal["meddle", "answered"], content: str | None
) -> None:
    change(world, a, X, OLD)
    sync(world, a)
    change(world, a, X, MINE)
    meddle = a.remove(X) if content is None else a.put(X, content)

    async def meddles() -> None:
        await meddle

    world.run(a.sync("push", Fault(moment, 1, meddles)))
    sync(world, a)

    assert [write.version.content for write in server.history] == [OLD, MINE, content]
    assert (a.here(X), a.entity(X).pending) == (content, None)


@pytest.mark.parametrize("sent", [MINE, None], ids=["change", "deletion"])
def test_connecting_again_before_an_answer_was_heard_is_no_conflict_with_oneself(
    world: World, a: Client, server: Server, sent: str | None
) -> None:
    change(world, a, X, OLD)
    sync(world, a)
    change(world, a, X, sent)
    assert world.run(a.sync("push", Fault("reply lost", 1))) is None
    change(world, a, X, text(X, "mine again"))

    assert world.run(a.connect(server)).conflicts == 0

    sync(world, a)
    assert server.at(X).content == text(X, "mine again")


def test_a_page_and_its_cursor_are_one_step(world: World, a: Client, b: Client) -> None:
    """Killed after each of the pages, the next sync goes on there; every definition is stored once."""
    sync(world, b)
    make_many(world, a, "first")
    sync(world, a)

    assert [world.run(b.sync("pull", Fault("dies", 1))) for _ in range(3)] == [None] * 3

    assert world.run(b.sync()) == Outcome()
    assert b.link.methods == ["pull"]
    assert [actor.revision for actor in definitions.actors(b.db.read)] == [1] * MANY


def test_a_page_whose_answer_was_lost_is_fetched_again(world: World, a: Client, b: Client) -> None:
    sync(world, b)
    make_many(world, a, "first")
    sync(world, a)

    assert world.run(b.sync("pull", Fault("reply lost", 2))) is None

    assert world.run(b.sync("pull")) == Outcome(pulled=MANY - 500)
    assert len(b.entities()) == MANY


# --- many --------------------------------------------------------------------------------------------------------------


def make_many(world: World, client: Client, description: str) -> None:
    keys = [Key("actor", f"x{number}") for number in range(MANY)]
    world.run(client.put_all({key: text(key, description) for key in keys}))


def test_many_definitions_come_in_pages(world: World, a: Client, b: Client, server: Server) -> None:
    make_many(world, a, "first")
    assert world.run(a.sync()) == Outcome(pushed=MANY)
    assert a.link.methods == ["full", "push", "push", "push", "pull", "pull", "pull"]

    assert world.run(b.sync()) == Outcome(pulled=MANY)
    assert b.link.methods == ["full", "full", "full"]

    make_many(world, b, "second")
    assert world.run(b.sync("push")) == Outcome(pushed=MANY)
    assert world.run(a.sync()) == Outcome(pulled=MANY)
    assert a.link.methods == ["pull", "pull", "pull"]
    assert {entity.content for entity in a.entities()} == {found.content for found in server.rows().values()}


def test_definitions_change_while_a_full_sync_reads_its_pages(world: World, a: Client, b: Client) -> None:
    make_many(world, a, "first")
    sync(world, a)
    early, late = Key("actor", "x0"), Key("actor", "x999")

    async def meddle() -> None:
        await a.put(early, text(early, "changed"))
        await a.remove(late)
        await a.put(Key("actor", "a"), text(Key("actor", "a"), "new"))
        await a.sync()

    world.run(b.sync("full", Fault("meddle", 2, meddle)))
    sync(world, b)

    for key in (early, late, Key("actor", "a"), Key("actor", "x5")):
        assert b.here(key) == a.here(key) == world.servers[0].at(key).content


# --- what one side does not take ---------------------------------------------------------------------------------------


def test_a_refused_change_is_not_sent_again_until_it_is_another_one(world: World, a: Client, server: Server) -> None:
    long = text(X, "x" * 1024 * 1024)
    world.run(a.put_all({X: long}))
    change(world, a, Y, text(Y, "fine"))

    assert world.run(a.sync()) == Outcome(pushed=1)
    assert "1048576 is the limit" in (a.entity(X).refused or "")
    assert (a.here(X), server.at(X).content, server.at(Y).content) == (long, None, text(Y, "fine"))
    assert world.run(a.sync()) == Outcome()
    assert a.link.methods == ["pull"]

    change(world, a, X, MINE)
    assert world.run(a.sync()) == Outcome(pushed=1)
    assert (a.entity(X).refused, server.at(X).content) == (None, MINE)


def test_a_refused_change_that_was_replaced_meanwhile_is_not_marked(world: World, a: Client, server: Server) -> None:
    sync(world, a)
    world.run(a.put_all({X: text(X, "x" * 1024 * 1024)}))

    world.run(a.sync("push", Fault("answered", 1, lambda: a.put(X, MINE))))
    sync(world, a)

    assert (a.entity(X).refused, server.at(X).content) == (None, MINE)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("name: [nonsense", "line 1"),
        (text(Key("actor", "other"), "theirs"), "its name is team/other"),
        ("# nothing\n", "empty"),
    ],
    ids=["no YAML", "another name", "nothing in it"],
)
def test_what_cannot_be_used_is_listed_and_the_older_one_stays(
    world: World, a: Client, server: Server, content: str, reason: str
) -> None:
    change(world, a, X, OLD)
    sync(world, a)
    world.run(server.push_raw(X, content))
    world.run(server.push_raw(Y, text(Y, "fine")))

    assert world.run(a.sync()) == Outcome(pulled=1)

    assert reason in (a.entity(X).invalid or "")
    assert (a.here(X), a.here(Y)) == (OLD, text(Y, "fine"))
    assert [entity.name for entity in entities.unusable(a.db.read, NAMESPACE)] == ["x"]
    assert world.run(a.sync()) == Outcome()

    world.run(server.push_raw(X, THEIRS))
    assert world.run(a.sync()) == Outcome(pulled=1)
    assert (a.entity(X).invalid, a.here(X)) == (None, THEIRS)


def test_the_older_one_of_what_cannot_be_used_can_be_shared_again(world: World, a: Client, server: Server) -> None:
    change(world, a, X, OLD)
    sync(world, a)
    world.run(server.push_raw(X, "name: [nonsense"))
    sync(world, a)

    change(world, a, X, MINE)
    sync(world, a)

    assert (a.entity(X).invalid, a.conflicts(), server.at(X).content) == (None, [], MINE)
    assert [(one.origin, one.content) for one in entities.versions(a.db.read, NAMESPACE)] == [
        ("server", "name: [nonsense")
    ]


def test_a_version_that_cannot_be_used_cannot_be_chosen(world: World, a: Client, server: Server) -> None:
    change(world, a, X, OLD)
    sync(world, a)
    world.run(server.push_raw(X, "name: [nonsense"))
    change(world, a, X, MINE)
    sync(world, a)

    with pytest.raises(errors.InvalidActionError, match="cannot be used here"):
        world.run(a.resolve(X, "server"))

    assert (a.conflicts(), a.here(X)) == ([X], MINE)


# --- other histories ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("other", [False, True], ids=["as it was", "gone on"])
def test_what_a_restored_server_has_lost_is_kept(
    world: World, a: Client, b: Client, server: Server, *, other: bool
) -> None:
    """A definition that was made, and one that was changed, after the copy."""
    change(world, a, X, OLD)
    sync(world, a, b)
    world.run(server.back_up())
    change(world, a, X, MINE)
    change(world, a, Y, text(Y, "mine"))
    sync(world, a)
    world.put_back()
    if other:
        for description in ("one", "two", "three"):
            change(world, b, X, text(X, description))
            sync(world, b)

    sync(world, a)

    assert a.here(X) == (text(X, "three") if other else OLD)
    assert a.here(Y) is None
    assert (a.lost(X), a.lost(Y)) == ([("local", MINE)], [("local", text(Y, "mine"))])


def test_a_revision_that_a_restored_server_gave_again_is_not_taken_for_the_first(
    world: World, a: Client, b: Client, server: Server
) -> None:
    world.run(server.back_up())
    change(world, a, X, OLD)
    assert world.run(a.sync("push")) == Outcome(pushed=1)
    world.put_back()
    change(world, b, X, THEIRS)
    sync(world, b)
    assert a.entity(X).revision == server.at(X).revision

    change(world, a, X, MINE)
    world.run(a.sync("push"))

    assert (a.conflicts(), a.here(X), server.at(X).content) == ([X], MINE, THEIRS)


def test_a_restored_server_that_nobody_wrote_to_since_is_noticed(world: World, a: Client, server: Server) -> None:
    sync(world, a)
    world.run(server.back_up())
    change(world, a, X, MINE)
    assert world.run(a.sync("push")) == Outcome(pushed=1)
    world.put_back()

    assert world.run(a.sync()) == Outcome(removed=1)

    assert (a.here(X), a.lost(X)) == (None, [("local", MINE)])


def test_a_deletion_that_the_server_has_forgotten_reaches_who_was_away(
    world: World, a: Client, b: Client, server: Server
) -> None:
    change(world, a, X, OLD)
    sync(world, a, b)
    change(world, a, X, None)
    sync(world, a)
    world.clock.advance(91 * 86_400)
    change(world, a, Y, text(Y, "newer"))
    sync(world, a)
    world.clock.advance(91 * 86_400)
    world.run(server.collect())
    assert X not in server.rows()

    assert world.run(b.sync()) == Outcome(pulled=1, removed=1)

    assert "full" in b.link.methods
    assert (b.here(X), b.here(Y)) == (None, text(Y, "newer"))


def test_a_change_of_what_the_server_has_forgotten_is_a_conflict(
    world: World, a: Client, b: Client, server: Server
) -> None:
    change(world, a, X, OLD)
    sync(world, a, b)
    change(world, a, X, None)
    sync(world, a)
    world.clock.advance(91 * 86_400)
    change(world, a, Y, text(Y, "newer"))
    sync(world, a)
    world.clock.advance(91 * 86_400)
    world.run(server.collect())
    change(world, b, X, MINE)

    sync(world, b)
    assert b.conflicts() == [X]
    assert (b.here(X), b.entity(X).theirs_content) == (MINE, None)

    world.run(b.resolve(X, "local"))
    sync(world, b, a)
    assert (server.at(X).content, a.here(X)) == (MINE, MINE)


def test_another_server_gets_what_is_new_and_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    world = World(tmp_path, "a", servers=2)
    try:
        (a,), (old, new) = world.clients, world.servers
        edited, z = Key("actor", "edited"), Key("actor", "z")
        change(world, a, X, OLD)
        change(world, a, edited, text(edited, "old"))
        sync(world, a)
        change(world, a, edited, text(edited, "not pushed"))
        change(world, a, Y, text(Y, "not pushed"))
        world.run(new.push_raw(z, text(z, "theirs")))

        assert world.run(a.connect(new)) == Outcome(pulled=1, removed=1)
        assert world.run(a.sync()) == Outcome(pushed=2)

        assert (a.here(X), a.lost(X)) == (None, [("local", OLD)])
        assert (new.at(edited).content, old.at(edited).content) == (text(edited, "not pushed"), text(edited, "old"))
        assert (new.at(Y).content, old.at(Y).content) == (text(Y, "not pushed"), None)
        assert a.here(z) == text(z, "theirs")
        world.check()
    finally:
        world.close()


@pytest.mark.parametrize("what", ["push", "full"])
def test_a_push_or_a_full_sync_notices_by_itself_that_the_server_was_restored(
    world: World, a: Client, server: Server, what: What
) -> None:
    change(world, a, X, OLD)
    sync(world, a)
    world.run(server.back_up())
    change(world, a, X, MINE)
    sync(world, a)
    world.put_back()
    change(world, a, Y, text(Y, "new"))

    world.run(a.sync(what))

    assert (a.here(X), a.lost(X), a.conflicts()) == (OLD, [("local", MINE)], [])
    sync(world, a)
    assert server.at(Y).content == text(Y, "new")


def test_a_full_sync_that_fails_changes_nothing(world: World, a: Client, b: Client) -> None:
    change(world, a, X, OLD)
    sync(world, a, b)
    make_many(world, a, "first")
    sync(world, a)
    before = b.entities()

    assert world.run(b.sync("full", Fault("request lost", 2))) is None

    assert (b.entities(), b.here(X)) == (before, OLD)


# --- projects ----------------------------------------------------------------------------------------------------------


def test_projects_travel_without_their_directories(
    world: World, a: Client, b: Client, server: Server, tmp_path: Path
) -> None:
    directories = [tmp_path / "here", tmp_path / "there"]
    for directory in directories:
        directory.mkdir()
    world.run(a.add_project(directories[0], "team/site"))
    sync(world, a, b)

    content = entities.every(b.db.read, NAMESPACE)[0].content or ""
    assert projects.parse(content, source="it").name == "team/site"
    assert str(tmp_path) not in content
    assert [entity.whole_name for entity in entities.projects_elsewhere(b.db.read)] == ["team/site"]

    world.run(b.add_project(directories[1], "team/site"))
    assert world.run(b.sync()) == Outcome()
    assert entities.projects_elsewhere(b.db.read) == []

    world.run(a.remove_project("team/site"))
    assert world.run(a.sync()) == Outcome(pushed=1)
    world.run(b.sync())
    assert [project.path for project in definitions.projects(b.db.read)] == [str(directories[1])]
    assert world.run(b.sync()) == Outcome()
    assert server.history[-1].version.content is None


# --- quiet -------------------------------------------------------------------------------------------------------------


def test_who_is_in_step_writes_nothing(world: World, a: Client, b: Client, server: Server) -> None:
    change(world, a, X, OLD)
    sync(world, a, b)
    databases = (a.db, b.db, server.db)
    before = [db.read.scalar("PRAGMA data_version") for db in databases]

    assert [world.run(client.sync()) for client in (a, b)] == [Outcome(), Outcome()]

    assert [a.link.methods, b.link.methods] == [["pull"], ["pull"]]
    assert [db.read.scalar("PRAGMA data_version") for db in databases] == before


def test_definitions_of_this_machine_stay_here(world: World, a: Client, server: Server) -> None:
    world.run(a.put_private("mine"))

    assert world.run(a.sync()) == Outcome()

    assert (entities.get(a.db.read, "actor", "local/mine"), server.history) == (None, [])


def test_what_was_fetched_before_another_sync_is_not_taken_over(world: World, a: Client, b: Client) -> None:
    """It would take back, for a moment, what that one brought."""
    change(world, b, X, OLD)
    sync(world, a, b)
    engine = a.engine()
    fetched = world.run(engine.fetch(a.link))
    change(world, b, Y, text(Y, "new"))
    sync(world, b, a)

    assert world.run(engine.take(fetched)) is None
    assert a.here(Y) == text(Y, "new")
