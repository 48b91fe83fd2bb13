"""The configuration: five levels, edits that take effect, and a file that is always whole."""

import itertools
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from store import config, errors, names, toml_text

REPOSITORY = Path(__file__).parents[2]
CRASH_POINTS = ["config.write", "config.fsync", "config.rename", "config.fsync-directory", "config.done"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


@pytest.fixture
def public_directory() -> Iterator[Path]:
    """A directory that another user can reach, which the directories of pytest are not."""
    made = Path(tempfile.mkdtemp(dir="/tmp"))
    made.chmod(0o755)
    yield made
    made.chmod(0o755)
    shutil.rmtree(made)


def write_elsewhere(path: Path, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `script` in another process, with `path` and `config` at hand."""
    program = f"import sys; from pathlib import Path; from store import config; path = Path(sys.argv[1]); {script}"
    return subprocess.run(
        [sys.executable, "-c", program, str(path)],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


CONTRACT = """
core.automation-profile  manual|supervised|trusted|full-auto  supervised  project
core.format              auto|rich|plain|json|yaml            auto
core.log-level           debug|info|warning|error             info
async.enabled            bool                                 true
async.max_workers        int 1..64                            4
async.poll_interval      float 0.05..60                       1.0
async.job_timeout        int 0..                              3600
async.job_ttl            int 3..3600                          60
async.cancel-grace       float 0..3600                        5.0
async.retention          duration                             7d
plan.concurrency         int 1..64                            4
plan.max-child-depth     int 1..20                            5            project
plan.max-reversions      int 0..20                            3
plan.retention           duration                             30d
events.retention         duration                             30d
sandbox.strategy         clone|none                           clone       project
sandbox.cleanup          on_apply|on_terminal|manual          on_apply    project
apply.mode               worktree|index|commit|branch         worktree    project
lock.ttl                 int 5..3600                          300
daemon.idle-timeout      duration                             0s
server.url               str                                  unset
server.token             str                                  unset        secret
server.namespace         str                                  default
server.tls-verify        bool                                 true
server.request-timeout   float 0.1..600                       10.0
server.sync.auto         bool                                 true
server.sync.interval     int 1..86400                         300
server.sync.conflict     manual|local_wins|server_wins        manual
tui.theme                str                                  cleveragents
tui.refresh              float 0.02..60                       0.1
"""


def told(key: config.Key) -> str:
    """A key as `CONTRACT` has it."""
    edges = "" if key.minimum is None else f" {key.minimum:g}..{'' if key.maximum is None else f'{key.maximum:g}'}"
    kind = "|".join(key.choices) if key.type == "choice" else f"{key.type}{edges}"
    default = "unset" if key.default is None else config.show(key, key.default)
    return f"{key.name} {kind} {default}{' project' if key.project_scopable else ''}{' secret' if key.secret else ''}"


def test_keys_are_those_of_the_contract() -> None:
    """Type, range, default and whether a project may have its own, written out once more."""
    assert [told(key) for key in config.KEYS.values()] == [
        " ".join(line.split()) for line in CONTRACT.strip().splitlines()
    ]


def written(key: config.Key, value: config.Value) -> str:
    """A value as somebody types it; a secret is not shown so."""
    return str(value) if key.secret else config.show(key, value)


def samples(key: config.Key) -> list[config.Value]:
    """Values that the key may have, the edges of its range among them."""
    match key.type:
        case "bool":
            return [False, True]
        case "choice":
            return list(key.choices)
        case "str" if key.name == "server.url":
            return ["http://one", "https://two.example:1/x", "http://[::1]:3"]
        case "str":
            return ["one", "two", "three"]
        case "duration":
            return [0.0, 0.5, 90.0, 86_400.0, float(names.MAX_DURATION)]
        case kind:
            low, high = key.minimum or 0, key.maximum or 2**53
            middle = (low + high) / 2
            return [int(value) if kind == "int" else float(value) for value in (low, middle, high)]


LEVELS = ["flag", "environment", "project", "global", "default"]


@pytest.mark.parametrize("silent", range(5))
@pytest.mark.parametrize("key", config.KEYS.values(), ids=lambda key: key.name)
def test_the_strongest_level_that_says_something_wins(path: Path, key: config.Key, silent: int) -> None:
    """The first `silent` levels say nothing; the next one decides, and the chain shows all of them."""
    said: dict[str, Any] = dict(zip(LEVELS[:4], itertools.cycle(samples(key)), strict=False))
    said["default"] = key.default
    saying = [level for level in LEVELS[silent:] if level != "project" or key.project_scopable]
    if "global" in saying:
        config.edit(path, {key.name: said["global"]})
    if "project" in saying:
        config.edit(path, {key.name: said["project"]}, project="web")
    environ = {key.env: written(key, said["environment"])} if "environment" in saying else {}

    resolved = config.Config(path, environ).get(
        key.name, project="local/web", flag=written(key, said["flag"]) if "flag" in saying else None
    )

    assert (resolved.level.value, resolved.value) == (saying[0], said[saying[0]])
    assert type(resolved.value) is type(said[resolved.level.value])
    assert [(level.value, value) for level, value in resolved.chain] == [
        (level, said[level] if level in saying else None) for level in LEVELS
    ]


def test_a_project_level_holds_for_its_project_only(path: Path) -> None:
    config.edit(path, {"sandbox.strategy": "none"}, project="team/web")
    read = config.Config(path, {})

    assert read.value("sandbox.strategy", project="team/web") == "none"
    assert read.value("sandbox.strategy", project="web") == "clone"
    assert read.value("sandbox.strategy") == "clone"


def test_the_project_level_is_ignored_for_a_key_that_holds_for_all(path: Path) -> None:
    path.write_text('[projects."local/web".lock]\nttl = 60\n')

    assert config.Config(path, {}).value("lock.ttl", project="web") == 300


def test_every_default_is_a_value_its_key_may_have() -> None:
    for key in config.KEYS.values():
        if key.default is None:
            continue
        assert config.check_value(key, key.default) == key.default
        assert config.parse_value(key, config.show(key, key.default)) == key.default


def test_no_two_keys_share_an_environment_variable() -> None:
    assert len({key.env for key in config.KEYS.values()}) == len(config.KEYS)


def test_an_environment_variable_is_the_key_in_upper_case() -> None:
    assert config.KEYS["async.max_workers"].env == "CLEVERAGENTS_ASYNC_MAX_WORKERS"
    assert config.KEYS["core.automation-profile"].env == "CLEVERAGENTS_CORE_AUTOMATION_PROFILE"


def test_an_empty_environment_variable_says_nothing(path: Path) -> None:
    assert config.Config(path, {"CLEVERAGENTS_LOCK_TTL": ""}).get("lock.ttl").level == "default"


def test_an_edit_is_effective_at_the_next_use(path: Path) -> None:
    read = config.Config(path, {})
    assert read.value("async.max_workers") == 4

    config.edit(path, {"async.max_workers": 9})
    assert read.value("async.max_workers") == 9

    path.write_text("[async]\nmax_workers = 12\n")
    assert read.value("async.max_workers") == 12

    path.unlink()
    assert read.value("async.max_workers") == 4


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("async.enabled", "no", False), ("async.enabled", "TRUE", True), ("async.max_workers", "64", 64),
        ("async.poll_interval", "0.05", 0.05), ("async.job_timeout", "0", 0), ("async.cancel-grace", "3", 3.0),
        ("async.retention", "10d", 864_000.0), ("plan.retention", "90", 90.0), ("core.format", "json", "json"),
        ("daemon.idle-timeout", "0", 0.0),
    ],
)  # fmt: skip
def test_a_text_is_parsed_by_the_type_of_its_key(path: Path, key: str, text: str, value: object) -> None:
    resolved = config.Config(path, {config.KEYS[key].env: text}).value(key)

    assert resolved == value
    assert type(resolved) is type(value)


@pytest.mark.parametrize(
    ("key", "text", "allowed"),
    [
        ("async.enabled", "maybe", "true or false"), ("async.max_workers", "0", "from 1 to 64"),
        ("async.max_workers", "65", "from 1 to 64"), ("async.max_workers", "4.5", "a whole number"),
        ("async.max_workers", "four", "a whole number"), ("async.poll_interval", "0.04", "from 0.05 to 60"),
        ("async.poll_interval", "nan", "from 0.05 to 60"), ("async.job_timeout", "-1", "at least 0"),
        ("async.job_ttl", "2", "from 3 to 3600"), ("lock.ttl", "4", "from 5 to 3600"),
        ("plan.max-reversions", "21", "from 0 to 20"), ("plan.retention", "soon", "a duration"),
        ("core.format", "jsn", "did you mean 'json'"), ("sandbox.cleanup", "on-apply", "did you mean 'on_apply'"),
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_refused_with_what_is_allowed(path: Path, key: str, text: str, allowed: str) -> None:
    with pytest.raises(errors.InvalidConfigError) as caught:
        config.Config(path, {config.KEYS[key].env: text}).get(key)

    assert allowed in caught.value.message
    assert key in caught.value.message
    assert repr(text) in caught.value.message
    assert config.KEYS[key].env in caught.value.message


def beyond(key: config.Key) -> list[float | str]:
    """The nearest values outside of the key's range."""
    step = 1 if key.type == "int" else 0.001
    if key.type == "duration":
        return [f"{names.MAX_DURATION + 1}", f"{names.MAX_DURATION // 86_400 + 1}d", "-1"]
    edges = [None if key.minimum is None else key.minimum - step, None if key.maximum is None else key.maximum + step]
    return [edge for edge in edges if edge is not None]


@pytest.mark.parametrize("key", config.KEYS.values(), ids=lambda key: key.name)
def test_the_edges_of_a_range_are_inside_and_the_next_values_outside(path: Path, key: config.Key) -> None:
    """From the environment and into the file."""
    for value in samples(key):
        assert config.Config(path, {key.env: written(key, value)}).value(key.name) == value
        config.edit(path, {key.name: value})
        assert config.Config(path, {}).value(key.name) == value
    for value in beyond(key):
        with pytest.raises(errors.InvalidConfigError, match="must be"):
            config.Config(path, {key.env: str(value)}).get(key.name)
        with pytest.raises(errors.InvalidConfigError, match="must be"):
            config.edit(path, {key.name: value})


@pytest.mark.parametrize(
    "line", ["max_workers = true", 'max_workers = "4"', "max_workers = 4.0", "max_workers = []", "max_workers = 0"]
)
def test_a_value_of_the_wrong_type_in_the_file_is_refused(path: Path, line: str) -> None:
    path.write_text(f"[async]\n{line}\n")

    with pytest.raises(errors.InvalidConfigError, match=r"config\.toml: async\.max_workers must be a whole number"):
        config.Config(path, {}).get("async.max_workers")


def test_a_value_where_a_table_belongs_is_named(path: Path) -> None:
    path.write_text("async = 3\n")

    with pytest.raises(errors.InvalidConfigError, match="async must be a table"):
        config.Config(path, {}).get("async.max_workers")


def test_a_stronger_level_hides_an_invalid_weaker_one_but_shows_it(path: Path) -> None:
    path.write_text("[lock]\nttl = 1\n")

    resolved = config.Config(path, {}).get("lock.ttl", flag="60")

    assert resolved.value == 60
    assert (config.Level.GLOBAL, "1") in resolved.chain


@pytest.mark.parametrize(
    ("body", "line", "column"),
    [
        (b"[core]\nformat = \n", 2, 10),
        (b"a = 1\na = 2\n", 2, 6),
        (b'a = "x\n', 1, 7),
        (b"ok = 1\nx = \xff\n", 2, 5),
        (b"[core\n", 1, 6),
        (b"\xef\xbb\xbf[core]\n", 1, 1),
    ],
)
def test_a_torn_file_is_an_error_with_line_and_column_and_is_never_overwritten(
    path: Path, body: bytes, line: int, column: int
) -> None:
    path.write_bytes(body)

    for attempt in (lambda: config.Config(path, {}).get("core.format"), lambda: config.edit(path, {"lock.ttl": 60})):
        with pytest.raises(errors.InvalidConfigError, match=f"config.toml, line {line}, column {column}: ") as caught:
            attempt()
        assert caught.value.detail == {"file": str(path), "line": line, "column": column}
    assert path.read_bytes() == body


def test_an_oversized_file_is_refused(path: Path) -> None:
    path.write_text("# " + "x" * (1 << 20))

    with pytest.raises(errors.InvalidConfigError, match="larger than 1 MiB"):
        config.Config(path, {}).get("core.format")


def test_a_file_nested_without_end_is_an_error_not_a_crash(path: Path) -> None:
    path.write_text("a = " + "[" * 100_000)

    with pytest.raises(errors.InvalidConfigError, match="not valid TOML"):
        config.Config(path, {}).get("core.format")


@pytest.mark.parametrize(
    ("body", "unknown"),
    [
        ("projects = 3", "projects"),
        ('[projects."local/web"]\napply.mode = "index"\nlock.ttl = 9', 'projects."local/web".lock.ttl'),
        # A project is written with its namespace, so this one is nobody's.
        ("[projects.web]\napply.mode = 'index'", 'projects."web".apply.mode'),
        ("[projects]\nWeb = 3", 'projects."Web"'),
    ],
)
def test_what_nothing_reads_about_projects_is_an_unknown_key(path: Path, body: str, unknown: str) -> None:
    path.write_text(body)

    assert config.Config(path, {}).unknown_keys() == [unknown]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("server.url", "not-a-url"),
        ("server.url", "ftp://example.org"),
        ("server.url", "http://example.org:99999"),
        ("server.namespace", "local"),
        ("server.namespace", "builtin"),
        ("server.namespace", "a/b"),
        ("server.namespace", "Bad NS"),
        ("server.namespace", ""),
    ],
)
def test_a_text_that_its_key_cannot_be_is_refused_wherever_it_stands(path: Path, key: str, value: str) -> None:
    with pytest.raises(errors.InvalidConfigError, match=rf"^{key}: "):
        config.edit(path, {key: value})
    assert not path.exists()
    table, _, name = key.partition(".")
    path.write_text(f'[{table}]\n{name} = "{value}"\n')
    with pytest.raises(errors.InvalidConfigError, match=rf"config\.toml: {key}: ") as raised:
        config.Config(path, {}).get(key)
    assert raised.value.suggestions


