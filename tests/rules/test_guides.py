"""What the tutorial and the guides show works: commands parse, links lead somewhere, the tutorial and the scripts run."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from cleveragents_tui.cli.root import make_root
from cleveragents_tui.cli.session import Session
from daemon import actions
from tests.homes import Content, Home, put

DOCS = Path(__file__).parents[2] / "docs"
GUIDES = [DOCS / "index.md", DOCS / "tutorial.md", *sorted((DOCS / "guides").glob("*.md"))]
LINK = re.compile(r"\]\(([^)#:]*)(?:#([^)]*))?\)")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block, and the text since the block before."""

    kind: str
    body: str
    before: str


class Shown(NamedTuple):
    """A command of a `console` block, and what the page says that it prints."""

    command: str
    output: list[str]


def blocks(page: Path, kind: str = "") -> list[Block]:
    found: list[Block] = []
    text, end = page.read_text("utf-8"), 0
    for match in BLOCK.finditer(text):
        found.append(Block(match[1], match[2], text[end : match.start()]))
        end = match.end()
    return [block for block in found if kind in {"", block.kind}]


def shown(block: Block) -> list[Shown]:
    if block.kind == "sh":
        return [Shown(line, []) for line in block.body.splitlines()]
    parts = re.split(r"^\$ ", block.body, flags=re.MULTILINE)[1:]
    return [Shown(lines[0], lines[1:]) for lines in map(str.splitlines, parts)]


def in_blocks(page: Path) -> Iterator[list[str]]:
    """The commands that the page shows in full."""
    for block in blocks(page):
        if block.kind in {"sh", "console"}:
            yield from ca_commands(found.command for found in shown(block))


def in_sentences(page: Path) -> Iterator[list[str]]:
    """The commands that it speaks of, many without their arguments."""
    return ca_commands(re.findall(r"`(ca [^`\n]+)`", BLOCK.sub("", page.read_text("utf-8"))))


def ca_commands(lines: Iterable[str]) -> Iterator[list[str]]:
    """The arguments of every `ca` in lines of a shell."""
    for line in lines:
        words = shlex.shlex(line, posix=True, punctuation_chars=True)
        words.whitespace_split = True
        command: list[str] = []
        for word in [*words, ";"]:
            if not set(word) <= set("|&;<>()"):
                command.append(word)
                continue
            if command[:1] == ["ca"]:
                yield command[1:]
            command = []


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_every_command_shown_is_one_that_ca_takes(page: Path) -> None:
    """Its verb, its options and the number of its arguments."""
    found, spoken_of = list(in_blocks(page)), list(in_sentences(page))

    assert [message for arguments in found if (message := refusal(arguments))] == []
    assert [
        message for arguments in spoken_of if "Missing argument" not in (message := refusal(arguments)) and message
    ] == []
    assert found or page.stem == "index"


def refusal(arguments: list[str]) -> str:
    """Why `ca` would not take the arguments; nothing when it would."""
    command: click.Command = make_root()
    words = list(arguments)
    with click.Context(command, info_name="ca", obj=Session({"CLEVERAGENTS_HOME": "/nonexistent"})) as context:
        while isinstance(command, click.Group) and words:
            verb = command.get_command(context, words[0])
            if verb is None:
                return f"ca {shlex.join(arguments)}: there is no {words[0]}"
            command = verb
            del words[0]
        try:
            command.make_context(command.name, words, parent=context).close()
        except click.UsageError as error:
            return f"ca {shlex.join(arguments)}: {error.format_message()}"
    return ""


@pytest.mark.parametrize("wrong", ["plan frobnicate", "plan diff", "plan diff x --frob", "plan list x"])
def test_a_wrong_command_is_noticed(wrong: str) -> None:
    assert refusal(wrong.split())


