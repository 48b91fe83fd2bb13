"""What the dashboard takes with a hundred plans, ten thousand, and a hundred thousand: seconds until it is seen, and CPU time.

usage: python bench/dashboard_sizes.py [--times N] [COUNT…]
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)  # what is measured lies there, so it is imported below

from bench.dashboard import reading  # noqa: E402
from bench.dashboard_store import at_rest, copied  # noqa: E402
from bench.dashboard_views import Taken, first_row  # noqa: E402
from bench.idle import memory  # noqa: E402
from bench.measure import scratch, shown  # noqa: E402

WIDTH = 34
HEADINGS = ("first row", "page down", "letter of the filter", "20 plans moved", "memory")


def main() -> None:
    """Take them, one size after another, and print a line for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("counts", nargs="*", type=int, default=[100, 10_000, 100_000], metavar="COUNT")
    parser.add_argument("--times", type=int, default=10)
    options = parser.parse_args()
    print("median, largest; CPU of the dashboard + of the daemon")
    print(f"{'plans':>8}  ", *(heading.ljust(WIDTH) for heading in HEADINGS))
    for count in options.counts:
        print(f"{count:>8,}  ", *(cell.ljust(WIDTH) for cell in _size(count, options.times)), flush=True)


def _size(count: int, times: int) -> Iterable[str]:
    with scratch() as directory:
        home = copied(count, directory)
        with at_rest(home):
            first_row(home)
            taken = [first_row(home) for _ in range(max(3, times // 3))]
            yield f"{shown(statistics.median(taken), 's')}, {shown(max(taken), 's')}"
    with scratch() as directory, reading(directory, count) as reader:
        yield _times(reader.page_down, times)
        yield _times(reader.filter, times)
        yield _times(reader.tick, 1 if count < 1_000 else min(times, 10))
        yield f"{memory(reader.desk.pid):.0f} MiB"


def _times(act: Callable[[], Taken], times: int) -> str:
    taken = [act() for _ in range(times)]
    seconds = [one.seconds for one in taken]
    ours, daemon = (
        statistics.median(column) / 1e3 for column in zip(*((one.cpu, one.daemon) for one in taken), strict=True)
    )
    return f"{shown(statistics.median(seconds), 's')}, {shown(max(seconds), 's')}; {shown(ours, 's')} + {shown(daemon, 's')}"


if __name__ == "__main__":
    main()
