"""`ca`, also as `python -m cleveragents_tui`."""

import gc
import os
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Carry out the command line of this process."""
    # Collecting while everything is being imported finds nothing and takes a tenth of a short command's time.
    gc.disable()
    # msgspec imports it where it is installed, and needs nothing of it on this Python: a fifth of a short command.
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]  the documented way to keep a module out
    from cleveragents_tui.cli import app  # noqa: PLC0415  as said

    del sys.modules["typing_extensions"]
    gc.freeze()
    gc.enable()
    code = app.run(sys.argv[1:])
    # All output is flushed by now; taking the interpreter down in order costs as much as a whole request.
    os._exit(code)


if __name__ == "__main__":
    main()
