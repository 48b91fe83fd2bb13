"""`ca plan`: one use of an action, from the first idea to the applied change."""

from cleveragents_tui.cli.commands import LazyNoun

_MOVES, _READING, _WAITING, _HISTORY, _RECOVERY, _CONFLICTS = (
    f"cleveragents_tui.cli.plan_{part}" for part in ("moves", "reading", "waiting", "history", "recovery", "conflicts")
)

command = LazyNoun(
    "plan",
    help="Plans: an action used on projects, decided, executed in a sandbox, reviewed, applied.",
    examples=["ca plan use modernise web --follow", "ca plan diff modernise-1 --stat", "ca plan apply modernise-1"],
    verbs={
        "use": f"{_MOVES}:use",
        "execute": f"{_MOVES}:execute",
        "apply": f"{_MOVES}:apply",
        "cancel": f"{_MOVES}:cancel",
        "revert": f"{_MOVES}:revert",
        "undo": f"{_MOVES}:undo",
        "prompt": f"{_RECOVERY}:prompt",
        "rollback": f"{_RECOVERY}:rollback",
        "conflicts": f"{_CONFLICTS}:conflicts_",
        "resolve": f"{_CONFLICTS}:resolve",
        "list": f"{_READING}:list_",
        "show": f"{_READING}:show",
        "status": f"{_READING}:status",
        "tree": f"{_READING}:tree",
        "diff": f"{_READING}:diff",
        "artifacts": f"{_HISTORY}:artifacts",
        "errors": f"{_READING}:errors_",
        "explain": f"{_HISTORY}:explain",
        "logs": f"{_READING}:logs_",
        "follow": f"{_WAITING}:follow",
        "wait": f"{_WAITING}:wait",
        "prune": "cleveragents_tui.cli.plan_prune:prune",
    },
)
