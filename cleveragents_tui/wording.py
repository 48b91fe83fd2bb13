"""How things are said to people: states, ages, durations, sizes, ids; the same words in `ca` and in the dashboard.

Nothing here knows a terminal. A colour only repeats what the word or the sign beside it says.
"""

import enum
import functools
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

from daemon import views


class Tone(enum.StrEnum):
    """What a colour stands for."""

    NEEDS_YOU = "amber"
    RUNNING = "blue"
    DONE = "green"
    FAILED = "red"
    WAITING = "grey"
    PLAIN = "plain"


class Mood(enum.Enum):
    """What the state of a plan, a step or a job means to the one who looks: a sign and a tone."""

    NEEDS_YOU = ("◆", Tone.NEEDS_YOU)
    RUNNING = ("▶", Tone.RUNNING)
    QUEUED = ("◌", Tone.WAITING)
    DONE = ("✔", Tone.DONE)
    FAILED = ("✘", Tone.FAILED)
    CANCELLED = ("⊘", Tone.WAITING)

    @property
    def sign(self) -> str:
        return self.value[0]

    @property
    def tone(self) -> Tone:
        return self.value[1]


_ASCII = str.maketrans(
    {
        "◆": "*", "▶": ">", "◌": "o", "✔": "+", "✘": "x", "⊘": "/", "━": "=", "╺": "-", "─": "-", "│": "|", "├": "|",
        "└": "`", "…": "~", "·": "-", "−": "-", "→": "->", "⏎": "/",  # noqa: RUF001  this is the table of them
    }
)  # fmt: skip


def ascii_signs(text: str) -> str:
    """`text` for a terminal whose encoding has none of our signs."""
    return text.translate(_ASCII)


_CONTROL = r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
_LAST_RETURN = r"(?m)^[^\n]*\r(?=[^\n])"


def plain(text: str) -> str:
    """What a program printed, without what would play with the terminal; redrawn lines as they ended up."""
    if text.isprintable():
        return text
    return printable(re.sub(_CONTROL, "", re.sub(_LAST_RETURN, "", text.rstrip("\r")))).expandtabs(4)


def arguments(values: Mapping[str, Any]) -> str:
    """The arguments that have a value, as one would give them."""
    given = {name: str(value).lower() if isinstance(value, bool) else value for name, value in values.items()}
    return "  ".join(f"{name}={value}" for name, value in given.items() if value is not None)


def one_line(text: str) -> str:
    """The same in one line."""
    return plain(text).replace("\n", " ")


_UNSAFE = r"[\x00-\x1f\x7f-\x9f]"
_LETTERS = dict(zip("\a\b\t\n\v\f\r", "abtnvfr", strict=True))


def file_name(name: str) -> str:
    """A file's name in one line: as git quotes it when it has control characters, else as it is."""
    if not re.search(_UNSAFE, name):
        return name
    escaped = name.replace("\\", r"\\").replace('"', r"\"")
    return f'"{re.sub(_UNSAFE, _escape, escaped)}"'


def _escape(found: re.Match[str]) -> str:
    letter = _LETTERS.get(found[0])
    return f"\\{letter}" if letter else "".join(f"\\{byte:03o}" for byte in found[0].encode())


def columns(text: str) -> int:
    """How many columns of a terminal `text` takes."""
    return len(text) if text.isascii() else _columns(text)


@functools.lru_cache(maxsize=1024)
def _columns(text: str) -> int:
    """The same few signs and bars stand on all lines."""
    import unicodedata  # noqa: PLC0415  most tables are ASCII and signs

    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.combining(char) > 0 for char in text)


def cut(text: str, width: int) -> str:
    """`text` in at most `width` columns, `…` for what is missing."""
    if columns(text) <= width:
        return text
    while text and columns(text) >= width:
        text = text[:-1]
    return f"{text}…" if width > 0 else ""


def cut_front(text: str, width: int) -> str:
    """`text` in at most `width` columns; of a path the end tells more."""
    if columns(text) <= width:
        return text
    while text and columns(text) >= width:
        text = text[1:]
    return f"…{text}" if width > 0 else ""


def printable(text: str) -> str:
    r"""`text` with each byte that is not UTF-8 as `\xNN`, and each lone surrogate and NUL likewise."""
    raw = (
        text.encode("utf-8", "surrogateescape")
        if _escaped_bytes_only(text)
        else text.encode("utf-8", "backslashreplace")
    )
    return raw.decode("utf-8", "backslashreplace").replace("\0", "\\x00")