def test_a_password_in_a_url_is_not_repeated(path: Path) -> None:
    with pytest.raises(errors.InvalidConfigError) as raised:
        config.edit(path, {"server.url": "http://me:CANARY@example.org"})

    assert "CANARY" not in f"{raised.value.message}{raised.value.detail}{raised.value.suggestions}"


def test_an_unknown_key_is_not_found_and_the_nearest_is_named(path: Path) -> None:
    for attempt in (
        lambda: config.Config(path, {}).get("async.max-workers"),
        lambda: config.edit(path, {"async.max-workers": 3}),
        lambda: config.parse_value("async.max-workers", "3"),
    ):
        with pytest.raises(errors.NotFoundError, match=r"did you mean 'async\.max_workers'"):
            attempt()
    assert not path.exists()


def test_unknown_keys_of_the_file_are_listed_and_kept(path: Path) -> None:
    body = (
        '"core.format" = "json"\n[core]\nfromat = "json"\n[x.y]\nz = [1]\n'
        '[projects."local/web"]\nlock.ttl = 9\napply.mode = "index"\n'
    )
    path.write_text(body)

    config.edit(path, {"core.format": "json"})

    assert config.Config(path, {}).unknown_keys() == [
        '"core.format"',
        "core.fromat",
        "x.y.z",
        'projects."local/web".lock.ttl',
    ]
    assert [line for line in body.splitlines() if line not in path.read_text().splitlines()] == []


