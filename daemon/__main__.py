"""`python -P -m daemon …`, see `daemon.command`."""

import gc
import os
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Carry out the command line of this process."""
    # Collecting while everything is being imported finds nothing and takes a third of the start.
    gc.disable()
    # msgspec imports it where it is installed, and needs nothing of it on this Python.
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]  the documented way to keep a module out
    from daemon import command  # noqa: PLC0415  as said

    del sys.modules["typing_extensions"]
    gc.freeze()
    gc.enable()
    code = command.cli(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # All is said; taking the interpreter down in order costs as much as starting it.
    os._exit(code)


if __name__ == "__main__":
    main()
