"""Who is at the other end of a Unix socket, as the kernel knows it; for both ends."""

import socket
import struct
import sys


def uid(connection: socket.socket) -> int:
    """The user."""
    if sys.platform == "darwin":
        local_peercred = 0x001  # <sys/un.h>; struct xucred begins with its version and the uid
        return int(struct.unpack_from("II", connection.getsockopt(0, local_peercred, 76))[1])
    return _credentials(connection)[1]


def pid(connection: socket.socket) -> int:
    """The process that connected or, of one who listens, that bound the socket; 0 when it is in another container."""
    if sys.platform == "darwin":
        local_peerpid = 0x002  # <sys/un.h>
        return connection.getsockopt(0, local_peerpid)
    return _credentials(connection)[0]


if sys.platform != "darwin":

    def _credentials(connection: socket.socket) -> tuple[int, int, int]:
        found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        process, user, group = struct.unpack("3i", found)
        return process, user, group