def test_a_key_for_all_projects_cannot_be_set_for_one(path: Path) -> None:
    with pytest.raises(errors.InvalidConfigError, match=r"lock\.ttl holds for all projects"):
        config.edit(path, {"lock.ttl": 60}, project="web")

    assert not path.exists()


def test_one_invalid_value_among_several_changes_nothing(path: Path) -> None:
    config.edit(path, {"lock.ttl": 60})
    before = path.read_bytes()

    with pytest.raises(errors.InvalidConfigError):
        config.edit(path, {"core.format": "json", "lock.ttl": 1})

    assert path.read_bytes() == before


def test_a_secret_is_masked_wherever_it_is_shown() -> None:
    key = config.Key("server.token", "str", None, "A token.", secret=True)

    assert config.mask(key, "canary-1234") == config.show(key, "canary-1234") == "********"
    assert config.mask(key, None) is None
    assert config.parse_value(key, " canary ") == " canary "
    with pytest.raises(errors.InvalidConfigError) as caught:
        config.check_value(key, "canary\0-1234")
    assert "canary" not in f"{caught.value.message}{caught.value.detail}{caught.value.suggestions}"


def test_a_new_file_is_private_and_so_is_its_directory(tmp_path: Path) -> None:
    path = tmp_path / "new" / "config.toml"

    config.edit(path, {"core.format": "json", "plan.retention": "14d", "async.enabled": False})

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert tomllib.loads(path.read_text()) == {
        "core": {"format": "json"}, "plan": {"retention": "14d"}, "async": {"enabled": False},
    }  # fmt: skip