def _escaped_bytes_only(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" and not "\udc80" <= char <= "\udcff" for char in text)


_STEP_MOODS = {
    "pending": Mood.QUEUED,
    "running": Mood.RUNNING,
    "succeeded": Mood.DONE,
    "failed": Mood.FAILED,
    "timed_out": Mood.FAILED,
    "lost": Mood.FAILED,
    "cancelled": Mood.CANCELLED,
    "skipped": Mood.CANCELLED,
}
_JOB_MOODS = {
    "queued": Mood.QUEUED,
    "running": Mood.RUNNING,
    "succeeded": Mood.DONE,
    "failed": Mood.FAILED,
    "cancelled": Mood.CANCELLED,
}
_PLAN_MOODS = {
    "queued": Mood.QUEUED,
    "processing": Mood.RUNNING,
    "complete": Mood.NEEDS_YOU,
    "applied": Mood.DONE,
    "errored": Mood.FAILED,
    "constrained": Mood.FAILED,
    "cancelled": Mood.CANCELLED,
}


def plan_mood(plan: views.PlanView) -> Mood:
    """What a plan's position means: one that waits for a verb needs you, what a child waits for is its parent's matter."""
    if _waits(plan):
        return Mood.NEEDS_YOU
    if plan.state == "complete" and plan.parent_plan_id is not None:
        return Mood.DONE
    return _PLAN_MOODS.get(plan.state, Mood.QUEUED)


def step_mood(state: str) -> Mood:
    """What the state of a step means."""
    return _STEP_MOODS.get(state, Mood.QUEUED)


def job_mood(status: str) -> Mood:
    """What the status of a job means."""
    return _JOB_MOODS.get(status, Mood.QUEUED)


def position(plan: views.PlanView) -> str:
    """`execute complete`; a plan that has no job yet is `waiting`, for that is what it does."""
    if _waits(plan):
        return f"{plan.phase} waiting"
    return f"{plan.phase} {plan.state}"


def _waits(plan: views.PlanView) -> bool:
    """Whether a plan waits for somebody to say that it may begin; a child waits for its turn."""
    return plan.state == "queued" and plan.job_id is None and plan.parent_plan_id is None


def child_mood(child: views.PlanTreeView) -> Mood:
    """What the state of a child in a tree means."""
    return Mood.DONE if child.state == "complete" else _PLAN_MOODS.get(child.state, Mood.QUEUED)


def plan_note(plan: views.PlanView, now: float) -> str:
    """The one thing worth knowing about a plan beside its position."""
    if plan.error is not None and plan.state != "applied":
        return error_note(plan.error)
    if plan.state == "processing":
        return progress_note(plan, now)
    if plan.diff is not None and plan.phase != "strategize":
        return change(plan.diff.files, plan.diff.insertions, plan.diff.deletions)
    if plan.phase == "strategize" and plan.state == "complete":
        return count(len(plan.steps), "step")
    return ""


def list_note(plan: views.PlanView, now: float) -> str:
    """The same where there is little room: of a conflict the files come first."""
    error = plan.error
    if error is not None and error.code == "merge_conflict" and plan.state != "applied" and (files := files_of(error)):
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        item = f" ({files[0].item})" if files[0].item else ""
        return f"conflict: {files[0].path}{more}{item}"
    return plan_note(plan, now)


def error_note(error: views.ErrorView) -> str:
    """An error in one line: the step first, when a step is to blame."""
    first = error.message.strip().partition("\n")[0]
    if error.step is None or error.step in first:
        return first
    return f"step {error.step}: {first}"


class ConflictFile(NamedTuple):
    """A file of an error's detail: one that two sides changed in ways that do not fit together, or one that is in the way."""

    path: str
    kind: str
    project: str
    item: str


def files_of(error: views.ErrorView) -> list[ConflictFile]:
    """The files that an error's detail names: their names, or records with what is known of each."""
    found: list[ConflictFile] = []
    files: list[Any] = error.detail.get("files") or []
    for file in files:
        known = cast("dict[str, Any]", file) if isinstance(file, dict) else {"path": file}
        found.append(ConflictFile(*(str(known.get(key) or "") for key in ConflictFile._fields)))
    return found


def parent_name(child: views.PlanView) -> str:
    """What the parent of a child is called: the child's name begins with it."""
    return child.name.rpartition(".")[0]


def progress_note(plan: views.PlanView, now: float) -> str:
    """How far a running plan is: finished children or steps, what runs, and for how long."""
    parts: list[str] = []
    if plan.children.total:
        parts.append(f"{plan.children.complete + plan.children.applied}/{plan.children.total} children")
    elif plan.steps:
        parts.append(f"{finished_steps(plan.steps)}/{len(plan.steps)}")
    running = next((step for step in plan.steps if step.state == "running"), None)
    if running is not None:
        parts.append(running.id)
    since = running.started_at if running is not None else plan.updated_at
    if since is not None:
        parts.append(clock(now - seconds(since)))
    return " ".join(parts)


def children_note(children: views.ChildrenView, *, short: bool = False) -> str:
    """How far children are: `9/14 · 4 running · 1 failed`, in short `9/14 ▶4 ✘1`."""
    done = f"{children.complete + children.applied}/{children.total}"
    counts = ((children.processing, Mood.RUNNING, "running"), (children.errored, Mood.FAILED, "failed"),
              (children.cancelled, Mood.CANCELLED, "cancelled"))  # fmt: skip
    if short:
        return " ".join([done, *(f"{mood.sign}{number}" for number, mood, _ in counts if number)])
    return " · ".join([done, *(f"{number} {word}" for number, _, word in counts if number)])


def finished_steps(steps: Sequence[views.StepView]) -> int:
    """How many of `steps` are over and well."""
    return sum(step.state in {"succeeded", "skipped"} for step in steps)


def change(files: int, insertions: int, deletions: int) -> str:
    """How many files, and how many lines came and went."""
    if files == 0:
        return "no changes"
    return f"{count(files, 'file')} {signed(insertions, deletions)}"


def signed(insertions: int, deletions: int) -> str:
    """Lines that came and went, with a minus sign as wide as the plus."""
    return f"+{insertions} −{deletions}"  # noqa: RUF001  as said


def count(number: int, noun: str, plural: str | None = None) -> str:
    """`1 file`, `2 files`."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def seconds(text: str) -> float:
    """An RFC 3339 time as seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()


def between(started_at: str | None, finished_at: str | None, now: float) -> float | None:
    """How many seconds something took, or has taken so far."""
    if started_at is None:
        return None
    return max(0.0, (now if finished_at is None else seconds(finished_at)) - seconds(started_at))


def duration(amount: float) -> str:
    """`40 ms`, `0.2 s`, `12 s`, `1 m 40 s`, `3 h 5 m`, `2 d 4 h`."""
    if amount < 0.0995:
        return f"{max(0, round(amount * 1000))} ms"
    if amount < 9.95:
        return f"{amount:.1f} s"
    whole = round(amount)
    if whole < 60:
        return f"{whole} s"
    for size, unit, below, below_unit in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            rest = whole % size // below
            return f"{whole // size} {unit} {rest} {below_unit}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def clock(amount: float) -> str:
    """`00:14`, `1:02:03`: how long something has been going on."""
    whole = max(0, int(amount))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"


def age(then: str | None, now: float) -> str:
    """How long ago, in one unit: `now`, `40 s`, `3 h`, `12 d`, then the date."""
    if then is None:
        return ""
    passed = now - seconds(then)
    if passed < 1:
        return "now"
    for size, unit, limit in ((1, "s", 60), (60, "m", 3_600), (3_600, "h", 86_400), (86_400, "d", 60 * 86_400)):
        if passed < limit:
            return f"{int(passed // size)} {unit}"
    return then[:10]


def size(amount: int) -> str:
    """`812 B`, `1.2 KiB`, `34 MiB`."""
    value = float(amount)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 10 else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def short_id(ulid: str) -> str:
    """The part of an id that tells it from its neighbours, and that every command takes for it: its end."""
    return ulid[-8:]


def short_commit(commit: str | None) -> str:
    """A commit as git abbreviates it."""
    return "" if commit is None else commit[:7]


def short_digest(digest: str) -> str:
    """`9c41…e07a`."""
    return digest if len(digest) <= 12 else f"{digest[:4]}…{digest[-4:]}"


def projects(plan: views.PlanView) -> str:
    """The projects of a plan, as short as they can be."""
    return ", ".join(short_name(project) for project in plan.projects)


def short_name(name: str) -> str:
    """A name without the namespace that it has by default."""
    return name.removeprefix("local/")


def local_time(text: str) -> str:
    """An RFC 3339 time on the wall clock of the one who looks."""
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def clock_time(moment: float) -> str:
    """A moment on the wall clock of the one who looks: `12:04:11`."""
    return datetime.fromtimestamp(moment).astimezone().strftime("%H:%M:%S")
