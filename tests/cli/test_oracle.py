"""The oracle: a plan that was applied leaves the tree that the same commands leave when they are run directly."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.homes import Content, Home, put, tree

FILES: dict[str | bytes, Content] = {
    "a.txt": "one\ntwo\nthree\n",
    "crlf.txt": b"one\r\ntwo\r\n",
    "no-newline": "last line",
    "empty": "",
    "dir/deep/b.txt": "b\n",
    "with space.txt": "s\n",
    "new\nline.txt": "n\n",
    b"caf\xe9.txt": "latin\n",
    "ünïcode-漢字.txt": "u\n",
    "-dash": "d\n",
    "tool.sh": "#!/bin/sh\necho tool\n",
    "image.bin": bytes(range(256)) * 8,
    "long.txt": "".join(f"line {number}\n" for number in range(2000)),
}

COMMANDS = {
    "edit": "echo more >> a.txt; sed -i 's/line 7$/LINE/' long.txt; printf x >> no-newline; : > empty",
    "binary": "printf '\\000\\377' >> image.bin; head -c 100000 /dev/zero > zeros; printf '\\r\\nthree\\r' >> crlf.txt",
    "modes": "chmod +x a.txt; chmod -x tool.sh; chmod +x 'with space.txt'; printf '#!/bin/sh\\n' > new.sh; chmod 755 new.sh",
    "links": "ln -s a.txt link; ln -s ../dir/deep dir/loop; ln -sf nowhere dangling; rm tool.sh; ln -s a.txt tool.sh",
    "link to file": "rm to-link; cp a.txt to-link; rm old-link",
    "delete": "rm a.txt image.bin; rm -r dir; rm -- -dash",
    "rename": "mv a.txt renamed.txt; mkdir -p x/y; mv long.txt x/y/; mv dir other; mv 'with space.txt' ' leading'",
    "new": "mkdir -p p/q/r; echo 1 > p/q/r/1; touch p/empty; echo $((6*7)) > 'quo\"te'; mkdir bare; rmdir bare",
    "names": r"""printf x > "$(printf 'tab\there')"; printf x > "$(printf 'nl\nhere')"; printf x > "$(printf 'bad\377')";
        mv "$(printf 'new\nline.txt')" "$(printf 'newer\nline.txt')"; rm "$(printf 'caf\351.txt')"
        printf x > '*'; printf x > '\back'""",
    "file becomes directory": "rm a.txt; mkdir a.txt; echo x > a.txt/inside",
    "directory becomes file": "rm -r dir; echo x > dir",
    "swap": "mv a.txt t; mv long.txt a.txt; mv t long.txt",
    "case": "mv a.txt A.txt; echo b > a.TXT",
    "many": "i=0; while [ $i -lt 400 ]; do mkdir -p d$((i % 20)); echo $i > d$((i % 20))/f$i; i=$((i + 1)); done",
    "nothing": "cat a.txt > /dev/null; touch a.txt; cp tool.sh t; rm t",
}


def project(home: Home) -> Path:
    """A repository with all that a tree can hold."""
    root = home.work / home.fresh("p")
    root.mkdir()
    put(root, FILES)
    (root / "tool.sh").chmod(0o755)
    (root / "old-link").symlink_to("a.txt")
    (root / "to-link").symlink_to("dir")
    home.git(root, "init", "-q")
    home.commit(root)
    home.data("project", "add", str(root), "--name", root.name)
    return root


def directly(home: Home, root: Path, command: str) -> dict[str, object]:
    """The tree after the command was run in a copy of the project."""
    twin = root.with_name(f"{root.name}-twin")
    shutil.copytree(root, twin, symlinks=True)
    subprocess.run(["/bin/sh", "-e", "-c", command], cwd=twin, env=home.environ, check=True, stdin=subprocess.DEVNULL)
    return tree(twin)


@pytest.mark.parametrize("what", list(COMMANDS))
def test_applied_plan_leaves_the_tree_that_the_commands_leave(shared: Home, what: str) -> None:
    """Byte for byte and mode for mode; and Undo leaves the tree that was there before."""
    root = project(shared)
    before, expected = tree(root), directly(shared, root, COMMANDS[what])

    plan = shared.executed(COMMANDS[what], project=root)
    shared.apply(plan, "--allow-empty")

    assert tree(root) == expected
    shared.undo(plan)
    assert tree(root) == before


@pytest.mark.parametrize("mode", ["index", "commit"])
@pytest.mark.parametrize("what", ["modes", "names", "rename", "links"])
def test_index_and_commit_hold_the_same_tree(shared: Home, what: str, mode: str) -> None:
    root = project(shared)
    expected = directly(shared, root, COMMANDS[what])

    plan = shared.executed(COMMANDS[what], project=root)
    shared.apply(plan, "--mode", mode)

    assert tree(root) == expected
    assert shared.git(root, "diff", "--name-only") == "", "the index is what the files are"
    assert shared.git(root, "ls-files", "--others", "--exclude-standard") == ""


@pytest.mark.parametrize("what", ["edit", "modes", "links", "names", "rename"])
def test_folder_is_as_a_repository(shared: Home, what: str) -> None:
    root = project(shared)
    folder = shared.work / shared.fresh("f")
    shutil.copytree(root, folder, symlinks=True)
    shutil.rmtree(folder / ".git")
    shared.data("project", "add", str(folder), "--name", folder.name)
    expected = directly(shared, folder, COMMANDS[what])

    plan = shared.executed(COMMANDS[what], project=folder)
    shared.apply(plan)

    assert tree(folder) == expected


def test_whole_life_of_several_steps(shared: Home) -> None:
    """Steps one after another, each from the checkpoint of the one before."""
    root = project(shared)
    commands = [COMMANDS[what] for what in ("edit", "modes", "binary", "new")]
    expected = directly(shared, root, "\n".join(commands))

    plan = shared.executed(*commands, project=root)
    shared.apply(plan)

    assert tree(root) == expected


def test_line_ends_are_what_the_attributes_say(shared: Home) -> None:
    """A file that git checks out with CRLF has CRLF in the sandbox, and after Apply."""
    root = shared.repository({".gitattributes": "*.txt text eol=crlf\n", "a.txt": "one\r\ntwo\r\n", "b.bin": b"\r\n\n"})
    command = "cp a.txt copy.txt; printf 'three\\r\\n' >> a.txt; printf '\\n' >> b.bin"
    expected = directly(shared, root, command)

    plan = shared.executed(command, project=root)
    shared.apply(plan)

    assert tree(root) == expected
    assert (root / "a.txt").read_bytes() == b"one\r\ntwo\r\nthree\r\n"


def test_private_modes_of_the_user_survive(shared: Home) -> None:
    """A file that only its owner may read is so after the change as before."""
    root = shared.repository({"secret": "one\n", "tool": "#!/bin/sh\n"})
    (root / "secret").chmod(0o600)
    (root / "tool").chmod(0o700)
    shared.commit(root)

    plan = shared.executed("echo two >> secret; echo echo >> tool", project=root)
    shared.apply(plan)

    assert (root / "secret").stat().st_mode & 0o777 == 0o600
    assert (root / "tool").stat().st_mode & 0o777 == 0o700
    shared.undo(plan)
    assert (root / "secret").stat().st_mode & 0o777 == 0o600


def test_files_that_do_not_change_are_not_written(shared: Home) -> None:
    """Their time and inode stay, so that no build starts over."""
    root = shared.repository()
    stamp = (root / "dir" / "b.txt").stat()

    plan = shared.executed("echo more >> a.txt", project=root)
    shared.apply(plan)

    now = (root / "dir" / "b.txt").stat()
    assert (now.st_mtime_ns, now.st_ino) == (stamp.st_mtime_ns, stamp.st_ino)
