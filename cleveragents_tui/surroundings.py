"""What a plan gets from the one who makes it: the environment and the umask of the program that asks."""

import os
from collections.abc import Callable, Mapping

from cleveragents_tui import wording

_SECRETS = {"CLEVERAGENTS_SERVER_TOKEN"}


def environment(environ: Mapping[str, str], say: Callable[[str], None]) -> dict[str, bytes]:
    """The environment for a plan's steps: all of `environ` but our own secrets and what no message can carry.

    `say` is told of a name that had to be left out.
    """
    from store.config import KEYS  # noqa: PLC0415  only what makes or applies plans needs the registry

    secret = _SECRETS | {key.env for key in KEYS.values() if key.secret}
    found: dict[str, bytes] = {}
    for name, value in environ.items():
        if name in secret:
            continue
        try:
            name.encode()
        except UnicodeEncodeError:
            say(f"the name of the variable {wording.printable(name)} is not UTF-8; the steps will not have it")
        else:
            found[name] = os.fsencode(value)
    return found


def umask() -> int:
    """The mask of this process."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