def test_a_file_that_others_could_read_is_private_after_an_edit(path: Path) -> None:
    path.write_text("# mine\n")
    path.chmod(0o644)

    config.edit(path, {"core.format": "json"})

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().startswith("# mine\n")


HANDWRITTEN = """\
# my settings

core = {format = "json", "log-level" = 'info'} # inline
sandbox.strategy = "none"     # dotted
"sandbox" . cleanup = "manual"

[async]   # four is enough
  # indented
  max_workers   =   4   # workers
\tjob_ttl = 60

[[hosts]]
name = "a"
async.max_workers = 1
[hosts.lock]
ttl = 9
[[hosts]]
name = \"""
[lock]
ttl = 8
\"""

[plan]
notes = '''
concurrency = 3
'''
list = [
  {concurrency = 3}, # not this one
  "]",
]
"""


@pytest.mark.parametrize(
    ("changes", "old", "new"),
    [
        ({"async.max_workers": 8}, "max_workers   =   4   # workers", "max_workers   =   8   # workers"),
        ({"core.format": "yaml"}, 'format = "json"', 'format = "yaml"'),
        ({"core.log-level": "debug"}, "'info'", '"debug"'),
        ({"core.log-level": None}, ", \"log-level\" = 'info'", ""),
        ({"core.format": None}, 'format = "json", ', ""),
        ({"core.automation-profile": "manual"}, "'info'}", "'info', automation-profile = \"manual\" }"),
        ({"sandbox.strategy": None}, 'sandbox.strategy = "none"     # dotted\n', ""),
        ({"sandbox.cleanup": "on_apply"}, '"sandbox" . cleanup = "manual"', '"sandbox" . cleanup = "on_apply"'),
        ({"async.job_timeout": 5}, "\tjob_ttl = 60\n", "\tjob_ttl = 60\n\tjob_timeout = 5\n"),
        ({"plan.concurrency": 7}, '  "]",\n]\n', '  "]",\n]\nconcurrency = 7\n'),
        ({"lock.ttl": 70}, '  "]",\n]\n', '  "]",\n]\n\n[lock]\nttl = 70\n'),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_only_the_intended_characters_change(
    path: Path, changes: Mapping[str, object], old: str, new: str, newline: str
) -> None:
    path.write_bytes(HANDWRITTEN.replace("\n", newline).encode())

    config.edit(path, changes)

    assert HANDWRITTEN.count(old) == 1
    assert path.read_bytes().decode() == HANDWRITTEN.replace(old, new).replace("\n", newline)


def test_setting_what_is_already_set_does_not_touch_the_file(path: Path) -> None:
    path.write_text('[core]\nformat = """json"""\n')
    inode = path.stat().st_ino

    config.edit(path, {"core.format": "json", "lock.ttl": None})

    assert path.stat().st_ino == inode


def test_a_key_in_the_way_of_a_table_is_an_error_that_changes_nothing(path: Path) -> None:
    path.write_text("lock = 3\n")

    with pytest.raises(errors.InvalidConfigError, match="nothing was written"):
        config.edit(path, {"lock.ttl": 60})

    assert path.read_text() == "lock = 3\n"


def test_an_array_of_tables_in_the_way_is_an_error_that_changes_nothing(path: Path) -> None:
    path.write_text("[[lock]]\nttl = 3\n")

    with pytest.raises(errors.InvalidConfigError, match="nothing was written"):
        config.edit(path, {"lock.ttl": 60})

    assert path.read_text() == "[[lock]]\nttl = 3\n"


NAMES = st.sampled_from(["a", "b", "core", "lock", '"a.b"', "'c d'", '"\\u00e9"', "ttl", "1"])
DOTTED = st.lists(NAMES, min_size=1, max_size=3).map(".".join)
SCALARS = st.sampled_from([
    "1", "-0x1F", "1_000", "1e6", "nan", "inf", "true", '"x"', '"a\\"b"', "'#'", '"[lock]"', "1979-05-27T07:32:00Z",
    "1979-05-27 07:32:00", "07:32:00", '"""\nttl = 1\n"""', "'''\n[lock]'''", '"""a""\\"b""""', '""',
    "''''''", "'''it's'''",
])  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[" + ", ".join(items) + "]"),
        st.lists(inner, max_size=3).map(lambda items: "[ # c ]\n" + "".join(f"  {item},\n" for item in items) + "]"),
        st.lists(st.tuples(DOTTED, inner), max_size=3).map(
            lambda items: "{" + ", ".join(f"{key} = {value}" for key, value in items) + "}"
        ),
    ),
    max_leaves=5,
)
COMMENTS = st.sampled_from(["", " # [lock]", "\t# ttl = 1", "#"])
LINES = st.one_of(
    st.just(""),
    st.just("  # a comment = 1"),
    st.tuples(DOTTED, VALUES, COMMENTS).map(lambda parts: f"{parts[0]} = {parts[1]}{parts[2]}"),
    st.tuples(DOTTED, VALUES).map(lambda parts: f"  {parts[0]}={parts[1]}"),
    st.tuples(DOTTED, COMMENTS).map(lambda parts: f"[{parts[0]}]{parts[1]}"),
    st.tuples(DOTTED, COMMENTS).map(lambda parts: f"[[ {parts[0]} ]]{parts[1]}"),
)


