"""The registry of configuration keys: a key is here when something reads it."""

import math
from collections.abc import Callable, Mapping
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from store import errors, names

KeyType: TypeAlias = Literal["bool", "int", "float", "str", "choice", "duration"]
Value: TypeAlias = bool | int | float | str
"""A checked value; a duration is a float of seconds."""

MASK = "********"

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})


def _check_url(text: str) -> None:
    from store import sharing  # noqa: PLC0415  few commands have to do with team servers

    if text:
        sharing.parse_url(text)


def _check_namespace(text: str) -> None:
    from store import sharing  # noqa: PLC0415  as above

    sharing.check_namespace(text)


class Key(Struct, frozen=True):
    """One key: what it may be, where it may be set, and what it is when nobody set it."""

    name: str
    type: KeyType
    default: Value | None
    description: str
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    project_scopable: bool = False
    secret: bool = False
    check: Callable[[str], None] | None = None
    """Raises `InvalidArgumentError` about a text that the key cannot be."""

    @property
    def env(self) -> str:
        """The environment variable that sets it."""
        return "CLEVERAGENTS_" + self.name.upper().replace(".", "_").replace("-", "_")

    @property
    def path(self) -> tuple[str, ...]:
        """The tables of the file that lead to it, and its own name last."""
        return tuple(self.name.split("."))

    @property
    def allowed(self) -> str:
        """What its value may be, in words that follow "must be"."""
        words = {
            "bool": "true or false",
            "int": "a whole number",
            "float": "a number",
            "str": "text",
            "choice": f"one of {', '.join(self.choices)}",
            "duration": "a duration such as 90s, 10m, 2h or 7d",
        }[self.type]
        if self.minimum is not None and self.maximum is not None:
            return f"{words} from {self.minimum:g} to {self.maximum:g}"
        return words if self.minimum is None else f"{words}, at least {self.minimum:g}"


_DAY = 86_400.0
_ALL: Final = (
    Key("core.automation-profile", "choice", "supervised", "Which moves of a plan happen by themselves.",
        choices=("manual", "supervised", "trusted", "full-auto"), project_scopable=True),
    Key("core.format", "choice", "auto", "How `ca` prints: auto is rich on a terminal and plain elsewhere.",
        choices=("auto", "rich", "plain", "json", "yaml")),
    Key("core.log-level", "choice", "info", "What the daemon writes to its log.",
        choices=("debug", "info", "warning", "error")),
    Key("async.enabled", "bool", default=True,
        description="Whether `plan execute` and `plan apply` return before the phase has ended."),
    Key("async.max_workers", "int", 4, "Jobs that run at the same time.", minimum=1, maximum=64),
    Key("async.poll_interval", "float", 1.0, "Seconds between looks at the queue while something is queued.",
        minimum=0.05, maximum=60),
    Key("async.job_timeout", "int", 3_600, "Seconds that one job may take; 0 is no limit.", minimum=0),
    Key("async.job_ttl", "int", 60, "Seconds without a heartbeat after which a job counts as stuck.",
        minimum=3, maximum=3_600),
    Key("async.cancel-grace", "float", 5.0, "Seconds between SIGTERM and SIGKILL for a step that is cancelled.",
        minimum=0, maximum=3_600),
    Key("async.retention", "duration", 7 * _DAY, "How long finished jobs and their logs are kept."),
    Key("plan.concurrency", "int", 4, "Root plans in Execute at the same time; the rest queue.",
        minimum=1, maximum=64),
    Key("plan.max-child-depth", "int", 5, "How deep subplans may be nested; a plan of its own has depth 0.",
        minimum=1, maximum=20, project_scopable=True),
    Key("plan.max-reversions", "int", 3, "How often one plan may be reverted.", minimum=0, maximum=20),
    Key("plan.retention", "duration", 30 * _DAY, "How long an applied plan can be undone."),
    Key("events.retention", "duration", 30 * _DAY, "How long events are kept; the last of each plan always is."),
    Key("sandbox.strategy", "choice", "clone", "Where steps run: a private clone, or (read-only actions) the project.",
        choices=("clone", "none"), project_scopable=True),
    Key("sandbox.cleanup", "choice", "on_apply", "When a sandbox is removed.",
        choices=("on_apply", "on_terminal", "manual"), project_scopable=True),
    Key("apply.mode", "choice", "worktree", "How Apply writes: files, staged files, a commit, or a new branch.",
        choices=("worktree", "index", "commit", "branch"), project_scopable=True),
    Key("lock.ttl", "int", 300, "Seconds that a lock lasts unless it is renewed.", minimum=5, maximum=3_600),
    Key("daemon.idle-timeout", "duration", 0.0, "How long an idle daemon stays; 0 is for ever."),
    Key("server.url", "str", None, "The team server; `ca server connect` sets it.", check=_check_url),
    Key("server.token", "str", None, "What the team server knows you by.", secret=True),
    Key("server.namespace", "str", "default", "The namespace that is shared through the team server.",
        check=_check_namespace),
    Key("server.tls-verify", "bool", default=True, description="Whether the team server's certificate is checked."),
    Key("server.request-timeout", "float", 10.0, "Seconds that one request to the team server may take.",
        minimum=0.1, maximum=600),
    Key("server.sync.auto", "bool", default=True,
        description="Whether the daemon syncs by itself while it is connected to a team server."),
    Key("server.sync.interval", "int", 300, "Seconds between two pulls from the team server.",
        minimum=1, maximum=86_400),
    Key("server.sync.conflict", "choice", "manual",
        "Which version wins when a definition was changed here and on the team server.",
        choices=("manual", "local_wins", "server_wins")),
    Key("tui.theme", "str", "cleveragents", "How the dashboard looks: cleveragents, cleveragents-light, nord, gruvbox, …"),
    Key("tui.refresh", "float", 0.1, "Seconds between two looks of the dashboard at what happens, at least.",
        minimum=0.02, maximum=60),
)  # fmt: skip

