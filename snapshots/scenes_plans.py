"""The room of the plans: the list, the plan under the cursor in each of its tabs."""

from textual.widgets import Input

from snapshots.tours import COMPACT, LARGE, USUAL, Guest, Play, Scene

BOTH = (COMPACT, USUAL)
ALL = (COMPACT, USUAL, LARGE)


def look(plan: str, key: str, *sees: str) -> Play:
    """Put the cursor on a plan, press the key of a tab, and wait for what it shows."""

    async def play(guest: Guest) -> None:
        await guest.go_to(plan)
        await guest.press(key)
        await guest.sees(*sees)

    return play


async def plans(guest: Guest) -> None:
    """The list, from its beginning."""
    await guest.sees("◆ NEEDS YOU", "▶ RUNNING", "◌ QUEUED", "✔ DONE", "fix-types", "upgrade-deps", "◆ 4 need you")
    assert guest.offers("plan.apply") != guest.app.read_only


async def children(guest: Guest) -> None:
    """Unfold a parent."""
    await guest.go_to("modernise")
    await guest.press("space")
    await guest.sees("src/legacy", "src/wide 漢字", "src/[views]")
    assert guest.offers("plan.cancel")


async def filtered(guest: Guest) -> None:
    """Type a word."""
    await guest.press("slash", *"docs")
    await guest.until(lambda: "fix-types" not in guest.text() and "docs-pass" in guest.text())
    assert guest.app.screen.query_one("#filter", Input).value == "docs"


async def filtered_out(guest: Guest) -> None:
    """Type a word that no plan has."""
    await guest.press("slash", *"docsx")
    await guest.until(lambda: "docs-pass" not in guest.text())


async def files(guest: Guest) -> None:
    """Open the list of files of a change."""
    await diff(guest)
    await guest.press("F")
    await guest.sees("src/models.py", "tests/test_old.py")


async def searched(guest: Guest) -> None:
    """Search in a log."""
    await look("docs-pass", "l", "checking spelling")(guest)
    await guest.press("slash", *"reading", "enter")
    await guest.sees("1 of 2")


diff = look("fix-types", "d", "routes.py", "items: Items")

SCENES = (
    Scene("plans", "What needs her stands first, then what runs, waits and is done; beside it, fix-types.", plans, ALL),
    Scene("children", "Below their parent, each with its item and state; the one that failed says why.", children, BOTH),
    Scene("filter", "Only what has the word; the headings count what is left.", filtered),
    Scene("filter-nothing", "Nothing has the word, and it says so.", filtered_out),
    Scene("steps", "What went well with its time, what failed with its exit code, what has not begun; and why it stands.",
          look("upgrade-deps", "s", "test", "exit 1", "changelog", "pytest -q"), BOTH),
    Scene("steps-of-a-parent", "How far its children are, and each.", look("modernise", "s", "src/legacy", "31/60"), BOTH),
    Scene("log", "The end of what the running step prints, in its colours; brackets are text; that it is followed.",
          look("docs-pass", "l", "checking spelling", "[unclosed] code block"), BOTH),
    Scene("log-nothing", "Nothing was printed yet, and why.", look("nightly", "l")),
    Scene("log-search", "The words that were searched are marked, and counted.", searched),
    Scene("diff", "The change; the words that differ stand out.", diff, ALL),
    Scene("diff-files", "The files with their counts beside the change of the first one.", files, BOTH),
    Scene("diff-nothing", "There is no change yet, and when there will be one.", look("nightly", "d", "No change yet")),
    Scene("decisions", "What was decided below what it follows from; what was given up says so.",
          look("fix-types", "t", "Annotate every function", "no behaviour changes", "strategy choice"), BOTH),
    Scene("events", "What happened to the plan, the latest first.", look("fix-types", "v", "plan.created", "09:16:53"), BOTH),
    Scene("errors", "The step that failed, the end of its log, and what can be done now.",
          look("upgrade-deps", "E", "AssertionError: expected 3, got 4", "Start Execute"), BOTH),
)  # fmt: skip
