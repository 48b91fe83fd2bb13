"""What the words on a shell's command line may become; asked by the script of `ca completion`.

Whatever goes wrong, nothing is printed: a message would land in the middle of what somebody is typing.
"""

import os
import re
import shlex
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import FrameType
from typing import NoReturn, TypeVar

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    split_arg_string,
)

from cleveragents_tui import wording
from cleveragents_tui.cli import root
from cleveragents_tui.cli.app import COMPLETE
from cleveragents_tui.cli.session import Session
from daemon import protocol
from store import errors

V = TypeVar("V")
Items = list[CompletionItem[str]]

_IN_BASH = """\
%(complete_func)s() {
    local found type value
    found=$(COMP_LINE=${COMP_LINE:0:COMP_POINT} COMP_WORD=$2 %(complete_var)s=bash_complete "$1")
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done <<< "$found"
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""
_SPECIAL = re.compile(r"""[ \t!"#$&'()*;<>?\[\\\]^`{|}~]""")
"""What bash takes for something else than a letter of a word."""


class _Bash(BashComplete):
    """As click has it, and for words with a colon, which ends a word of bash's, and candidates with a space."""

    source_template = _IN_BASH
    _before = ""
    """What stands on the line before the part of the word that bash replaces."""
    _quoted = False

    def get_completion_args(self) -> tuple[list[str], str]:
        """The whole words up to the cursor, and what was begun there."""
        line = os.environ.get("COMP_LINE")
        if line is None:  # asked by a script of click's own
            return super().get_completion_args()
        *words, begun = split_arg_string(f"{line}.")  # the dot: after a space a new word has begun
        begun = begun[:-1]
        self._quoted = _is_open(line)
        replaced = os.environ.get("COMP_WORD", "")
        self._before = begun.removesuffix(replaced if self._quoted else "".join(split_arg_string(replaced)))
        return words[1:], begun

    def format_completion(self, item: CompletionItem[str]) -> str:
        """The candidate as it has to stand on the line."""
        value = item.value.removeprefix(self._before)
        return f"{item.type},{value if self._quoted else _SPECIAL.sub(_escaped, value)}"


def _is_open(line: str) -> bool:
    """Whether a quote was begun and not ended."""
    try:
        shlex.split(line.rstrip("\\"))
    except ValueError:
        return True
    return False


def _escaped(found: re.Match[str]) -> str:
    return f"\\{found[0]}"


class _Fish(FishComplete):
    """As click has it, but for help with a comma in it."""

    source_template = FishComplete.source_template.replace('string split ","', 'string split -m 1 ","')


SHELLS: Mapping[str, type[ShellComplete]] = {"bash": _Bash, "zsh": ZshComplete, "fish": _Fish}
SECONDS = 1.0
"""How long the daemon is waited for; then the shell gets nothing."""
RECENT = 200
"""So many of the newest plans and jobs are offered."""


def respond(session: Session, instruction: str) -> int:
    """Print the candidates for the command line that the shell has put into the environment; returns the exit code."""
    shell = SHELLS.get(instruction.removesuffix("_complete"))
    if shell is None:
        return 1
    try:
        found = shell(root.make_root(), {"obj": session}, "ca", COMPLETE).complete()
    except (Exception, SystemExit):  # noqa: BLE001  as the module says
        return 1
    session.out.say([found])
    return 0


def candidates(context: click.Context, kind: str, incomplete: str) -> Items:
    """What `incomplete` may become where a thing of this kind is expected."""
    if kind == "noun":
        assert context.parent is not None, "only verbs of a noun have a parameter of that name"
        kind = context.parent.info_name or ""
    is_path = kind in {"project", "version"} and incomplete.startswith((".", "/", "~"))
    if kind in {"file", "directory"} or is_path:
        return [CompletionItem(incomplete, type="file" if kind in {"file", "version"} else "dir")]
    source = _SOURCES.get(kind)
    if source is None:
        return []
    session = context.find_object(Session)
    assert session is not None, "the root context is made with a session"
    known = list(source(session, context, incomplete))
    # Ids are taken in lower case too; a name that fits goes before.
    fitting = [entry for entry in known if entry[0].startswith(incomplete)] or [
        entry for entry in known if entry[0].startswith(incomplete.upper())
    ]
    return [CompletionItem(word, help=about or None) for word, about in fitting]


Words = Iterable[tuple[str, str]]
"""Candidates, each with what it is."""


