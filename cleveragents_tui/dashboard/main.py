"""From a terminal to a dashboard and back: how it starts, and every way in which it ends."""

import asyncio
import gc
import os
import select
import signal
import sys
import threading
from collections.abc import Mapping

from cleveragents_tui.dashboard.app import Dashboard
from store.paths import Paths

_ENDING = (signal.SIGHUP, signal.SIGTERM)


def run(paths: Paths, environ: Mapping[str, str], *, read_only: bool) -> int:
    """Show the dashboard until somebody leaves it, the terminal is closed, or a signal ends it; returns the exit code."""
    # What was imported stays; drawing makes many small objects that are gone at once. Looking through all of them as often
    # as Python does by default takes a third of the time that a page takes.
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)
    app = Dashboard(paths, environ, read_only=read_only)
    asyncio.run(_run(app))
    return app.return_code or 0


async def _run(app: Dashboard) -> None:
    loop = asyncio.get_running_loop()
    for number in _ENDING:
        loop.add_signal_handler(number, app.exit)
    threading.Thread(target=_await_hangup, name="hangup", daemon=True).start()
    await app.run_async()


def _await_hangup() -> None:
    """End when the terminal is gone: at once, for what is written to it in an orderly end may never be taken.

    There is nothing to restore then, and nothing of ours to save: the daemon has everything.
    """
    poll = select.poll()
    poll.register(sys.stdin.fileno(), 0)  # a hang-up is reported without being asked for
    poll.poll()
    os._exit(128 + signal.SIGHUP)
