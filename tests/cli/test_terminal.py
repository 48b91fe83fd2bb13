"""`ca` on a terminal: it asks, shows progress in place, colours and pages."""

import pytest

from tests import terminals
from tests.homes import CA, Done, Home, unchanged

ESCAPE = "\x1b["


def on_terminal(
    home: Home, *arguments: str, typed: str = "", columns: int = 100, rows: int = 30, **variables: str
) -> Done:
    """Run `ca` with a terminal as all of its streams; `typed` waits in its input from the start."""
    environ = {
        **home.environ_of(f"{columns} columns", *arguments),
        "TERM": "xterm-256color",
        "PAGER": "cat",
        **variables,
    }
    return terminals.on_terminal([*CA, *arguments], environ, home.work, typed, columns, rows)


def test_apply_shows_what_it_is_about_to_do_and_asks(shared: Home) -> None:
    root = shared.repository()
    plan = shared.executed("echo x > new.txt", project=root)

    done = on_terminal(shared, "plan", "apply", plan, typed="y\n")

    assert done.code == 0
    assert "1 file +1" in done.out
    assert "[y/N]" in done.out
    assert "applied" in done.out
    assert (root / "new.txt").read_text() == "x\n"


def test_apply_tells_before_it_asks_how_the_merge_will_go(shared: Home) -> None:
    """Edits of the user's beside the change and in its way; a look leaves no ref behind."""
    root = shared.repository()
    plan = shared.executed("sed -i s/one/ONE/ a.txt", project=root, checks=[{"run": "true", "name": "tests"}])
    refs = shared.git(root, "for-each-ref")

    def told(content: str) -> str:
        (root / "a.txt").write_text(content)
        with unchanged(root):
            return on_terminal(shared, "plan", "apply", plan, typed="n\n", NO_COLOR="1").out

    assert "merges cleanly\n" in told("one\ntwo\nthree\n")
    beside = told("one\ntwo\nthree\nmine\n")
    assert "merges cleanly, 1 of them with edits of yours, which are kept" in beside
    assert "on the merged result:\n    tests  true\n" in beside
    against = told("mine\ntwo\nthree\n")
    assert "collides with your own changes; nothing would be written" in against
    assert "✘ a.txt (content)" in against
    assert shared.position(plan) == "execute/complete"
    assert shared.git(root, "for-each-ref") == refs
    kept = shared.data("plan", "artifacts", plan)["artifacts"]
    assert {one["kind"] for one in kept if one["ref"]} == {"base", "checkpoint"}


@pytest.mark.parametrize("verb", ["apply", "cancel", "revert"])
def test_no_is_taken_for_no(shared: Home, verb: str) -> None:
    root = shared.repository()
    plan = shared.executed("echo x > new.txt", project=root)

    with unchanged(root):
        done = on_terminal(shared, "plan", verb, plan, typed="n\n")

    assert done.code == 6
    assert "nothing was done" in done.out
    assert shared.position(plan) == "execute/complete"


def test_undo_revert_and_cancel_do_it_after_a_yes(shared: Home) -> None:
    root = shared.repository()
    plan = shared.executed("echo x > new.txt", project=root)
    shared.apply(plan)

    assert on_terminal(shared, "plan", "undo", plan, typed="y\n").code == 0
    assert not (root / "new.txt").exists()
    assert on_terminal(shared, "plan", "revert", plan, typed="y\n").code == 0
    shared.run("plan", "wait", plan)
    assert on_terminal(shared, "plan", "cancel", plan, typed="y\n").code == 0
    assert shared.plan(plan)["state"] == "cancelled"


def test_removing_asks_too(shared: Home) -> None:
    action, root = shared.action("true"), shared.repository()

    assert on_terminal(shared, "action", "remove", action, typed="y\n").code == 0
    assert on_terminal(shared, "project", "remove", root.name, typed="y\n").code == 0
    assert shared.error("action", "show", action, code=3)["code"] == "not_found"
    assert root.is_dir()


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_execute_shows_its_progress_in_place_to_the_end(shared: Home, columns: int) -> None:
    """The block is redrawn where it stands, and what is left at the end is the whole of it, with no line too long."""
    plan = shared.use(shared.action("echo one", "echo two > new.txt"), shared.repository(), profile="supervised")

    done = on_terminal(shared, "plan", "execute", plan, columns=columns)

    assert done.code == 0
    assert ESCAPE in done.out
    for step in ("s1", "s2"):
        assert step in done.out
    assert "ca plan diff" in done.out


def test_failing_step_shows_its_last_lines_below_the_progress(shared: Home) -> None:
    plan = shared.use(shared.action("echo first; echo why >&2; exit 3"), shared.repository(), profile="supervised")

    done = on_terminal(shared, "plan", "execute", plan)

    assert done.code == 1
    assert "exit 3" in done.out
    assert "why" in done.out
    assert f"ca plan execute {plan}" in done.out


