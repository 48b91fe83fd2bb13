"""The log view of the dashboard over a large file: first screen, moving, search, memory, and following what is written.

usage: python bench/log_view.py [--megabytes N]
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)  # what is measured lies there, so it is imported below

from textual.app import App, ComposeResult  # noqa: E402
from textual.pilot import Pilot  # noqa: E402

from bench.measure import timed  # noqa: E402
from cleveragents_tui.dashboard.widgets.log_lines import LogLines  # noqa: E402
from cleveragents_tui.dashboard.widgets.log_pane import LogPane  # noqa: E402
from cleveragents_tui.dashboard.widgets.log_search import LogSearch  # noqa: E402
from cleveragents_tui.dashboard.widgets.log_view import LogView  # noqa: E402

PAGES = 50
WRITTEN = 1_000
"""Lines a second that are written while the view follows."""


class Desk(App[None]):
    """Nothing but the view."""

    def compose(self) -> ComposeResult:
        yield LogView()

    @property
    def view(self) -> LogView:
        return self.query_one(LogView)


def main() -> None:
    """Take the figures, one after another, and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=200)
    size = parser.parse_args().megabytes
    with tempfile.TemporaryDirectory() as directory:
        for name, megabytes in (("large", size), ("100,000 lines", 8)):
            path = Path(directory) / "log"
            count = write(path, megabytes * 1_000_000)
            print(f"\n{name}: {path.stat().st_size / 1e6:.0f} MB, {count:,} lines")
            peers(path)
            for live in (False, True):
                asyncio.run(story(path, live=live))
            path.unlink()
        asyncio.run(following(Path(directory) / "growing"))


def write(path: Path, size: int) -> int:
    """A file of about `size` bytes, and how many lines it has: some long, some in colours."""
    tails = [
        " ".join(["word"] * (number % 17)) + (" \033[32mok\033[0m" if number % 5 == 0 else "") for number in range(97)
    ]
    count = written = 0
    with path.open("w", encoding="utf-8") as stream:
        while written < size:
            block = "".join(f"{count + number:08d} step compile {tails[number % 97]}\n" for number in range(1_000))
            stream.write(block)
            count, written = count + 1_000, written + len(block)
    return count


def peers(path: Path) -> None:
    """Counting the lines and searching a missing word, beside the programs that do nothing else."""
    print(f"  count lines   {ms(timed(lambda: look(path)))}   wc -l     {ms(timed(lambda: run('wc', '-l', path)))}")
    log = look(path)
    ours = timed(lambda: search(log, "Zebra"))
    print(f"  search        {ms(ours)}   grep -c   {ms(timed(lambda: run('grep', '-c', 'Zebra', path)))}")
    ours = timed(lambda: search(log, "zebra"))
    print(f"  without case  {ms(ours)}   grep -ci  {ms(timed(lambda: run('grep', '-ci', 'zebra', path)))}")


def look(path: Path) -> LogLines:
    log = LogLines(str(path))
    log.look()
    while not log.complete:
        log.look()
    return log


def search(log: LogLines, text: str) -> None:
    found = LogSearch(log, text)
    while not found.done:
        found.search_on()


def run(*command: str | Path) -> None:
    subprocess.run(command, stdout=subprocess.DEVNULL, check=False)


async def story(path: Path, *, live: bool) -> None:
    """Open, count, leaf through, search what is not there; how long the loop was held up meanwhile."""
    app = Desk()
    async with app.run_test(size=(120, 40)) as pilot:
        before = resident()
        begin = time.perf_counter()
        app.view.show(str(path), live=live)
        app.view.focus()
        await until(lambda: app.view.text)
        first = time.perf_counter() - begin
        await until(lambda: app.view.complete)
        counted = time.perf_counter() - begin
        held = asyncio.create_task(longest_pause())
        print(f"  {'end' if live else 'start'}: first screen {ms(first)}, counted {ms(counted)}", end=", ")
        _, idle = await cost(lambda: leaf(pilot, 0))
        wall, cpu = await cost(lambda: leaf(pilot, -1 if live else 1))
        print(f"a page {ms(wall / PAGES)} ({ms((cpu - idle) / PAGES)} CPU)", end=", ")
        app.view.search("zebra")
        wall, _ = await cost(lambda: until(lambda: "not found" in (app.view.border_subtitle or "")))
        held.cancel()
        print(
            f"search of nothing {ms(wall)}, longest pause of the loop {ms(longest[0])}, memory +{resident() - before:.1f} MiB"
        )


longest = [0.0]


async def longest_pause() -> None:
    """How late a task is that wants to go on at once."""
    longest[0] = 0.0
    while True:
        begin = time.perf_counter()
        await asyncio.sleep(0.001)
        longest[0] = max(longest[0], time.perf_counter() - begin - 0.001)


async def leaf(pilot: "Pilot[None]", way: int) -> None:
    """Some pages on, each one painted; with 0 what the waiting costs."""
    pane = pilot.app.query_one(LogPane)
    for _ in range(PAGES):
        if way:
            pane.action_leap(way)
        await pilot.pause()


async def following(path: Path) -> None:
    """The CPU time of a view that follows, per second, and of one that has nothing to show."""
    app = Desk()
    async with app.run_test(size=(120, 40)) as pilot:
        app.view.show(str(path), live=True)
        await pilot.pause(1)
        _, idle = await cost(lambda: asyncio.sleep(5))
        writer = await asyncio.create_subprocess_exec(sys.executable, "-c", WRITER, str(path), str(WRITTEN))
        _, busy = await cost(lambda: asyncio.sleep(5))
        writer.kill()
        await writer.wait()
        app.view.show(str(path), live=False)
        await pilot.pause(1)
        _, over = await cost(lambda: asyncio.sleep(5))
        print(
            f"\nfollowing {WRITTEN:,} lines a second: {busy / 5:.1%} of a core ({app.view.line_count:,} lines);",
            end=" ",
        )
        print(f"waiting: {idle / 5:.2%}; not live: {over / 5:.3%}")


WRITER = """
import sys, time
begin = time.time()
with open(sys.argv[1], "w") as stream:
    for number in range(10**9):
        print(number, "\\033[32mok\\033[0m compiled", "x" * (number % 70), file=stream, flush=True)
        time.sleep(max(0, begin + number / int(sys.argv[2]) - time.time()))
"""


async def cost(work: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """Seconds of the clock and of this process."""
    clock, cpu = time.perf_counter(), time.process_time()
    await work()
    return time.perf_counter() - clock, time.process_time() - cpu


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110  nobody is told of a first paint
        await asyncio.sleep(0.001)


def resident() -> float:
    """MiB of this process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms"


if __name__ == "__main__":
    main()
