"""`ca`: handed to a warm process that has imported everything, or carried out here.

Most of what a short command costs is the start of Python and the imports. So this module imports next to nothing, not
even what is used for annotations: it sends the arguments, the environment, the working directory and the three streams,
the last two as descriptors, to a process that waits for them (`warm`), and ends with the exit code that comes back. What
that process prints goes straight to where this one would have printed it.

Without such a process, or whenever it could make a difference, the command is carried out here, as if there were none.

The messages, over a Unix stream socket:

    warm -> ca   GREETING: it waits for a request, and only for this one
    ca -> warm   four bytes, the length of what follows (big-endian), then the fields of `_request`, each ended by NUL;
                 with them the descriptors of stdin, stdout, stderr and the working directory
    ca -> warm   INTERRUPT, each time Ctrl-C is pressed
    warm -> ca   DONE and the exit code, or HERE: nothing was printed or changed, it has to be done here
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Mapping

GREETING = b"+"
INTERRUPT = b"^"
DONE = b"="
HERE = b"-"
PATIENCE = 1.0
"""Seconds that are waited for the greeting."""
SWITCH = b"CLEVERAGENTS_WARM"
"""The variable that forbids all this when it is 0."""
INTERRUPTED = 130


def main() -> None:
    """Carry out the command line of this process; never returns."""
    place = place_of(os.environb)
    try:
        code = None if place is None else hand_over(place)
        if code is None:
            code = _here(place)
    except KeyboardInterrupt:
        code = INTERRUPTED
    # All output is flushed by now; taking the interpreter down in order costs as much as a whole request.
    os._exit(code)


def place_of(environ: "Mapping[bytes, bytes]") -> bytes | None:
    """Where the warm process listens, beside the daemon's socket (`store.paths`); None when there shall be none."""
    if environ.get(SWITCH) == b"0":
        return None
    home = environ.get(b"CLEVERAGENTS_HOME")
    if home:
        return home + b"/run/ca.sock"
    if sys.platform == "darwin":
        return os.path.expanduser(b"~/Library/Caches/TemporaryItems/cleveragents/ca.sock")  # noqa: PTH111  as said above
    runtime = environ.get(b"XDG_RUNTIME_DIR", b"").strip() or b"/run/user/%d" % os.getuid()
    return runtime + b"/cleveragents/ca.sock"


def _here(place: bytes | None) -> int:
    """Carry it out in this process, and see to it that the next one need not."""
    import gc  # noqa: PLC0415  all imports of this function are what the others shall not pay for

    # Collecting while everything is being imported finds nothing and takes a tenth of a short command's time.
    gc.disable()
    # msgspec imports it where it is installed, and needs nothing of it on this Python: a fifth of a short command.
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]  the documented way to keep a module out
    from cleveragents_tui.cli import app  # noqa: PLC0415  as said

    del sys.modules["typing_extensions"]
    gc.freeze()
    gc.enable()
    # The first command starts the daemon; whoever gives a second one may give more.
    goes_on = place is not None and _has_daemon(place)
    code = app.run(sys.argv[1:])
    if place is not None and goes_on and _has_daemon(place):
        from cleveragents_tui import warming  # noqa: PLC0415  as said

        warming.start(place)
    return code


def _has_daemon(place: bytes) -> bool:
    return os.path.exists(os.path.dirname(place) + b"/daemon.sock")  # noqa: PTH110, PTH120  as said above


def hand_over(place: bytes) -> int | None:
    """The exit code of the command, carried out by the warm process; None when it has to be done here."""
    try:
        if not place.startswith(b"/") or os.lstat(place).st_uid != os.getuid():
            return None
        for number in (0, 1, 2):
            os.fstat(number)  # what is opened below must not be taken for a stream that was closed
        connection = _connected(place)
        request, streams = _request(), _streams()
        if connection is None or request is None:
            return None
        _send(connection, request, streams)
    except (OSError, OverflowError):  # not there, stopped, too busy, a stream that is closed: then as without it
        return None
    return _outcome(connection)


def _connected(place: bytes) -> "socket | None":
    from _socket import AF_UNIX, SOCK_STREAM, socket  # noqa: PLC0415  `socket` itself imports a dozen modules

    connection = socket(AF_UNIX, SOCK_STREAM)
    connection.settimeout(PATIENCE)
    connection.connect(place)
    return connection if connection.recv(1) == GREETING else None


def _request() -> bytes | None:
    """What the command depends on; None when it names something that only this process has."""
    arguments = [os.fsencode(argument) for argument in sys.argv[1:]]
    if any(b"/dev/" in argument or b"/proc/" in argument for argument in arguments):
        return None
    mask = os.umask(0o077)
    os.umask(mask)
    fields = [
        identity(),
        b"%d" % mask,
        b"%d" % len(arguments),
        *arguments,
        *(name + b"=" + value for name, value in os.environb.items()),
    ]
    content = b"\0".join(fields) + b"\0"
    return len(content).to_bytes(4, "big") + content


def identity() -> bytes:
    """Which program this is, for whom and where: interpreter, environment, package, group, and what `/` is."""
    root = os.stat("/")  # noqa: PTH116  a pathlib is what is not imported here
    program = f"{sys.hexversion:x} {sys.prefix} {__file__}"
    return os.fsencode(f"{program} {os.getegid()} {root.st_dev}:{root.st_ino}")


def _streams() -> list[int]:
    return [0, 1, 2, os.open(".", getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC)]


def _send(connection: "socket", request: bytes, descriptors: list[int]) -> None:
    from _socket import SCM_RIGHTS, SOL_SOCKET  # noqa: PLC0415  as above

    packed = b"".join(number.to_bytes(4, sys.byteorder) for number in descriptors)
    sent = connection.sendmsg([request], [(SOL_SOCKET, SCM_RIGHTS, packed)])
    if sent < len(request):  # else it may be carried out by now, and nobody listens any more
        connection.sendall(request[sent:])


def _outcome(connection: "socket") -> int | None:
    """The exit code; None when it has to be done here. Ctrl-C is passed on, as often as it is pressed."""
    while True:
        try:
            connection.settimeout(None)
            answer = connection.recv(2)
            break
        except KeyboardInterrupt:
            _pass_on(connection)
        except OSError:
            answer = b""
            break
    if answer == HERE:
        return None
    if answer[:1] == DONE:
        return answer[1]
    from cleveragents_tui.cli import app  # noqa: PLC0415  a process that was killed is worth the time

    return app.lost(sys.argv[1:])


def _pass_on(connection: "socket") -> None:
    try:
        connection.send(INTERRUPT)
    except OSError:  # it is done, and the answer is here
        return
