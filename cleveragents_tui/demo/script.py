"""The script: what `ca demo` runs, in order, and one sentence on what each command shows."""

from typing import NamedTuple

from cleveragents_tui.demo.sample import ACTION_FILE


class Scene(NamedTuple):
    """One command, as it would be typed in the sample repository."""

    sentence: str
    command: tuple[str, ...]


SCRIPT = (
    Scene("Register the repository. Nothing in it changes.", ("ca", "project", "add")),
    Scene(
        "Register a piece of work: three steps and a check, described in a YAML file.",
        ("ca", "action", "create", f"../{ACTION_FILE}"),
    ),
    Scene(
        "Use the action on the project. Strategize only decides; the plan then waits for you.",
        ("ca", "plan", "use", "rename", "shop", "--arg", "old=calc", "--arg", "new=subtotal", "--follow"),
    ),
    Scene("Read what was decided, before anything runs.", ("ca", "plan", "tree", "rename-1")),
    Scene(
        "Execute: the steps run in the background, in a sandbox; --follow shows their output.",
        ("ca", "plan", "execute", "rename-1", "--follow"),
    ),
    Scene("The repository itself is untouched: git has nothing to report.", ("git", "status", "--short")),
    Scene("Review the change.", ("ca", "plan", "diff", "rename-1")),
    Scene(
        "Apply it: the check runs on the merged result first, then every file is written, or none.",
        ("ca", "plan", "apply", "rename-1", "--yes", "--wait"),
    ),
    Scene("Now the repository has the change.", ("git", "diff", "--stat")),
    Scene("Take it back.", ("ca", "plan", "undo", "rename-1", "--yes")),
    Scene("The repository is as it was, and the plan can be applied again.", ("git", "status", "--short")),
    Scene("What needs you, on one screen.", ("ca", "status")),
)
