"""How git is called: what it inherits, what it may do, what its failures are called."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from daemon import git
from store import errors
from tests.daemon import gitrepos


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gitrepos.isolate(monkeypatch, tmp_path / "home")


def fake_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str) -> None:
    directory = tmp_path / "bin"
    directory.mkdir()
    program = directory / "git"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")


def test_version_is_what_git_says() -> None:
    """The installed git is new enough for its own tests."""
    assert git.version() >= git.MINIMUM
    git.check()


def test_missing_git_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without git on PATH the error says so and names a remedy."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(errors.NotFoundError, match="git is not installed") as caught:
        git.check()
    assert "install git" in caught.value.suggestions[0]


def test_too_old_git_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A git without the merge that is needed is refused with both versions."""
    fake_git(monkeypatch, tmp_path, "echo git version 2.30.1")

    with pytest.raises(errors.NotFoundError, match=r"2\.30\.1 is too old: 2\.39"):
        git.check()


def test_git_without_a_version_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A program called git that is none does not pass."""
    fake_git(monkeypatch, tmp_path, "echo hello")

    with pytest.raises(errors.InternalError, match="hello"):
        git.check()


def test_git_that_cannot_start_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A git that the system will not run is a refused access, not a defect."""
    (tmp_path / "git").write_text("#!/bin/sh\n")
    (tmp_path / "git").chmod(0o644)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(errors.PermissionDeniedError, match="cannot start git"):
        git.version()


def test_missing_directory_is_named(tmp_path: Path) -> None:
    """A vanished working directory is told from a missing git."""
    with pytest.raises(errors.NotFoundError, match="gone does not exist"):
        git.run(["status"], cwd=tmp_path / "gone")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (b"fatal: write error: No space left on device", errors.DiskFullError),
        (b"error: open(x): Permission denied", errors.PermissionDeniedError),
        (b"fatal: bad object", errors.InternalError),
        (b"", errors.InternalError),
    ],
)
def test_failure_is_named_by_its_cause(words: bytes, error: type[errors.CleverAgentsError]) -> None:
    """Full disk and refused access have codes of their own; the message has command and cause."""
    found = git.failure(["add", b"\xff", Path("x")], words, 128)

    assert type(found) is error
    assert "git add" in found.message
    assert words.decode() in found.message


def test_inherited_git_variables_are_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A GIT_DIR, index or trace of whoever started the daemon changes nothing."""
    project = gitrepos.repository(tmp_path)
    for name in "GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GIT_OBJECT_DIRECTORY":
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_TRACE", str(tmp_path / "trace"))

    assert git.run(["ls-files", "-z"], cwd=project.path) == b"a.txt\0dir/b.txt\0"
    assert not (tmp_path / "trace").exists()


def test_repository_above_is_not_found(tmp_path: Path) -> None:
    """A directory that lost its repository is not taken for part of one further up."""
    project = gitrepos.repository(tmp_path)

    with pytest.raises(errors.InternalError, match="not a git repository"):
        git.run(["rev-parse", "--git-dir"], cwd=project.path / "dir")


def test_stdin_is_closed_unless_given() -> None:
    """A git that asks gets nothing, instead of waiting for a person."""
    script = (
        "import sys; sys.path.insert(0, '.'); from daemon import git;"
        "print(git.run(['hash-object', '--stdin']).decode().strip())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=b"typed",
        capture_output=True,
        check=True,
        cwd=Path(git.__file__).parents[1],
    )

    assert done.stdout.decode().strip() == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"


def test_input_may_be_bytes_or_a_file(tmp_path: Path) -> None:
    """Both ways of feeding git give it the same."""
    (tmp_path / "x").write_bytes(b"text")

    with (tmp_path / "x").open("rb") as file:
        assert git.run(["hash-object", "--stdin"], input=file) == git.run(["hash-object", "--stdin"], input=b"text")


def test_fields_survive_any_bytes() -> None:
    """Names are separated by NUL, whatever else is in them."""
    names = [b"a b", b"line\nbreak", b"\xff\xfe"]

    assert git.split(git.joined(names)) == names
    assert git.split(b"") == []
    assert git.split(b"a\0b") == [b"a", b"b"]


def test_objects_are_read_in_any_size(tmp_path: Path) -> None:
    """Many objects come through one process, binary and large ones whole."""
    project = gitrepos.repository(tmp_path, {"big": b"\0\xff" * 1_500_000, "empty": b""})
    names = [gitrepos.git(project.path, "rev-parse", f"HEAD:{name}") for name in ("big", "empty", "big")]

    with git.objects(project.path / ".git") as objects:
        assert [objects.read(name) for name in names] == [b"\0\xff" * 1_500_000, b"", b"\0\xff" * 1_500_000]


def test_missing_object_is_named(tmp_path: Path) -> None:
    """A lost object is an error, never an empty file."""
    project = gitrepos.repository(tmp_path)

    with git.objects(project.path / ".git") as objects, pytest.raises(errors.LostError, match="0123"):
        objects.read("0123" * 10)


def test_stale_lock_of_a_private_repository_is_removed(tmp_path: Path) -> None:
    """A lock that a power cut left is in nobody's way; a fresh one, or one elsewhere, is respected."""
    project = gitrepos.repository(tmp_path)
    git_dir, lock = project.path / ".git", project.path / ".git" / "index.lock"
    lock.touch()

    with pytest.raises(errors.LockConflictError, match=r"index\.lock is there"):
        git.run(["read-tree", "HEAD"], git_dir=git_dir)
    os.utime(lock, (1, 1))
    with pytest.raises(errors.LockConflictError, match=r"index\.lock is there"):
        git.run(["read-tree", "HEAD"], cwd=project.path)
    git.run(["read-tree", "HEAD"], git_dir=git_dir)

    assert not lock.exists()
