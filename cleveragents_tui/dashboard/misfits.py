"""Children whose change does not fit into their parent: which ones, in which files, and whether that is settled."""

from typing import NamedTuple

from cleveragents_tui import verbs, wording
from daemon import views


class Misfit(NamedTuple):
    """A child that does not fit.

    Attributes:
        files: Where it does not.
        open: Whether somebody still has to choose a version of one of them.
    """

    files: tuple[wording.ConflictFile, ...]
    open: bool

    @property
    def word(self) -> str:
        """How it stands."""
        return "does not fit" if self.open else "settled"

    @property
    def note(self) -> str:
        """What to do, and in which files: the key first, for the rest may be cut."""
        if not self.open:
            return f"{verbs.VERBS['plan.execute'].key} goes on"
        files = ", ".join(f"{file.path} ({file.kind})" for file in self.files)
        return wording.one_line(f"{verbs.VERBS['plan.conflicts'].key} settles {files}")


def misfits(parent: views.PlanView) -> dict[tuple[str, str], Misfit]:
    """The children that keep `parent` from going on, by its step and their item."""
    error = parent.error
    if error is None or error.code != "merge_conflict" or error.step is None or parent.state != "errored":
        return {}
    files: dict[str, list[wording.ConflictFile]] = {}
    for file in wording.files_of(error):
        files.setdefault(file.item, []).append(file)
    is_open = any(command.startswith("ca plan conflicts ") for command in parent.next)
    return {(error.step, item): Misfit(tuple(mine), is_open) for item, mine in files.items()}