@st.composite
def statements(draw: st.DrawFn) -> list[str]:
    """Valid TOML in pieces, most of them a line: each is kept when the text is still valid with it."""
    kept: list[str] = []
    for line in draw(st.lists(LINES, max_size=12)):
        try:
            tomllib.loads("\n".join([*kept, line]))
        except tomllib.TOMLDecodeError:
            continue
        kept.append(line)
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    ends = [*[newline] * (len(kept) - 1), draw(st.sampled_from(["", newline]))]
    return [line.replace("\n", newline) + end for line, end in zip(kept, ends, strict=False)]


def documents() -> st.SearchStrategy[str]:
    """Valid TOML."""
    return statements().map("".join)


def flat(value: object, prefix: str = "") -> dict[str, str]:
    """Every value of a document by its place, as text in which a NaN equals itself and True is not 1."""
    if not isinstance(value, dict):
        return {prefix: repr(value)}
    found: dict[str, str] = {}
    for key, below in cast("dict[str, object]", value).items():
        found |= flat(below, f"{prefix}/{key}")
    return found


def is_table(document: object, path: tuple[str, ...]) -> bool:
    """Whether a table stands where the key should."""
    for part in path:
        if not isinstance(document, dict):
            return False
        document = cast("dict[str, object]", document).get(part)
    return isinstance(document, dict)