def headings(page: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", BLOCK.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_links_lead_to_pages_and_headings_that_are_there(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text("utf-8")):
        there = (page.parent / target).resolve() if target else page
        assert there.exists(), target
        assert not anchor or anchor in headings(there), f"{target}#{anchor}"


def test_the_index_has_every_page() -> None:
    listed = {(DOCS / target).resolve() for target, _ in LINK.findall((DOCS / "index.md").read_text("utf-8"))}

    assert {page for page in DOCS.rglob("*.md") if page.name != "index.md"} - listed == set()
    assert "(docs/index.md)" in (DOCS.parent / "README.md").read_text("utf-8")


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_action_files_in_guides_are_valid(page: Path) -> None:
    for block in blocks(page, "yaml"):
        if "\nsteps:" in block.body:
            assert actions.parse(block.body, source=page.name).steps


# --- the tutorial, from its first command to its last ------------------------------------------------------------------

AGENT = """\
#!/bin/sh
test "$1" = -p && printf '%s\\n' "$2" > prompt.txt
"""
FILES: Mapping[str | bytes, Content] = {
    "README.md": "# Shop\n",
    "prices.py": "def price(net):\n    return net * 1.19  # TODO: no magic number\n",
    "shop.py": "from prices import price\n\nprint(price(100))  # TODO: a real interface\n",
}
ASKING = re.compile(r"^ca plan (apply|undo|cancel|revert) ")


def test_the_tutorial_works_as_it_is_printed(home: Home) -> None:
    """Every command, with the results that the page shows; only questions are answered by --yes, and a script is the agent."""
    install_ca(home)
    agent = home.bin / "claude"
    agent.write_text(AGENT)
    agent.chmod(0o700)
    repository = home.user / "shop"
    put(repository, FILES)
    home.git(repository, "init", "-q")
    home.commit(repository)

    for block in blocks(DOCS / "tutorial.md"):
        if block.kind == "yaml":
            name = re.findall(r"`~/(\w+\.yaml)`", block.before)[-1]
            (home.user / name).write_text(block.body)
        elif "pipx" not in block.body:
            for command in shown(block):
                check(home, repository, command)

    assert "Add a short docstring" in home.run("plan", "diff", "explain-1").out
    assert "one line each is enough" in home.run("plan", "diff", "explain-1").out


def check(home: Home, repository: Path, command: Shown) -> None:
    """Run a command; each result that the page shows, a line that begins with its mark, is printed."""
    line = f"{command.command} --yes" if ASKING.match(command.command) else command.command
    done = subprocess.run(
        ["/bin/sh", "-c", line], cwd=repository, env=home.environ, capture_output=True, text=True, check=False
    )
    wanted = [shown for shown in command.output if shown[:1] in set("✔◆✘⊘+?└")]
    printed = [without_times(found) for found in (done.stdout + done.stderr).splitlines()]

    assert (done.returncode != 0) == any(found.startswith("✘") for found in wanted), (command, done)
    assert [
        found for found in map(without_times, wanted) if found.replace("/home/ada", str(home.user)) not in printed
    ] == []


def without_times(line: str) -> str:
    """A line without what differs from run to run: durations, and what the daemon is doing."""
    return re.sub(r"( after)? \d+(\.\d+)? (ms|s|min)\b|daemon up .*", " T", line).replace(" T", "")


def install_ca(home: Home) -> None:
    """Let scripts find `ca` on their PATH."""
    (home.bin / "ca").symlink_to(Path(sys.executable).with_name("ca"))


# --- the scripts -----------------------------------------------------------------------------------------------------


def script(home: Home, kind: str, start: str) -> Path:
    [block] = [block for block in blocks(DOCS / "guides" / "scripting.md", kind) if block.body.startswith(start)]
    path = home.root / f"script-{kind}"
    path.write_text(block.body)
    return path


def test_the_shell_script_of_the_guide_works(home: Home) -> None:
    install_ca(home)
    path, root = script(home, "sh", "#!/bin/sh"), home.repository()

    def run(command: str) -> subprocess.CompletedProcess[str]:
        words = ["/bin/sh", str(path), root.name, command]
        return subprocess.run(words, env=home.environ, cwd=home.work, capture_output=True, text=True, check=False)

    good, bad, empty = run("echo x > x.txt"), run("echo 'no luck'; exit 3"), run("true")

    assert (good.returncode, bad.returncode, empty.returncode) == (0, 1, 1)
    assert "applied; take it back with: ca plan undo tidy-" in good.stdout
    assert (root / "x.txt").read_text() == "x\n"
    assert "no luck" in bad.stderr
    assert "nothing to apply" in empty.stderr


def test_the_python_script_of_the_guide_works(home: Home) -> None:
    install_ca(home)
    path, action = script(home, "python", '"""Usage'), home.action("cat wanted.txt > x.txt")
    good, bad = home.repository({"wanted.txt": "x\n"}), home.repository({"other.txt": "x\n"})
    words = [sys.executable, str(path), action, good.name, bad.name]

    done = subprocess.run(words, env=home.environ, cwd=home.work, capture_output=True, text=True, check=False)

    assert done.returncode == 1, done
    assert f"{good.name}: 1 files changed" in done.stdout
    assert f"{bad.name}: step_failed" in done.stdout
    assert (good / "x.txt").read_text() == "x\n"
    assert not (bad / "x.txt").exists()
