"""The configuration of a running daemon: edits hold at once, mistakes change nothing that was in force."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.settings import Settings
from store import errors

GOOD = """\
[async]
max_workers = 7
[apply]
mode = "commit"
[projects."local/web".apply]
mode = "branch"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def link_to_nothing(path: Path) -> None:
    path.unlink()
    path.symlink_to("gone.toml")


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


MISTAKES: dict[str, Callable[[Path], object]] = {
    "not TOML": lambda path: path.write_text("[apply\n"),
    "not UTF-8": lambda path: path.write_bytes(b"\xff"),
    "too large": lambda path: path.write_text("#" * (1 << 20) + "#"),
    "a link to nothing": link_to_nothing,
    "a directory": directory,
    "wrong values": lambda path: path.write_text(
        GOOD.replace("7", "700").replace("commit", "comit").replace("branch", "b")
    ),
    "a value for a table": lambda path: path.write_text("async = 3\napply = 3\n[projects]\n'local/web' = 3"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_file_leaves_in_force_what_was(
    path: Path, mistake: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Also for keys that nobody asked for before; the log says it once, and `get` says it to the user."""
    path.write_text(GOOD)
    settings = Settings(path, {})
    assert settings.value("lock.ttl") == 300

    MISTAKES[mistake](path)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert settings.value("async.max_workers") == 7
            assert settings.value("apply.mode") == settings.value("apply.mode", "local/api") == "commit"
            assert settings.value("apply.mode", "local/web") == "branch"

    said = [record.getMessage() for record in caplog.records]
    assert said
    assert len(said) == len(set(said))
    assert all(str(path) in message for message in said)
    with pytest.raises(errors.CleverAgentsError):
        settings.get("async.max_workers")


def test_what_is_right_beside_a_wrong_value_is_taken(path: Path) -> None:
    path.write_text(GOOD)
    settings = Settings(path, {})
    assert settings.value("async.max_workers") == 7

    path.write_text('[async]\nmax_workers = 700\n[lock]\nttl = 60\n[apply]\nmode = "index"\n')

    assert settings.value("async.max_workers") == 7
    assert settings.value("lock.ttl") == 60
    assert settings.value("apply.mode", "local/web") == "index"


def test_a_mended_file_holds_at_once(path: Path) -> None:
    settings = Settings(path, {})
    assert settings.value("async.max_workers") == 4
    path.write_text("[async\n")
    assert settings.value("async.max_workers") == 4

    path.write_text(GOOD)
    assert settings.value("async.max_workers") == 7

    path.unlink()
    assert settings.value("async.max_workers") == 4


def test_a_wrong_value_in_the_environment_falls_back_to_the_default(path: Path) -> None:
    settings = Settings(path, {"CLEVERAGENTS_LOCK_TTL": "soon"})

    assert settings.value("lock.ttl") == 300
    with pytest.raises(errors.InvalidConfigError, match="CLEVERAGENTS_LOCK_TTL"):
        settings.check()


def test_the_check_sees_what_is_set_for_a_project(path: Path) -> None:
    path.write_text('[projects."local/web".apply]\nmode = "comit"\n')

    with pytest.raises(
        errors.InvalidConfigError, match=r"project local/web: apply\.mode must be .* did you mean 'commit'"
    ):
        Settings(path, {}).check()