PATHS = st.sampled_from(
    [("core", "a"), ("lock", "ttl"), ("a", "b", "ttl"), ("a.b", "lock"), ("new", "é", "x"), ("c d", "1")]
)


@settings(deadline=None)
@given(documents(), PATHS, st.sampled_from([True, 7, 0.5, 'q"\\\n\x7fé', None]))
def test_a_change_to_any_document_changes_that_key_alone(
    text: str, path: tuple[str, ...], value: toml_text.Scalar | None
) -> None:
    before = flat(tomllib.loads(text))
    place = "/" + "/".join(path)
    assume(not is_table(tomllib.loads(text), path))
    try:
        changed = toml_text.change(text, {path: value})
    except toml_text.CannotChangeError:
        # Only a value, or an array of tables, where a table is needed makes a change impossible.
        above = [f"/{'/'.join(path[:length])}" for length in range(1, len(path) + 1)]
        assert any(known in above for known in before)
        return

    after = flat(tomllib.loads(changed))
    assert after.pop(place, None) == (None if value is None else repr(value))
    before.pop(place, None)
    assert after == before


@settings(deadline=None)
@given(statements(), PATHS, st.sampled_from([7, "x", None]))
def test_every_statement_but_one_stays_as_it_is(
    pieces: list[str], path: tuple[str, ...], value: int | str | None
) -> None:
    """Byte for byte: what is changed or added stands in one place."""
    assume(not is_table(tomllib.loads("".join(pieces)), path))
    try:
        changed = toml_text.change("".join(pieces), {path: value})
    except toml_text.CannotChangeError:
        return

    around = [("".join(pieces[:place]), "".join(pieces[place + 1 :])) for place in range(max(1, len(pieces)))]
    assert any(
        changed.startswith(before) and changed.endswith(after) and len(before) + len(after) <= len(changed)
        for before, after in around
    )


