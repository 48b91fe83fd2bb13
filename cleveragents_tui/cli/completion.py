"""`ca completion`: the script that makes a shell complete our command lines."""

from collections.abc import Iterable

import click
import msgspec
from click.shell_completion import ShellComplete

from cleveragents_tui.cli.app import COMPLETE
from cleveragents_tui.cli.commands import make_verb
from cleveragents_tui.cli.completing import SHELLS
from cleveragents_tui.cli.session import Session
from cleveragents_tui.output import Look, Result


class ScriptView(msgspec.Struct, frozen=True):
    shell: str
    script: str


@make_verb(
    "completion",
    examples=[
        "ca completion bash > ~/.local/share/bash-completion/completions/ca",
        "ca completion zsh > ~/.zfunc/_ca",
        "ca completion fish > ~/.config/fish/completions/ca.fish",
    ],
)
@click.argument("shell", type=click.Choice(list(SHELLS)))
def command(session: Session, shell: str) -> Result[ScriptView]:  # noqa: ARG001  a verb is given the session
    """Print the script that completes commands, names and ids in a shell.

    bash 4.4 or newer reads the file of the first example by itself when the package bash-completion is installed; without it
    put `source <(ca completion bash)` into ~/.bashrc. zsh finds the file of the second when ~/.zshrc has
    `fpath+=(~/.zfunc); autoload -U compinit; compinit`. fish finds the file of the third. Names and ids come from the daemon,
    which is asked only when it runs.
    """
    # `source()` of the class would run bash to see how old it is.
    maker = SHELLS[shell](click.Command("ca"), {}, "ca", COMPLETE)
    return Result(ScriptView(shell, ShellComplete.source(maker)), _script)


def _script(view: ScriptView, _look: Look) -> Iterable[str]:
    return view.script.rstrip("\n").split("\n")
