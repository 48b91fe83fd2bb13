"""What each verb does when it is chosen: one module an area, a table in each; here they become one.

Raises:
    KeyError: at import, when a verb has nothing that does it, or something is done that no verb stands for.
"""

from collections.abc import Awaitable, Callable

from cleveragents_tui import verbs
from cleveragents_tui.dashboard.acts import checks, conflicts, dashboard, jobs, locks, making, plans, server, settings

Act = Callable[..., Awaitable[None]]
"""Gets the dashboard and what is under the cursor, of the type that its area is about; raises CleverAgentsError."""

ACTS: dict[str, Act] = {
    **dashboard.TABLE, **making.TABLE, **plans.TABLE, **jobs.TABLE, **locks.TABLE, **server.TABLE, **settings.TABLE,
    **checks.TABLE, **conflicts.TABLE,
}  # fmt: skip

if unwired := ACTS.keys() ^ verbs.VERBS.keys():
    raise KeyError(f"verbs and acts differ: {', '.join(sorted(unwired))}")