@settings(deadline=None)
@given(documents(), PATHS)
def test_setting_and_unsetting_a_new_key_leaves_every_line_as_it_was(text: str, path: tuple[str, ...]) -> None:
    assume(path[0] not in tomllib.loads(text))

    changed = toml_text.change(text, {path: 7})
    restored = toml_text.change(changed, {path: None})

    assert changed.startswith(text)
    assert restored.startswith(text)
    assert len(restored.splitlines()) - len(text.splitlines()) <= 2


def test_writers_in_several_processes_lose_nothing(path: Path) -> None:
    """Each of six processes sets its own key to 1 … 25, one write each, all at the same time."""
    keys = [
        "async.max_workers",
        "plan.concurrency",
        "async.job_ttl",
        "lock.ttl",
        "async.job_timeout",
        "async.cancel-grace",
    ]
    script = "[config.edit(path, {sys.argv[2]: number + 5}) for number in range(25)]"
    program = f"import sys; from pathlib import Path; from store import config; path = Path(sys.argv[1]); {script}"
    writers = [subprocess.Popen([sys.executable, "-c", program, str(path), key], cwd=REPOSITORY) for key in keys]

    assert [writer.wait() for writer in writers] == [0] * len(keys)

    read = config.Config(path, {})
    assert {key: read.value(key) for key in keys} == dict.fromkeys(keys, 29)


