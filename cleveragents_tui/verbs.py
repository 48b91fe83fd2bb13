"""Everything that the dashboard can do: one table of verbs. Keys, footer, palette, help and the echoed command come from it.

A verb about a plan is offered when the daemon says that its command makes sense now; what makes sense is decided there.
"""

import shlex
from collections.abc import Callable
from typing import Any, NamedTuple

from cleveragents_tui import wording
from daemon import views

PLACEHOLDERS = ("plan", "job", "lock", "name", "file")


class Verb(NamedTuple):
    """One thing to do.

    Attributes:
        area: What it is about: the dashboard, a plan, a job, …
        name: Its word; `plan.apply` is the verb `apply` of the area `plan`.
        key: What to press, in Textual's names; empty when only the palette has it.
        title: What the footer says.
        ca: The command it stands for; empty when no command does the same.
        help: What it does, in a sentence.
        when: Whether it makes sense for the thing under the cursor; None when it always does.
        writes: Whether it changes something, so that a dashboard that only reads does not have it.
        ask: The question before it is done; empty when it is not asked, or when its own dialog asks.
        footer: Whether the footer shows it.
    """

    area: str
    name: str
    key: str
    title: str
    ca: str
    help: str
    when: Callable[[Any], bool] | None = None
    writes: bool = False
    ask: str = ""
    footer: bool = True

    @property
    def id(self) -> str:
        """Its name among all of them."""
        return f"{self.area}.{self.name}"

    def makes_sense(self, subject: Any) -> bool:
        """Whether it can be done to what is under the cursor now."""
        return self.when is None or (subject is not None and self.when(subject))

    def command(self, **words: str) -> str:
        """The `ca` command that does the same to the thing that `words` name."""
        return self.ca.format(**{name: quoted(word) for name, word in words.items()})


def quoted(word: str) -> str:
    """A word as a shell takes it, on one line whatever is in it."""
    word = wording.printable(word)
    if word.isprintable():
        return shlex.quote(word)
    escaped = word.replace("\\", "\\\\").replace("'", "\\'")
    return "$'" + "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in escaped) + "'"


def _gone(pulse: Any) -> bool:
    return bool(pulse.gone)


def _next(verb: str) -> Callable[[views.PlanView], bool]:
    """Whether the daemon has this verb of `ca plan` among the commands that make sense now."""
    prefix = f"ca plan {verb} "

    def offered(plan: views.PlanView) -> bool:
        return any(command.startswith(prefix) for command in plan.next)

    return offered


def _any_plan(_plan: views.PlanView) -> bool:
    return True


def _in_conflict_or_was(plan: views.PlanView) -> bool:
    """A choice may be changed until the plan goes on."""
    return _next("conflicts")(plan) or (plan.error is not None and plan.error.code == "merge_conflict")


def _settled_here(conflict: Any) -> bool:
    """What a plan collides with in its project is the user's own, and nobody else changes it."""
    return bool(conflict.can_take)


def _merged_here(conflict: Any) -> bool:
    return bool(conflict.can_take) and conflict.merged is not None


def _edited_here(conflict: Any) -> bool:
    return _merged_here(conflict) and bool(conflict.is_text)


def _goes_on(plan: views.PlanView) -> bool:
    return plan.state in {"queued", "processing"} and plan.job_id is not None


def _went_wrong(plan: views.PlanView) -> bool:
    return plan.error is not None or plan.children.errored > 0


def _open_job(job: views.JobView) -> bool:
    return job.status in {"queued", "running"}


def _of_a_job(lock: views.LockView) -> bool:
    return lock.owner_id.startswith("job:")


def _of_a_user(lock: views.LockView) -> bool:
    """A job's lease is the daemon's, and one that has expired is nobody's."""
    return not lock.stale and (lock.resource_type == "user" or not lock.owner_id.startswith("job:"))


def _connected(standing: Any) -> bool:
    return standing.sync.namespace is not None


def _disconnected(standing: Any) -> bool:
    return standing.sync.namespace is None


def _hosts(standing: Any) -> bool:
    """What this home hosts is known once the daemon has looked."""
    return standing.server is not None and standing.server.host.running


def _hosts_none(standing: Any) -> bool:
    return standing.server is not None and not standing.server.host.running


def _in_conflict(standing: Any) -> bool:
    return standing.conflict is not None


def _a_setting(_setting: Any) -> bool:
    return True


def _set_in_file(setting: Any) -> bool:
    return bool(setting.in_file)


