"""The workers: what each one does, when it was heard of, and how its jobs ended."""

from collections.abc import Mapping, Sequence

from rich.style import Style

from cleveragents_tui import wording
from cleveragents_tui.dashboard.widgets.rows import Cells, Rows, fit
from cleveragents_tui.wording import Mood, Tone
from daemon import views

SILENCE = 45
"""Seconds after which a worker that works should have been heard of: it is taken for dead after `async.job_ttl`, 60."""


class WorkerRows(Rows):
    """A line a worker.

    Attributes:
        moment: When what is shown is so.
    """

    known: Sequence[views.WorkerView] = ()
    plans: Mapping[str, str] = {}
    moment = 0.0

    def show(self, workers: Sequence[views.WorkerView], plans: Mapping[str, str], moment: float) -> None:
        """Other states; `plans` names what the jobs that run are about."""
        self.known, self.plans, self.moment = workers, plans, moment
        self.count = len(workers)
        self.refresh()

    @property
    def chosen(self) -> views.WorkerView | None:
        """The worker under the cursor."""
        return self.known[self.cursor] if self.cursor < len(self.known) else None

    def cells(self, row: int, width: int) -> Cells:
        """Its work takes what the numbers leave. Who has nothing to do gives no sign of life."""
        worker = self.known[row]
        mood = Mood.RUNNING if worker.job_id is not None else Mood.QUEUED
        name = f" {mood.sign} {worker.worker_id}  {worker.state}  "
        told = f"{_ended(worker)} "
        room = max(0, width - wording.columns(name) - wording.columns(told))
        beat = self._beat(worker, room)
        room -= wording.columns(beat)
        work = wording.cut(wording.one_line(self._work(worker)), max(0, room - 1))
        return fit(
            [
                (name, self.tone(mood.tone)),
                (work + " " * (room - wording.columns(work)), Style(bold=True)),
                (beat, self.tone(Tone.NEEDS_YOU if self._silent(worker) else Tone.WAITING)),
                (told, self.tone(Tone.WAITING)),
            ],
            width,
        )

    def _silent(self, worker: views.WorkerView) -> bool:
        """Whether one that works has given no sign of life for longer than it should."""
        heard = wording.between(worker.last_heartbeat, None, self.moment)
        return worker.job_id is not None and heard is not None and heard > SILENCE

    def _beat(self, worker: views.WorkerView, room: int) -> str:
        """When it was heard of, where there is room beside its work, and always when that is long ago."""
        if worker.job_id is None:
            return ""
        beat = f"heard {wording.age(worker.last_heartbeat, self.moment)}  "
        needed = wording.columns(wording.one_line(self._work(worker))) + 1 + wording.columns(beat)
        return beat if needed <= room or self._silent(worker) else ""

    def _work(self, worker: views.WorkerView) -> str:
        if worker.job_id is None:
            return ""
        return self.plans.get(worker.job_id, f"job {wording.short_id(worker.job_id)}")


def _ended(worker: views.WorkerView) -> str:
    """`12 done`, and of them what did not end well."""
    parts = [f"{worker.jobs_processed} done"]
    parts += [f"✘ {worker.jobs_failed}"] if worker.jobs_failed else []
    parts += [f"⊘ {worker.jobs_cancelled}"] if worker.jobs_cancelled else []
    return " ".join(parts)