@pytest.mark.parametrize("point", CRASH_POINTS)
def test_a_writer_killed_at_any_point_leaves_the_file_wholly_old_or_new(path: Path, point: str) -> None:
    old = b"# mine\n[lock]\nttl = 60\n"
    path.write_bytes(old)

    killed = write_elsewhere(
        path, "config.edit(path, {'lock.ttl': 90, 'core.format': 'json'})", CLEVERAGENTS_CRASH_AT=point
    )

    assert killed.returncode == -signal.SIGKILL
    renamed = point in {"config.fsync-directory", "config.done"}
    assert path.read_bytes() == (b'# mine\n[lock]\nttl = 90\n\n[core]\nformat = "json"\n' if renamed else old)
    config.edit(path, {"lock.ttl": 120})
    assert config.Config(path, {}).value("lock.ttl") == 120
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["config.toml", "config.toml.lock"]


def test_a_write_that_the_disk_refuses_half_way_leaves_the_old_file(path: Path) -> None:
    path.write_text("# " + "x" * 5_000 + "\n")
    before = path.read_bytes()
    limit = (4_096, resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    script = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, {limit}); config.edit(path, {{'lock.ttl': 60}})"
    )

    failed = write_elsewhere(path, script)

    assert failed.returncode == 1
    assert "cannot write" in failed.stderr
    assert path.read_bytes() == before
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["config.toml", "config.toml.lock"]


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, which only root may")
def test_a_read_only_directory_is_a_permission_error(public_directory: Path) -> None:
    path = public_directory / "config.toml"
    path.write_text("[lock]\nttl = 60\n")
    os.seteuid(65534)
    try:
        with pytest.raises(errors.PermissionDeniedError, match="cannot write"):
            config.edit(path, {"lock.ttl": 90})
    finally:
        os.seteuid(0)

    assert path.read_text() == "[lock]\nttl = 60\n"


def test_a_linked_file_stays_a_link_and_its_target_changes(tmp_path: Path, path: Path) -> None:
    dotfiles = tmp_path / "dotfiles"
    dotfiles.mkdir()
    target = dotfiles / "ca.toml"
    target.write_text("# kept\n")
    path.symlink_to("dotfiles/ca.toml")

    config.edit(path, {"core.format": "json"})

    assert path.readlink() == Path("dotfiles/ca.toml")
    assert target.read_text() == '# kept\n\n[core]\nformat = "json"\n'
    assert config.Config(path, {}).value("core.format") == "json"


def test_a_link_to_nothing_is_an_error_and_stays(path: Path) -> None:
    path.symlink_to("gone.toml")

    for attempt in (lambda: config.Config(path, {}).get("lock.ttl"), lambda: config.edit(path, {"lock.ttl": 60})):
        with pytest.raises(errors.InvalidConfigError, match=r"a link to gone\.toml, which does not exist"):
            attempt()
    assert path.is_symlink()
    assert not path.exists()


def test_a_directory_in_the_files_place_is_an_error(path: Path) -> None:
    path.mkdir()

    with pytest.raises(errors.CleverAgentsError, match="cannot read"):
        config.Config(path, {}).get("lock.ttl")
    with pytest.raises(errors.CleverAgentsError, match=r"cannot (read|write)"):
        config.edit(path, {"lock.ttl": 60})
    assert path.is_dir()


def test_reading_the_configuration_imports_no_editor() -> None:
    """What only a write needs is not paid for by every command."""
    script = "config.Config(path, {}).get('lock.ttl'); print('store.toml_text' in sys.modules)"

    assert write_elsewhere(Path("/nonexistent/config.toml"), script).stdout == "False\n"
