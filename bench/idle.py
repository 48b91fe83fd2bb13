"""The daemon when nothing goes on: CPU time, wake-ups, memory. Several daemons are watched in the same minute."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

from bench.homes import Home, make_plans
from bench.measure import Limit, NotMeasuredError, Row, Sample, Settings, scratch
from cleveragents_tui.client import Client


def _proc(pid: int) -> Path:
    place = Path("/proc") / str(pid)
    if not (place / "schedstat").exists():
        raise NotMeasuredError("there is no /proc/PID/schedstat here")
    return place


def cpu(pid: int) -> float:
    """Milliseconds of CPU time of all threads, to the nanosecond."""
    return sum(int(task.read_text().split()[0]) for task in _proc(pid).glob("task/*/schedstat")) / 1e6


def wakes(pid: int) -> int:
    """How often a thread of the process gave up its CPU to wait, so far."""
    lines = (line for task in _proc(pid).glob("task/*/status") for line in task.read_text().splitlines())
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))


def memory(pid: int, kind: str = "VmRSS") -> float:
    """Resident MiB, of the `kind` that the system has: VmRSS is now, VmHWM the most that there was."""
    lines = (_proc(pid) / "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:")) / 1024


@contextlib.contextmanager
def _daemons(count: int) -> Generator[list[Client]]:
    """Daemons that have done some work and have nothing left to do, each with a client that says nothing."""
    with scratch() as directory, contextlib.ExitStack() as running:
        clients: list[Client] = []
        for number in range(count):
            home = Home(directory / str(number))
            clients.append(running.enter_context(home.daemon()))
            make_plans(home, clients[-1], 3)
        time.sleep(1)
        yield clients


def _cpu_time(settings: Settings) -> Generator[Sample]:
    with _daemons(settings.count) as clients:
        pids = [client.hello.pid for client in clients]
        before = [(cpu(pid), wakes(pid)) for pid in pids]
        seconds = settings.amount(60, 10)
        time.sleep(seconds)
        after = [(cpu(pid), wakes(pid)) for pid in pids]
        woken = [one[1] - other[1] for one, other in zip(after, before, strict=True)]
        settings.notes["idle-cpu"] = [f"{min(woken)} to {max(woken)} wake-ups in {seconds} s"]
        yield from (Sample(one[0] - other[0], 1) for one, other in zip(after, before, strict=True))


def _resident(settings: Settings) -> Generator[Sample]:
    bare = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    with _daemons(settings.count) as clients:
        for client in clients:
            with subprocess.Popen(bare, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as interpreter:
                assert interpreter.stdout is not None
                interpreter.stdout.readline()
                peer = memory(interpreter.pid)
                interpreter.terminate()
            yield Sample(memory(client.hello.pid), peer)


ROWS = [
    Row("idle-cpu", "daemon idle, CPU time over 60 s", "", "ms", _cpu_time, Limit(20, unit="ms"), Limit(2, unit="ms")),
    Row("idle-memory", "daemon idle, resident memory", "bare interpreter", "MiB", _resident, Limit(6), Limit(4)),
]
