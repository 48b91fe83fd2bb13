"""The verbs of the conflicts of a plan."""

from functools import partial
from typing import TYPE_CHECKING

from cleveragents_tui import verbs, wording
from cleveragents_tui.dashboard.screens import editor
from cleveragents_tui.dashboard.screens.conflicts import Chosen, ConflictsScreen
from daemon import protocol

if TYPE_CHECKING:
    from cleveragents_tui.dashboard.app import Dashboard


async def take(side: str, app: "Dashboard", chosen: Chosen) -> None:
    """Settle it by one of its versions."""
    await app.link.call(protocol.PlanResolve(plan=chosen.plan, path=chosen.file, take=side), timeout=None)
    app.echo(verbs.VERBS[f"conflict.{side}"].command(plan=chosen.plan, file=chosen.file))
    if isinstance(app.screen, ConflictsScreen):
        await app.screen.show_taken(chosen)


async def edit(app: "Dashboard", chosen: Chosen) -> None:
    """Settle it by what somebody makes of the merged file."""
    assert chosen.merged is not None, "it is offered then only"
    if nothing := editor.edit(app, app.environ, chosen.merged):
        text = f"{nothing}, so nothing was taken; edit {chosen.merged} as you like, and take it with t"
        app.notify(wording.plain(text), severity="warning", markup=False)
    else:
        await take("edited", app, chosen)


TABLE = {
    "conflict.parent": partial(take, "parent"),
    "conflict.child": partial(take, "child"),
    "conflict.base": partial(take, "base"),
    "conflict.edit": edit,
    "conflict.edited": partial(take, "edited"),
}
