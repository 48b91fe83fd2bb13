"""What stands around the plans: conflicts, previews, actions, locks, the team server, the checks."""

import msgspec

from daemon import sync_views, views
from snapshots.worlds import unify_api
from tests.dashboard import scenery
from tests.dashboard.scenery import commit, identity, lock, server, sync, version

SANDBOX = "/home/ada/.local/share/cleveragents/sandboxes/unify-api/web"

# --- Apply -------------------------------------------------------------------------------------------------------------------


def preview(plan: views.PlanView, *, collides: bool = False) -> views.PlanPreviewView:
    """What Apply of a plan would do."""
    assert plan.diff is not None
    conflicts = [
        views.ConflictView("src/api/routes.py", "content"),
        views.ConflictView("tests/test_old.py", "delete/modify"),
    ]
    project = views.ProjectPreviewView(
        project="local/web", path="/home/ada/src/web", branch="main", files=plan.diff.files,
        insertions=plan.diff.insertions, deletions=plan.diff.deletions, moved=True,
        edited=[] if collides else ["src/models.py"], conflicts=conflicts if collides else [],
    )  # fmt: skip
    checks = [views.DryRunCheckView("ruff", "ruff check src"), views.DryRunCheckView("tests", "pytest -q")]
    return views.PlanPreviewView(plan.plan_id, plan.diff.digest, "worktree", [project], checks)


# --- conflicts of children ---------------------------------------------------------------------------------------------------

BASE = """\
LIMIT = 10
RETRIES = 3


class Item:
    def price(self):
        return self._price

    def name(self):
        return self._name
"""
PARENTS = BASE.replace("LIMIT = 10", "LIMIT = 20").replace("def price(self)", "def price(self) -> int")
CHILDS = BASE.replace("def price(self)", "def price(self) -> Decimal").replace(
    "RETRIES = 3", "RETRIES = 5\nPAUSE = 0.1"
)


def _file(text: str) -> views.VersionView:
    return views.VersionView(mode="100644", blob=commit(text), bytes=len(text.encode()), binary=False, text=text)


def conflicts() -> views.PlanConflictsView:
    """One file that both sides changed, and one that the child deleted; this one is settled."""
    plan = unify_api()
    open_one = views.MergeConflictView(
        project="local/web", path="src/models.py", path_base64=None, kind="content", status="open", taken=None,
        child_plan_id=identity("unify-api.2"), child_name="unify-api.2", item="src/models", base=_file(BASE),
        parent=_file(PARENTS), child=_file(CHILDS),
    )  # fmt: skip
    settled = msgspec.structs.replace(
        open_one, path="src/limits.py", kind="delete/modify", status="resolved", taken="parent", child=None
    )
    return views.PlanConflictsView(plan.plan_id, [open_one, settled], 2, {"local/web": SANDBOX})


# --- actions -----------------------------------------------------------------------------------------------------------------


def action(name: str, description: str, *arguments: dict[str, object]) -> views.ActionView:
    """An action with one step."""
    return views.ActionView(
        name=f"local/{name}", description=description, namespace="local", source="local", revision=1, archived=False,
        definition_of_done="", strategy_actor="builtin/steps", execution_actor="builtin/shell", automation_profile=None,
        read_only=False, reusable=True, arguments=list(arguments), invariants=[], sandbox={}, env={}, shell=None, steps=[],
        checks=[],
    )  # fmt: skip


def actions() -> list[views.ActionView]:
    """Three of them; one asks for a directory and a level."""
    level: dict[str, object] = {"name": "level", "type": "choice", "choices": ["safe", "all"], "default": "safe",
                                "description": "how much to change"}  # fmt: skip
    target: dict[str, object] = {"name": "target", "type": "path", "required": True, "description": "what to modernise"}
    return [
        action("annotate", "Give every function its types"),
        action("modernise", "Rewrite what the newest Python has better words for", target, level),
        action("nightly", "Update, test, report"),
    ]


# --- locks -------------------------------------------------------------------------------------------------------------------


def locks(plan: views.PlanView) -> list[views.LockView]:
    """A user's, one of a job, one whose holder is gone."""
    return [
        lock("user:deploy", "ada@laptop", held=130, left=470, fence=12),
        lock("project:local/web", f"job:{plan.job_id}", held=12, left=48, fence=88),
        lock(f"plan:{plan.plan_id}", f"job:{plan.job_id}", held=170, left=48, fence=3),
        lock("file:web/src/[models].py", "editor:4711", held=4_000, left=-400, fence=2),
    ]


# --- the team server ---------------------------------------------------------------------------------------------------------

ACTION = """\
name: team/tidy
description: Let ruff repair what it can
steps:
  - id: fix
    run: ruff check --fix .
"""


def connected() -> sync_views.ServerView:
    """A server that answers, and a conflict that waits."""
    refused = sync_views.InvalidEntityView(
        "actor", "team/reviewer", "server", 4, "unknown key 'modell'; did you mean 'model'?"
    )
    stand = sync(
        active=True, cursor="118", epoch=identity("epoch"), entities=14, last_pull_at=scenery.ago(107),
        next_pull_at=scenery.ago(-193), pulls=37, conflicts=1, server_id="server-of-the-team", namespace="team", pending=2,
        streaming=True, invalid=[refused],
    )  # fmt: skip
    return server(stand, mode="connected", url="https://team.example.org", token_set=True, server_version="0.1.0")


def unreachable() -> sync_views.ServerView:
    """A server that does not answer."""
    stand = sync(active=True, entities=14, last_pull_at=scenery.ago(7_000), next_pull_at=scenery.ago(-60), namespace="team",
                 last_error="unreachable: https://team.example.org: connection refused", pending=3, pulls=2)  # fmt: skip
    return server(stand, mode="error", url="https://team.example.org", token_set=True,
                  reason="unreachable: https://team.example.org: connection refused")  # fmt: skip


def sync_conflict() -> sync_views.SyncConflictView:
    """An action that was changed here and by somebody else."""
    return sync_views.SyncConflictView(
        kind="action", name="team/tidy", namespace="team", base=version(ACTION, revision=3),
        local=version(ACTION.replace("--fix .", "--fix src tests"), past=2_000),
        server=version(f"{ACTION}  - id: test\n    run: pytest -q\n", by="grace", revision=5, past=1_200),
    )  # fmt: skip


# --- diagnostics -------------------------------------------------------------------------------------------------------------


def checks() -> list[views.CheckView]:
    """What is broken, what deserves a look, and what is well."""
    well = {
        "store": "/home/ada/.local/share/cleveragents/store.db, 12.4 MiB, SQLite 3.53.0",
        "integrity": "the store's pages are sound",
        "socket": "/run/user/1000/cleveragents/daemon.sock, pid 4242, version 0.1.0",
        "git": "git 2.51.0",
        "disk": "74.8 GiB free at /home/ada/.local/share/cleveragents",
        "sandboxes": "5 hold unapplied work",
        "workers": "3 of 4 busy",
    }
    return [
        *(views.CheckView(name, "ok", message, None) for name, message in well.items()),
        views.CheckView("locks", "warn", "4 held, 1 expired: file:web/src/[models].py", "ca lock clean"),
        views.CheckView(
            "repositories",
            "error",
            "the private repository of local/docs misses what weekly-7 needs",
            "ca diagnostics --repair",
        ),
    ]
