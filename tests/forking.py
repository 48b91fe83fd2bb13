"""`ca` for tests without the cost of its start: a process that has imported everything forks one for each command.

Most of what a short command costs is the start of Python and the imports. What a fork does is what `python -m cleveragents_tui`
does after them, in the environment, the directory and the streams that it is given. This file is also that process's
program, so it imports nothing of the tests.
"""

import atexit
import gc
import importlib
import os
import pickle
import selectors
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

LONGEST = 1 << 17
"""Bytes of a request; what is longer has to be started in the ordinary way."""


class Request(NamedTuple):
    """A command to carry out."""

    arguments: Sequence[str]
    environ: Mapping[str, str]
    cwd: str
    umask: int


class Ended(NamedTuple):
    """What became of it."""

    code: int
    out: bytes
    err: bytes


class Stem:
    """The process that commands are forked from; it ends with the process that made it."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        # Messages that are whole or not there: several threads may ask at once.
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-P", __file__, str(theirs.fileno())]
            # The streams that Python makes at its start stay when what they stand for is replaced, pipe by pipe.
            self._process = subprocess.Popen(
                command,
                env=dict(environ),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
            )
        atexit.register(self._end)

    def _end(self) -> None:
        self._control.close()
        self._process.communicate()

    def run(self, arguments: Sequence[str], environ: Mapping[str, str], cwd: Path, seconds: float) -> Ended | None:
        """Carry out a command whose standard input is empty; None when it is too long for us.

        Raises:
            TimeoutExpired: it took longer than that; it was killed.
        """
        request = pickle.dumps(Request(arguments, environ, str(cwd), _umask()))
        if len(request) > LONGEST:
            return None
        pipes = [os.pipe() for _ in range(3)]
        with Path(os.devnull).open("rb") as nothing:
            socket.send_fds(self._control, [request], [nothing.fileno(), *(writer for _, writer in pipes)])
        for _, writer in pipes:
            os.close(writer)
        out, err, told = _read([reader for reader, _ in pipes], arguments, seconds)
        if not told:
            self._control.close()
            raise ChildProcessError(f"nobody carries out commands any more: {self._process.communicate()[1].decode()}")
        _, _, code = told.partition(b" ")
        return Ended(int(code or -signal.SIGKILL), out, err)


def _umask() -> int:
    now = os.umask(0o077)
    os.umask(now)
    return now


def _read(readers: Sequence[int], arguments: Sequence[str], seconds: float) -> list[bytes]:
    """What comes out of each pipe until all of them are closed; the last one begins with the number of the process."""
    found = dict.fromkeys(readers, b"")
    deadline = time.monotonic() + seconds
    try:
        with selectors.DefaultSelector() as selector:
            for reader in readers:
                selector.register(reader, selectors.EVENT_READ)
            while selector.get_map():
                ready = selector.select(deadline - time.monotonic())
                if not ready and time.monotonic() > deadline:
                    os.kill(int(found[readers[-1]].split()[0]), signal.SIGKILL)
                    raise subprocess.TimeoutExpired(list(arguments), seconds)
                for key, _ in ready:
                    chunk = os.read(key.fd, 1 << 16)
                    found[key.fd] += chunk
                    if not chunk:
                        selector.unregister(key.fd)
    finally:
        for reader in readers:
            os.close(reader)
    return list(found.values())


# --- the process --------------------------------------------------------------------------------------------------------


def serve(control: socket.socket) -> None:
    """Fork a command for each request, until nobody can send one any more."""
    warm: Any = importlib.import_module("cleveragents_tui.warm")
    warm.import_all()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody here asks how they ended
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, LONGEST, 4, socket.MSG_CMSG_CLOEXEC)
        if not message:
            return
        if os.fork() == 0:
            control.close()
            _carry_out(pickle.loads(message), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _carry_out(request: Request, descriptors: Sequence[int]) -> None:
    """Be the command: never returns."""
    *streams, told = descriptors
    code = 1
    try:
        os.write(told, b"%d " % os.getpid())
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, descriptor in enumerate(streams):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.environ.clear()
        os.environ.update(request.environ)
        os.chdir(request.cwd)
        os.umask(request.umask)
        sys.argv[1:] = request.arguments
        code = sys.modules["cleveragents_tui.cli.app"].run(request.arguments)
    except BaseException:  # noqa: BLE001  as at the end of every Python program
        traceback.print_exc()
    finally:
        os.write(told, b"%d" % code)
        os._exit(code)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