def _ask(session: Session, request: protocol.Request[V]) -> V:
    signal.signal(signal.SIGALRM, _too_late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        connection = session.existing()
        if connection is None:
            raise errors.DaemonUnavailableError("completion starts no daemon")
        return connection.call(request)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _too_late(_number: int, _frame: FrameType | None) -> NoReturn:
    raise TimeoutError


def _plans(session: Session, _context: click.Context, incomplete: str) -> Words:
    for plan in _ask(session, protocol.PlanList(children=bool(incomplete), limit=RECENT)).plans:
        about = f"{wording.position(plan)}, {wording.short_name(plan.action)} on {wording.projects(plan)}"
        yield plan.name, about
        yield from _ids(plan.plan_id, about, incomplete)


def _ids(identity: str, about: str, incomplete: str) -> Words:
    """An id, and the part of it that is shown; only for somebody who began to type it."""
    if incomplete:
        yield wording.short_id(identity), about
        yield identity, about


def _jobs(session: Session, _context: click.Context, incomplete: str) -> Words:
    for job in _ask(session, protocol.JobList(limit=RECENT)).jobs:
        about = f"{job.phase} {job.status}"
        yield wording.short_id(job.job_id), about
        if incomplete:
            yield job.job_id, about


def _steps(session: Session, context: click.Context, _incomplete: str) -> Words:
    # Behind an option that still lacks its value the parser has stopped, with the arguments in `args`.
    plan = context.params.get("plan") or next(iter(context.args), "")
    return [(step.id, step.state) for step in _ask(session, protocol.PlanShow(plan=plan)).steps]


def _conflicts(session: Session, context: click.Context, _incomplete: str) -> Words:
    plan = _ask(session, protocol.PlanShow(plan=context.params.get("plan") or ""))
    files: list[dict[str, str]] = plan.error.detail.get("files", []) if plan.error else []
    for file in files:
        several = len(plan.projects) > 1
        yield (f"{wording.short_name(file['project'])}:{file['path']}" if several else file["path"]), file["kind"]


def _versions(_session: Session, _context: click.Context, _incomplete: str) -> Words:
    return [
        ("parent", "as it is in the parent"),
        ("child", "as the child has it"),
        ("base", "as both started from it"),
        ("edited", "as it was edited in the checkout"),
    ]


def _children(session: Session, context: click.Context, _incomplete: str) -> Words:
    plan = context.params.get("plan") or next(iter(context.args), "")
    for child in _ask(session, protocol.PlanList(parent=plan, limit=RECENT)).plans:
        if child.subplan is not None:
            yield child.subplan.item, f"{child.name}, {wording.position(child)}"


def _projects(session: Session, _context: click.Context, incomplete: str) -> Words:
    found = _ask(session, protocol.ProjectList()).projects
    return _names([(project.name, project.path or project.description) for project in found], incomplete)


def _actions(session: Session, _context: click.Context, incomplete: str) -> Words:
    found = _ask(session, protocol.ActionList()).actions
    return _names([(action.name, action.description) for action in found], incomplete)


def _actors(session: Session, _context: click.Context, incomplete: str) -> Words:
    found = _ask(session, protocol.ActorList()).actors
    return _names([(actor.name, actor.description) for actor in found], incomplete)


def _locks(session: Session, _context: click.Context, incomplete: str) -> Words:
    short = not incomplete.startswith("user:")
    for lock in _ask(session, protocol.LockList()).locks:
        kind, name = lock.resource_type, wording.short_name(lock.resource_id)
        yield (
            (name if kind == "user" and short else f"{kind}:{name}"),
            f"{lock.owner_id}{', expired' if lock.stale else ''}",
        )


def _names(found: Sequence[tuple[str, str]], incomplete: str) -> Words:
    """Names as short as they can be; whole to somebody who began with the namespace."""
    for name, about in found:
        short = wording.short_name(name)
        yield (short if short.startswith(incomplete) else name), wording.plain(about).partition("\n")[0]


def _keys(_session: Session, _context: click.Context, _incomplete: str) -> Words:
    from store.config import KEYS  # noqa: PLC0415  only keys need the registry

    return [(key.name, key.description) for key in KEYS.values()]


def _pairs(session: Session, context: click.Context, incomplete: str) -> Words:
    """KEY VALUE KEY VALUE: keys, and after a key what it may be."""
    given = list[str](context.params.get("pairs_") or [])
    return _choices(given[-1]) if len(given) % 2 else _keys(session, context, incomplete)


def _conflicting(session: Session, context: click.Context, _incomplete: str) -> Words:
    kind = context.params.get("kind") or next(iter(context.args), "")
    found = [one for one in _ask(session, protocol.SyncConflicts()).conflicts if one.kind == kind]
    return [(one.name, "changed here and on the server") for one in found]


def _profiles(_session: Session, _context: click.Context, _incomplete: str) -> Words:
    return _choices("core.automation-profile")


def _modes(_session: Session, _context: click.Context, _incomplete: str) -> Words:
    return _choices("apply.mode")


def _choices(key: str) -> Words:
    from store import config  # noqa: PLC0415  as above

    found = config.find(key)
    return [(choice, "") for choice in found.choices or (("true", "false") if found.type == "bool" else ())]


_SOURCES: Mapping[str, Callable[[Session, click.Context, str], Words]] = {
    "plan": _plans,
    "job": _jobs,
    "step": _steps,
    "child": _children,
    "conflict": _conflicts,
    "version": _versions,
    "project": _projects,
    "action": _actions,
    "actor": _actors,
    "lock": _locks,
    "key": _keys,
    "pair": _pairs,
    "profile": _profiles,
    "shared definition": _conflicting,
    "mode": _modes,
}