def test_use_with_follow_prints_the_output_of_the_steps(shared: Home) -> None:
    action, root = shared.action("echo said; echo again"), shared.repository()

    done = on_terminal(shared, "plan", "use", action, root.name, "--profile", "trusted", "--follow")

    assert done.code == 0
    assert "said" in done.out
    assert "again" in done.out


def test_diff_is_coloured_and_paged(shared: Home) -> None:
    plan = shared.executed("echo four >> a.txt; seq 50 >> a.txt; rm dir/b.txt")

    done = on_terminal(shared, "plan", "diff", plan, PAGER="sed 's/^/> /'")

    assert done.code == 0
    assert "> " in done.out
    assert ESCAPE in done.out
    assert "+four" in done.out
    assert "deleted" in done.out


def test_diff_without_colours_and_pager(shared: Home) -> None:
    plan = shared.executed("echo four >> a.txt")

    done = on_terminal(shared, "plan", "diff", plan, "--no-pager", NO_COLOR="1", PAGER="false")

    assert done.code == 0
    assert ESCAPE not in done.out
    assert "+four" in done.out


def test_pager_that_does_not_exist_is_no_failure(shared: Home) -> None:
    plan = shared.executed("seq 50 >> a.txt")

    done = on_terminal(shared, "plan", "diff", plan, PAGER="/no/such/pager")

    assert "+50" in done.out
    assert done.code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("status",), ("plan", "list"), ("project", "list"), ("action", "list"), ("job", "list"), ("events",),
        ("daemon", "status"), ("diagnostics",), ("config", "list"),
    ],
)  # fmt: skip
def test_overviews_are_coloured_and_fit(shared: Home, words: tuple[str, ...]) -> None:
    """Colour is there for people, and no line is longer than the terminal is wide."""
    shared.executed("false", code=1)

    done = on_terminal(shared, *words, columns=60)
    plain = on_terminal(shared, *words, columns=60, NO_COLOR="1")

    assert done.code == 0
    assert ESCAPE in done.out or words[0] == "config"
    assert ESCAPE not in plain.out


def test_action_is_shown_with_everything_that_it_says(shared: Home) -> None:
    name = shared.action(
        name=shared.fresh("local/whole"),
        description="All of it",
        definition_of_done="it is done",
        arguments=[
            {"name": "target", "type": "path", "required": True, "description": "where"},
            {"name": "level", "type": "choice", "choices": ["low", "high"], "default": "low"},
        ],
        invariants=["nothing generated is edited"],
        sandbox={"include": [".env"], "setup": "true"},
        env={"LEVEL": "1"},
        steps=[
            {"id": "one", "run": "echo {target} {level}", "timeout": "10m"},
            {"id": "two", "needs": ["one"], "run": "true"},
        ],
        checks=[{"run": "true", "name": "ok"}],
    )

    shown = shared.run("action", "show", name).out

    for word in (
        "All of it",
        "it is done",
        "target",
        "where",
        "level",
        "nothing generated is edited",
        ".env",
        "one",
        "two",
        "ok",
    ):
        assert word in shown


def test_dry_run_is_told_to_people(shared: Home) -> None:
    root, action = shared.repository(), shared.action("echo x > new.txt")

    told = shared.run("plan", "use", action, root.name, "--dry-run").out

    assert "s1" in told
    assert root.name in told


def test_logs_of_one_step_and_of_all(shared: Home) -> None:
    plan = shared.executed("echo from-one", "echo from-two")

    assert shared.run("plan", "logs", plan, "--step", "s2").out == "from-two\n"
    everything = shared.run("plan", "logs", plan).out
    assert everything.index("from-one") < everything.index("from-two")
    assert "from-two" in shared.run("job", "logs", shared.plan(plan)["job_id"]).out


def test_daemon_log_is_shown(home: Home) -> None:
    home.data("daemon", "start")

    assert "serves" in home.run("daemon", "logs", "--lines", "5").out


def test_colours_of_steps_are_shown_where_there_are_colours(shared: Home) -> None:
    """What is followed is ours to print; a log is its bytes."""
    printed = "\x1b[1;31mred\x1b[0m and \x1b[38;5;9mmore\x1b[m"
    plan = shared.executed(r"printf '\033[1;31mred\033[0m and \033[38;5;9mmore\033[m\n'")

    assert printed in on_terminal(shared, "plan", "follow", plan).out
    without = on_terminal(shared, "plan", "follow", plan, NO_COLOR="1").out
    piped = shared.run("plan", "follow", plan).out
    aside = shared.run("plan", "follow", plan, "--format", "json").err
    for text in (without, piped, aside):
        assert "s1 │ red and more" in text
    assert shared.run("plan", "logs", plan).out == f"{printed}\n"