KEYS: Final[Mapping[str, Key]] = {key.name: key for key in _ALL}
"""Every key by its name, in the order in which they are listed."""


def find(name: str) -> Key:
    """The key called `name`.

    Raises:
        NotFoundError: there is none; the message names the nearest.
    """
    if name in KEYS:
        return KEYS[name]
    near = names.nearest(name, KEYS)
    raise errors.NotFoundError(
        f"there is no configuration key {name!r}" + (f"; did you mean {near!r}?" if near else ""),
        detail={"key": name, "nearest": near},
        suggestions=[f"ca config get {near}"] if near else ["ca config list"],
    )


def parse_value(key: Key | str, text: str) -> Value:
    """The value that `text`, from a command line or the environment, means for `key`.

    Raises:
        NotFoundError: there is no such key.
        InvalidConfigError: it means none.
    """
    key = _key(key)
    word = text.strip()
    value: object = text
    try:
        match key.type:
            case "bool":
                value = True if word.lower() in _TRUE else False if word.lower() in _FALSE else text
            case "int":
                value = int(word)
            case "float":
                value = float(word)
            case "choice" | "duration":
                value = word
            case _:
                pass
    except ValueError as error:
        raise refusal(key, text) from error
    return check_value(key, value)


def check_value(key: Key, value: object) -> Value:
    """`value`, from the file or a program, when `key` may have it; a duration becomes seconds.

    Raises:
        InvalidConfigError: it may not.
    """
    match key.type, value:
        case "bool", bool():
            return value
        case "str", str() if value.isprintable() and _complaint(key, value) is None:
            return value  # a character that cannot be printed cannot be sent either
        case "choice", str() if value in key.choices:
            return value
        case "duration", str() | int() | float() if not isinstance(value, bool):
            try:
                return names.parse_duration(value)
            except errors.InvalidArgumentError as error:
                raise refusal(key, value) from error
        case "int" | "float", int() | float() if not isinstance(value, bool) and _in_range(key, value):
            return float(value) if key.type == "float" else int(value)
        case _:
            raise refusal(key, value)


def show(key: Key | str, value: Value | None) -> str:
    """A value as `config set` would read it back; a secret is masked."""
    key = _key(key)
    if value is None:
        return ""
    if key.secret:
        return MASK
    if key.type == "duration" and isinstance(value, int | float):
        return names.format_duration(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def mask(key: Key | str, value: Value | None) -> Value | None:
    """The value, or `********` for a secret that is set."""
    return MASK if _key(key).secret and value is not None else value


def refusal(key: Key, value: object, *, where: str = "") -> errors.InvalidConfigError:
    """The error about a value that `key` cannot have."""
    place = f"{where}: " if where else ""
    complaint = _complaint(key, value)
    if complaint is not None:  # it does not repeat what may be a password
        return errors.InvalidConfigError(
            f"{place}{key.name}: {complaint.message}",
            detail={"key": key.name, "value": None, "allowed": key.allowed, "nearest": None},
            suggestions=complaint.suggestions,
        )
    shown = MASK if key.secret else value if isinstance(value, str | int | float) else type(value).__name__
    near = names.nearest(str(value), key.choices) if key.choices else None
    hint = f"; did you mean {near!r}?" if near else ""
    return errors.InvalidConfigError(
        f"{place}{key.name} must be {key.allowed}, not {shown!r}{hint}",
        detail={"key": key.name, "value": shown, "allowed": key.allowed, "nearest": near},
        suggestions=[f"ca config set {key.name} {near or show(key, key.default)}".rstrip()],
    )


def _complaint(key: Key, value: object) -> errors.InvalidArgumentError | None:
    """What the key's own check has against a text."""
    if key.check is None or not isinstance(value, str):
        return None
    try:
        key.check(value)
    except errors.InvalidArgumentError as error:
        return error
    return None


def _key(key: Key | str) -> Key:
    return find(key) if isinstance(key, str) else key


def _in_range(key: Key, value: float) -> bool:
    if key.type == "int" and not isinstance(value, int):
        return False
    low = -math.inf if key.minimum is None else key.minimum
    high = 2**53 if key.maximum is None else key.maximum
    return low <= value <= high
