"""The small shell that a command runs under: it waits for two words, and leaves the exit code in a file.

The first word comes when it is marked, and it forks the shell of the command; the second one, to go, is for that shell.

The code is written by the shell's own `echo`, one write of at most four bytes: a reader that asks for the newline sees
all or nothing. A rename would be no safer, and `mv` is one more process: `/bin/sh -e -c :`, four at once, costs 2.2
times a bare spawn with the `echo` and 3.6 times with `mv`.
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

NEVER_RAN = -1
"""In the place of an exit code: the word to go was never given."""

WORD = b"\n"
"""What is written to the wrapper's pipe."""

# The signals are caught, not ignored, because an ignored one is inherited by the command: the wrapper survives what is
# sent to its group and goes on to write the command's code. A shell loses a signal that it catches between its fork and
# the reset of its traps; so it is forked, and waits, before there is anything to end.
_SCRIPT = """\
IFS= read -r ca_go || { echo -1 >|"$1"; exit 125; }
trap : HUP INT QUIT TERM USR1 USR2 ALRM
(
IFS= read -r ca_go || { echo -1 >|"$1"; exit 125; }
umask "$2"
cd "$3" || { echo "cannot enter the directory $3: the command was not run" >&2; exit 126; }
exec <"$4" || exit 126
unset OLDPWD ca_go
@RUN@
)
set -- $? "$1"
umask 077
[ -e "$2" ] || echo $1 >|"$2"
exit $1
"""
_RUN_PROGRAM = 'shift 4; exec "$@"'
# A text for the shell runs in the wrapper's own fork, which saves starting a second shell: 1.5 times a bare spawn.
_RUN_TEXT = 'set -e; eval "shift 5;$5"'
_SHELL = ["/bin/sh", "-e", "-c"]
_ASKS_WHO_IT_IS = re.compile(r"\$\$|\$\{#?\$|\$0|\$\{#?0|PPID|\$_\b|\$\{_\b")  # it would see the wrapper

_SHELL_OWN = frozenset({"BASHOPTS", "EUID", "LINENO", "OPTIND", "PPID", "SHELLOPTS", "UID"})


def wrap(
    argv: Sequence[str], environment: Mapping[str, str], *, umask: int, cwd: Path, stdin: Path | None, exit_file: Path
) -> tuple[list[str], dict[str, str]]:
    """The arguments and the environment of the wrapper that runs `argv`; its program is `/bin/sh`."""
    passed, carried = _split(environment)
    run = _RUN_PROGRAM
    if carried:
        run = f"{_carry(list(carried))}\n{run}"
    elif list(argv[:3]) == _SHELL and len(argv) == len(_SHELL) + 1 and not _ASKS_WHO_IT_IS.search(argv[-1]):
        run, argv = _RUN_TEXT, argv[-1:]
    places = [os.fspath(exit_file), f"{umask:03o}", os.fspath(cwd), os.fspath(stdin or os.devnull)]
    return ["/bin/sh", "-c", _SCRIPT.replace("@RUN@", run), "ca-step", *places, *argv], passed | carried


def read_exit_file(path: Path) -> int | None:
    """The code that a wrapper wrote (or `NEVER_RAN`), or None while there is none that is complete."""
    try:
        with path.open("rb") as file:
            content = file.read(8)
    except OSError:
        return None
    return int(content) if re.fullmatch(rb"(-1|[0-9]{1,3})\n", content) else None


def _split(environment: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """What a shell passes on unchanged, and the rest (`BASH_FUNC_x%%`, `a.b`, `SHELLOPTS`) under names of ours."""
    odd = [name for name in environment if name in _SHELL_OWN or not (name.isidentifier() and name.isascii())]
    if not odd:
        return dict(environment), {}
    passed = {name: value for name, value in environment.items() if name not in odd}
    return passed, {f"CA_ODD_{number}": f"{name}={environment[name]}" for number, name in enumerate(odd)}


def _carry(names: Sequence[str]) -> str:
    """Shell text that hands the odd variables to `env`, so that no lasting command line shows their values."""
    values = " ".join(f'"${{{name}}}"' for name in names)
    return f'shift 4; set -- 1 2 3 4 /usr/bin/env -- {values} "$@"; unset {" ".join(names)}'
