"""The same jobs in huey: SqliteHuey with fsync on; prints the seconds from the first enqueue to the last result.

usage: huey_jobs.py FILE JOBS IN_FLIGHT; with one in flight the queue is worked off by the same thread, which spares huey
its poll, else by its own consumer with four threads.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUntypedFunctionDecorator=false

import logging
import sys
import threading
import time
from typing import Any

from huey import SqliteHuey
from huey.signals import SIGNAL_COMPLETE

FILE, JOBS, IN_FLIGHT = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
THREADS = 4

logging.disable()
queue: Any = SqliteHuey(filename=FILE, fsync=True)
slots = threading.Semaphore(IN_FLIGHT)


@queue.task()
def job() -> bool:
    return True


def finished(_signal: str, _task: object) -> None:
    slots.release()


def one_after_another() -> float:
    begin = time.perf_counter()
    for _ in range(JOBS):
        job()
        queue.execute(queue.dequeue())
    return time.perf_counter() - begin


def at_once() -> float:
    queue.signal(SIGNAL_COMPLETE)(finished)
    consumer = queue.create_consumer(workers=THREADS, periodic=False, initial_delay=0.001, max_delay=0.001)
    consumer.start()
    begin = time.perf_counter()
    for _ in range(JOBS):
        slots.acquire()
        job()
    for _ in range(IN_FLIGHT):
        slots.acquire()
    took = time.perf_counter() - begin
    consumer.stop(graceful=True)
    return took


print(one_after_another() if IN_FLIGHT == 1 else at_once())
sys.stdout.flush()
