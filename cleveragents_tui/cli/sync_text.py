"""How the sync is said to people: how it stands, what is wrong, and both versions of what is in conflict."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from cleveragents_tui import wording
from cleveragents_tui.cli.session import Session
from cleveragents_tui.cli.tables import Cell, Column, pairs, table
from cleveragents_tui.output import Look
from cleveragents_tui.wording import Mood, Tone
from daemon import protocol, sync_views

CONNECT = "ca server connect URL"


# --- how it stands -----------------------------------------------------------------------------------------------------


def status(view: sync_views.SyncView, look: Look) -> Iterable[str]:
    """`ca sync status`."""
    if view.namespace is None:
        yield look.bold("No team server is connected.")
        yield f"  {CONNECT}"
        return
    yield _head(view, look)
    yield from pairs(look, facts(view, look.now))
    yield from invalid(view, look)
    yield from _next(view, look)


def _head(view: sync_views.SyncView, look: Look) -> str:
    name = look.bold(view.namespace or "")
    if view.last_error is not None:
        return f"{look.mood(Mood.FAILED)} {name}: {said(view.last_error)}"
    if needs_you(view):
        return f"{look.mood(Mood.NEEDS_YOU)} {name}: {', '.join(needs_you(view))}"
    if view.running:
        return f"{look.mood(Mood.RUNNING)} {name} syncs now"
    if view.pending:
        return f"{look.mood(Mood.QUEUED)} {name}: {wording.count(view.pending, 'change')} to push"
    if view.last_pull_at is None:
        return f"{look.mood(Mood.QUEUED)} {name} is not synced yet"
    return f"{look.mood(Mood.DONE)} {name} is in step with the server"


def facts(view: sync_views.SyncView, now: float) -> list[tuple[str, str | Cell]]:
    """What `ca sync status` and `ca server status` list."""
    return [
        ("shared", stock(view)),
        ("last pull", since(view.last_pull_at, now) or "never"),
        ("next pull", _next_pull(view, now)),
        ("to push", str(view.pending) if view.pending else ""),
        ("told of changes", "at once, by the server" if view.streaming else ""),
    ]


def said(reason: str) -> str:
    """A reason without its code, which is for programs."""
    return wording.one_line(reason.partition(": ")[2] or reason)


def stock(view: sync_views.SyncView) -> str:
    """How many definitions are shared."""
    return wording.count(view.entities, "definition")


def since(moment: str | None, now: float) -> str:
    """How long ago something was."""
    age = wording.age(moment, now)
    return f"{age} ago" if " " in age else age  # now, or a date


def _next_pull(view: sync_views.SyncView, now: float) -> str | Cell:
    if view.next_pull_at is not None:
        left = wording.seconds(view.next_pull_at) - now
        return f"in {wording.duration(left)}" if left >= 1 else "now"
    if not view.auto:
        return "when you say so: ca sync now  (server.sync.auto is off)"
    return Cell("stopped; try again with: ca sync now", Tone.NEEDS_YOU) if not view.active and not view.running else ""


def needs_you(view: sync_views.SyncView) -> list[str]:
    """What somebody has to look at, in a few words each."""
    refused = sum(one.origin == "local" for one in view.invalid)
    unusable = len(view.invalid) - refused
    return [
        text
        for number, text in (
            (view.conflicts, wording.count(view.conflicts, "conflict")),
            (unusable, f"{unusable} not usable here"),
            (refused, f"{refused} refused by the server"),
        )
        if number
    ]


def troubles(view: sync_views.SyncView, look: Look) -> Iterable[str]:
    """Everything that somebody has to look at."""
    yield from invalid(view, look)
    if view.conflicts:
        verb = "was" if view.conflicts == 1 else "were"
        definitions = wording.count(view.conflicts, "definition")
        yield f"{look.mood(Mood.NEEDS_YOU)} {definitions} {verb} changed here and on the server"
    yield from _next(view, look)


def invalid(view: sync_views.SyncView, look: Look) -> Iterable[str]:
    """What one side does not take from the other, each with its reason."""
    for one in view.invalid:
        whose = "the server refuses" if one.origin == "local" else "not usable here:"
        yield f"{look.mood(Mood.NEEDS_YOU)} {whose} {one.kind} {look.bold(one.name)}"
        yield f"  {wording.one_line(one.reason)}"


def _next(view: sync_views.SyncView, look: Look) -> Iterable[str]:
    if view.conflicts:
        yield f"  {look.dim('next')}  ca sync conflicts"


def ran(view: sync_views.SyncRunView, look: Look) -> Iterable[str]:
    """What one sync brought."""
    done = [
        f"{number} {word}"
        for number, word in ((view.pulled, "pulled"), (view.removed, "removed"), (view.pushed, "pushed"))
        if number
    ]
    mood = Mood.NEEDS_YOU if needs_you(view) else Mood.DONE
    told = ", ".join([*done, *needs_you(view)]) or "nothing new"
    yield f"{look.mood(mood)} {look.bold(view.namespace or '')}: {told}"
    yield from invalid(view, look)
    yield from _next(view, look)


# --- in the overview ---------------------------------------------------------------------------------------------------


def overview(view: sync_views.SyncView, now: float) -> Iterable[tuple[Mood, str]]:
    """The line of `ca status` when not all is well; none otherwise."""
    if view.last_error is not None:
        pulled = f" · last pull {since(view.last_pull_at, now)}" if view.last_pull_at is not None else ""
        yield Mood.FAILED, f"{said(view.last_error)}{pulled}"
    elif needs_you(view):
        command = "ca sync conflicts" if view.conflicts else "ca sync status"
        yield Mood.NEEDS_YOU, " · ".join([*needs_you(view), command])


def overview_note(view: sync_views.SyncView, now: float) -> list[str]:
    """What is well, in a few words."""
    if view.last_error is not None:
        return []
    pulled = f"synced {since(view.last_pull_at, now)}" if view.last_pull_at is not None else "not synced yet"
    return [f"{pulled}, {view.pending} to push" if view.pending else pulled]


# --- conflicts ---------------------------------------------------------------------------------------------------------


def conflicts(found: sync_views.SyncConflictsView, look: Look, *, history: bool) -> Iterable[str]:
    """Every conflict with what each side made of what both started from; then the versions that lost."""
    if not found.conflicts:
        yield f"{look.mood(Mood.DONE)} no conflicts"
    for number, one in enumerate(found.conflicts):
        if number:
            yield ""
        yield from _conflict(one, look)
    if history:
        yield ""
        yield from _history(found.history, look)


def _conflict(one: sync_views.SyncConflictView, look: Look) -> Iterable[str]:
    yield f"{look.mood(Mood.NEEDS_YOU)} {one.kind} {look.bold(one.name)} was changed here and on the server"
    yield from pairs(look, [("here", _version(one.local, look)), ("server", _version(one.server, look))])
    if one.base.content is None:
        yield from _difference("server → here", one.server, one.local, look)
    else:
        yield from _difference("changed here", one.base, one.local, look)
        yield from _difference("changed on the server", one.base, one.server, look)
    yield ""
    yield from _choices(one, look)


def _version(version: sync_views.SharedVersionView, look: Look) -> str | Cell:
    parts = [
        "" if version.revision is None else f"revision {version.revision}",
        since(version.changed_at, look.now),
        f"by {version.changed_by}" if version.changed_by else "",
    ]
    told = ", ".join(filter(None, parts))
    if version.content is None:
        return Cell(", ".join(filter(None, ["deleted", told])), Tone.FAILED)
    return told or "changed"


def _difference(
    title: str, old: sync_views.SharedVersionView, new: sync_views.SharedVersionView, look: Look
) -> Iterable[str]:
    """What makes `new` of `old`; nothing when one of them is a deletion, which is told above."""
    if old.content is None or new.content is None:
        return
    import difflib  # noqa: PLC0415  every `ca status` loads this module, and few show a difference

    from cleveragents_tui.cli import diff_text  # noqa: PLC0415  as above

    yield ""
    yield look.bold(title)
    lines = difflib.unified_diff(_lines(old.content), _lines(new.content), lineterm="", n=2)
    yield from diff_text.coloured(list(lines)[2:], look)


def _lines(text: str) -> list[str]:
    return [wording.plain(line.replace("\r", "^M")) for line in text.removesuffix("\n").split("\n")]


def _choices(one: sync_views.SyncConflictView, look: Look) -> Iterable[str]:
    """Commands are never cut: they are there to be copied."""
    command = f"ca sync resolve {one.kind} {one.name} --take"
    yield f"  {look.dim('keep this one     ')}  {command} local"
    yield f"  {look.dim('take the other one')}  {command} server"


_HISTORY = (Column("WHEN"), Column("KIND"), Column("NAME", minimum=12), Column("VERSION"), Column("WHY", minimum=12))


def _history(found: Sequence[sync_views.LostVersionView], look: Look) -> Iterable[str]:
    if not found:
        yield look.dim("No version lost so far.")
        return
    yield from table(look, _HISTORY, [_lost(one) for one in found])
    yield look.dim("Their contents: ca sync conflicts --history --format json")


def _lost(one: sync_views.LostVersionView) -> list[Cell | str]:
    whose = "from here" if one.origin == "local" else "of the server"
    return [
        Cell(wording.local_time(one.created_at), Tone.WAITING),
        one.kind,
        Cell(one.name, bold=True),
        f"{whose}, deleted" if one.content is None else whose,
        wording.one_line(one.reason),
    ]


def resolved(one: sync_views.SyncConflictView, look: Look, *, take: str) -> Iterable[str]:
    """What became of a conflict."""
    name = f"{one.kind} {look.bold(one.name)}"
    if take == "local":
        yield f"{look.mood(Mood.DONE)} {name}: this version goes to the server"
    else:
        yield f"{look.mood(Mood.DONE)} {name}: the server's version is in force here"
    yield look.dim("  the other one is kept: ca sync conflicts --history")


# --- where a definition came from --------------------------------------------------------------------------------------


class FromSomewhere(Protocol):
    """A definition of which it is known where it came from."""

    @property
    def namespace(self) -> str: ...
    @property
    def source(self) -> str: ...


Origins = Callable[[FromSomewhere], str]


def origins(session: Session, found: Iterable[FromSomewhere]) -> Origins:
    """How to say where definitions came from: `local`, `synced`, or that what they came from is not connected."""
    if all(one.source == "local" for one in found):
        return lambda one: one.source
    connected = session.call(protocol.SyncStatus()).namespace
    return lambda one: "synced, not connected" if one.source == "synced" and one.namespace != connected else one.source


def in_the_clear(url: str) -> bool:
    """Whether others can listen in: no TLS, and not only between processes of this machine."""
    from ipaddress import ip_address  # noqa: PLC0415  only the one who connects needs them
    from urllib.parse import urlsplit  # noqa: PLC0415  as above

    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname is None:
        return False
    try:
        return not ip_address(parts.hostname).is_loopback
    except ValueError:
        return parts.hostname != "localhost"
