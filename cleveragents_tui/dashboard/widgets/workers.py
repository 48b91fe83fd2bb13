"""The workers: what each one does, when it was heard of, and how its jobs ended."""

from collections.abc import Mapping, Sequence

from rich.style import Style

from cleveragents_tui import wording
from cleveragents_tui.dashboard.widgets.rows import Cells, Rows, fit
from cleveragents_tui.wording import Mood, Tone
from daemon import views


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
        beat = f"heard {wording.age(worker.last_heartbeat, self.moment)}  " if worker.job_id is not None else ""
        told = f"{beat}{_ended(worker)} "
        room = max(0, width - wording.columns(name) - wording.columns(told))
        work = wording.cut(wording.one_line(self._work(worker)), max(0, room - 1))
        return fit(
            [
                (name, self.tone(mood.tone)),
                (work + " " * (room - wording.columns(work)), Style(bold=True)),
                (told, self.tone(Tone.WAITING)),
            ],
            width,
        )

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