_ALL = (
    # The dashboard itself.
    Verb("app", "plans", "1", "Plans", "ca plan list", "All plans: what needs you first.", footer=False),
    Verb("app", "jobs", "2", "Jobs", "ca job list", "The queue, what runs, and the workers.", footer=False),
    Verb("app", "locks", "3", "Locks", "ca lock list", "Who holds what, and for how long.", footer=False),
    Verb("app", "server", "4", "Server", "ca sync status", "The team server, the sync and its conflicts.", footer=False),
    Verb("app", "settings", "5", "Settings", "ca config list", "Every setting, and where it comes from.", footer=False),
    Verb("app", "diagnostics", "6", "Diagnostics", "ca diagnostics", "Check everything that can be checked.", footer=False),
    Verb("app", "palette", "colon,ctrl+p", "Command", "", "Find a verb, a plan or a theme by its name."),
    Verb("app", "help", "question_mark,f1", "Help", "", "What this screen shows, and its keys."),
    Verb("app", "start", "ctrl+r", "Start the daemon", "ca daemon start", "Start the daemon when it is gone.", _gone),
    Verb("app", "suspend", "ctrl+z", "To the shell", "", "Back to the shell; `fg` comes back.", footer=False),
    Verb("app", "quit", "q", "Quit", "", "Leave; the daemon and the plans go on."),
    # Making work.
    Verb("make", "use", "n", "New", "ca plan use", "Use an action on projects: makes a plan.", writes=True),
    Verb("make", "run", "r", "Run", "ca run", "One command in a sandbox of a project.", writes=True),
    Verb("make", "project", "plus", "Project", "ca project add", "Register a directory that plans may work on.",
         writes=True),
    Verb("make", "action", "", "Register an action", "ca action create", "Register an action from its file.", writes=True,
         footer=False),
    # A plan.
    Verb("plan", "apply", "a", "Apply", "ca plan apply {plan}", "Let the reviewed change into the project; shows it first.",
         _next("apply"), writes=True),
    Verb("plan", "execute", "e", "Execute", "ca plan execute {plan}", "Start Execute, or go on after an error.",
         _next("execute"), writes=True),
    Verb("plan", "prompt", "p", "Prompt", "ca plan prompt {plan}", "A word of advice for the next attempt.",
         _next("prompt"), writes=True),
    Verb("plan", "conflicts", "c", "Conflicts", "ca plan conflicts {plan}", "Settle the files that do not fit together.",
         _in_conflict_or_was),
    Verb("plan", "undo", "u", "Undo", "ca plan undo {plan}", "Take its change out of the project again.", _next("undo"),
         writes=True, ask="Take the change of {plan} out of the project again?"),
    Verb("plan", "errors", "E", "Errors", "ca plan errors {plan}", "Why it does not go on.", _went_wrong),
    Verb("plan", "diff", "d", "Diff", "ca plan diff {plan}", "What it changed.", _any_plan),
    Verb("plan", "logs", "l", "Log", "ca plan logs {plan}", "What its steps printed, live.", _any_plan),
    Verb("plan", "revert", "R", "Revert", "ca plan revert {plan}", "Back to Strategize; what was decided is kept.",
         _next("revert"), writes=True, ask="Start {plan} over from Strategize?"),
    Verb("plan", "cancel", "X", "Cancel", "ca plan cancel {plan}", "Stop it for good; its work is kept.",
         _next("cancel"), writes=True, ask="Cancel {plan} for good?"),
    Verb("plan", "rollback", "B", "Rollback", "ca plan rollback {plan}", "The sandbox back to the checkpoint of a step.",
         _next("rollback"), writes=True, footer=False),
    Verb("plan", "follow", "f", "Follow", "ca plan follow {plan}", "The log, and stay at its end.", _goes_on, footer=False),
    Verb("plan", "show", "s", "Steps", "ca plan show {plan}", "Its steps and children.", _any_plan, footer=False),
    Verb("plan", "tree", "t", "Decisions", "ca plan tree {plan}", "What was decided, by whom and why.", _any_plan,
         footer=False),
    Verb("plan", "events", "v", "Events", "ca events --plan {plan}", "What happened to it, in order.", _any_plan,
         footer=False),
    Verb("plan", "explain", "w", "Why", "ca plan explain {plan}", "Why it stands where it stands.", _any_plan, footer=False),
    Verb("plan", "artifacts", "A", "Artifacts", "ca plan artifacts {plan}", "Everything it made that can be reached.",
         _any_plan, footer=False),
    Verb("plan", "wait", "W", "Tell me", "ca plan wait {plan}", "Be told when nothing more happens by itself.", _goes_on,
         footer=False),
    Verb("plan", "copy", "y", "Copy", "", "Copy its id to the clipboard.", _any_plan, footer=False),
    Verb("plan", "prune", "", "Prune sandboxes", "ca plan prune", "Remove what plans that are over keep on the disk.",
         writes=True, footer=False),
    # A conflict of a plan.
    Verb("conflict", "parent", "p", "Parent's", "ca plan resolve {plan} {file} --take parent",
         "Take the parent's version.", _settled_here, writes=True),
    Verb("conflict", "child", "c", "Child's", "ca plan resolve {plan} {file} --take child",
         "Take the child's version.", _settled_here, writes=True),
    Verb("conflict", "base", "b", "Base's", "ca plan resolve {plan} {file} --take base",
         "Take the version that both started from.", _settled_here, writes=True),
    Verb("conflict", "edit", "o", "Edit", "ca plan resolve {plan} {file} --take edited",
         "Edit the merged file with $EDITOR, and take it.", _edited_here, writes=True),
    Verb("conflict", "edited", "t", "Take edited", "ca plan resolve {plan} {file} --take edited",
         "Take the merged file as it is now.", _merged_here, writes=True),
    # A job.
    Verb("job", "open", "o", "Plan", "ca plan show {plan}", "The plan that it works on.", _any_plan),
    Verb("job", "cancel", "X", "Cancel", "ca job cancel {job}", "Cancel the plan's phase that it carries out.", _open_job,
         writes=True, ask="Cancel the job {job} and its plan for good?"),
    Verb("job", "prune", "P", "Prune", "ca job prune", "Remove finished jobs that are past their retention.", writes=True,
         ask="Remove the finished jobs that are older than async.retention, with their logs?"),
    # A lock.
    Verb("lock", "open", "o", "Plan", "ca plan show {plan}", "The plan whose job holds it.", _of_a_job),
    Verb("lock", "release", "D", "Release", "ca lock release {lock}", "Give a lease back in its owner's name.", _of_a_user,
         writes=True, ask="Release {lock} although its holder may still rely on it?"),
    Verb("lock", "clean", "C", "Clean", "ca lock clean", "Remove the leases that anybody may take over.", writes=True),
    # The team server.
    Verb("sync", "now", "n", "Sync now", "ca sync now", "Pull and push.", _connected, writes=True),
    Verb("sync", "full", "F", "Full sync", "ca sync full", "Compare everything with the server.", _connected, writes=True),
    Verb("sync", "resolve", "s", "Resolve", "ca sync resolve", "Settle a definition that both sides changed.",
         _in_conflict, writes=True),
    Verb("sync", "connect", "c", "Connect", "ca server connect", "Share definitions by a team server.", _disconnected,
         writes=True),
    Verb("sync", "disconnect", "D", "Disconnect", "ca server disconnect", "Stop syncing; what came stays.", _connected,
         writes=True, ask="Disconnect from the team server?"),
    Verb("sync", "host", "h", "Host", "ca server start", "Host a team server in this home.", _hosts_none, writes=True),
    Verb("sync", "token", "t", "Token", "ca server token create --namespace {name}",
         "A token for the team server of this home, shown once.", _hosts, writes=True),
    Verb("sync", "stop", "H", "Stop hosting", "ca server stop", "Stop the team server of this home.", _hosts, writes=True,
         ask="Stop the team server of this home?"),
    # A setting.
    Verb("setting", "edit", "enter,e", "Edit", "ca config set {name}", "Give it another value, checked before it is written.",
         _a_setting, writes=True),
    Verb("setting", "unset", "D", "Unset", "ca config unset {name}", "Back to its default.", _set_in_file, writes=True),
    # Diagnostics.
    Verb("check", "again", "r", "Again", "ca diagnostics", "Check everything again."),
    Verb("check", "repair", "F", "Repair", "ca diagnostics --repair", "Put right what can be.", writes=True,
         ask="Put right what can be?"),
)  # fmt: skip

VERBS = {verb.id: verb for verb in _ALL}
AREAS = tuple(dict.fromkeys(verb.area for verb in _ALL))


def of(area: str) -> tuple[Verb, ...]:
    """The verbs of an area, in the order in which they are shown."""
    return tuple(verb for verb in _ALL if verb.area == area)
