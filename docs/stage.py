"""Where the pictures of the dashboard are taken: a home with a daemon, a sample project, and plans of every kind."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

from cleveragents_tui.demo import sample

PLACE = Path("/tmp/ada")  # noqa: S108  nobody else can have it: it is made here, or this ends
"""Where the projects are while the pictures are taken: a fixed path, because it can be seen on some of them."""
WHEN = "2026-01-05T09:00:00+00:00"
"""The time of every commit, so that commits have the same ids each time."""
PATIENCE = 60.0
SHELL = ("/bin/sh", "-c")


class Stage:
    """A home with a daemon, the sample project, and commands in it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.project = place / sample.PROJECT
        self.environ = _environment(place)

    def run(self, line: str, *, codes: tuple[int, ...] = (0,)) -> None:
        """A line of a shell, in the sample project."""
        done = subprocess.run(
            [*SHELL, line], cwd=self.project, env=self.environ, check=False, capture_output=True, text=True
        )
        if done.returncode not in codes:
            raise SystemExit(f"{line}: exit {done.returncode}\n{done.stdout}{done.stderr}")

    def wait_for(self, *names: str) -> None:
        """Until steps have said that they are here, by a file each."""
        deadline = time.monotonic() + PATIENCE
        while not all((self.place / name).exists() for name in names):
            if time.monotonic() > deadline:
                raise SystemExit(f"not within {PATIENCE:.0f} s: {', '.join(names)}")
            time.sleep(0.05)


def _environment(place: Path) -> dict[str, str]:
    person = {
        f"GIT_{role}_{part}": value
        for role in ("AUTHOR", "COMMITTER")
        for part, value in (("NAME", "Ada"), ("EMAIL", "ada@example.org"), ("DATE", WHEN))
    }
    return {
        **person,
        "PATH": f"{place / 'bin'}:{os.environ['PATH']}",
        "HOME": str(place),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "CLEVERAGENTS_HOME": str(place / "home"),
    }


@contextlib.contextmanager
def staged() -> Generator[Stage]:
    """A stage with all plans as the pictures show them; afterwards nothing is left."""
    PLACE.mkdir(mode=0o700)
    stage = Stage(PLACE)
    stage.project.mkdir()
    (PLACE / "bin").mkdir()
    (PLACE / "bin" / "ca").symlink_to(Path(sys.executable).with_name("ca"))
    try:
        build(stage)
        yield stage
    finally:
        for end in (f"{GRACE} ca server stop", f"{GRACE} ca daemon stop --kill", "ca daemon stop --kill"):
            stage.run(end)
        shutil.rmtree(PLACE)


def build(stage: Stage) -> None:
    """Make the project, the actions and the plans."""
    sample.make(stage.place, stage.environ)
    os.mkfifo(stage.place / "gate")
    for name, text in ACTIONS.items():
        (stage.place / f"{name}.yaml").write_text(text.replace("PLACE", str(stage.place)), encoding="utf-8")
    for line in SCRIPT:
        stage.run(line, codes=(0, 1, 4))
    stage.wait_for("annotating", "documenting")
    stage.run("ca run --name nightly -- make nightly")


ACTIONS = {
    "round-up": """\
name: round-up
description: Round discounts up, in the shop's favour
steps:
  - id: edit
    run: |
      sed -i 's|// 100|// 100 + 1|' shop/prices.py
      echo 'rewrote shop/prices.py'
  - id: tests
    needs: [edit]
    run: "python3 -m unittest -v 2>&1"
""",
    "annotate": """\
name: annotate
description: Give every function its types
steps:
  - id: scan
    run: printf 'found %s\\n' shop/cart.py shop/prices.py tests/test_shop.py tools/rename.py
  - id: annotate
    needs: [scan]
    run: |
      printf '\\033[32mok\\033[0m    %s\\n' shop/cart.py shop/prices.py tests/test_shop.py
      printf '\\033[33mwarn\\033[0m  tools/rename.py:8  cannot tell the type of old, new\\n'
      printf '\\033[36minfo\\033[0m  annotating shop/cart.py\\n'
      touch PLACE/annotating; cat PLACE/gate
  - id: check
    needs: [annotate]
    run: python3 -m compileall -q .
  - id: tests
    needs: [check]
    run: python3 -m unittest
""",
    "document": """\
name: document
description: Say what a module is for
arguments:
  - {name: module, required: true}
steps:
  - id: write
    run: |
      echo 'reading {module}'
      case {module} in
        shop/*) sed -i '1s/^/# Part of the shop.\\n/' {module} ;;
        *) touch PLACE/documenting; cat PLACE/gate ;;
      esac
""",
    "document-all": """\
name: document-all
description: Say what every module is for
steps:
  - id: modules
    subplans:
      action: document
      for_each: [shop/cart.py, shop/prices.py, tests/test_shop.py, tools/rename.py]
      max_parallel: 2
      arguments: {module: "{item}"}
""",
    "thank": """\
name: thank
description: Name somebody in the changelog
arguments:
  - {name: who, required: true}
steps:
  - id: write
    run: |
      sed -i 's/^- Carts take a discount\\.$/- Carts take a discount, by {who}./' CHANGELOG.md
      mkdir -p people && echo '{who} wrote carts' > people/{who}.txt
""",
    "thank-all": """\
name: thank-all
description: Name everybody in the changelog
steps:
  - id: people
    subplans:
      action: thank
      for_each: [ada, grace]
      arguments: {who: "{item}"}
""",
}
SCRIPT = (
    "ca project add",
    "ca action create ../rename.yaml",
    *(f"ca action create ../{name}.yaml" for name in ACTIONS),
    "ca plan use rename shop --name rename-due --profile trusted --arg old=due --arg new=total --wait",
    "ca plan apply rename-due --yes --wait",
    "git commit -qam 'The cart has a total'",
    "ca plan use rename shop --name rename-lines --arg old=lines --arg new=rows --wait",
    "ca plan cancel rename-lines --yes",
    "ca plan use round-up shop --profile trusted --wait",
    "ca plan use thank-all shop --profile trusted --wait",
    "ca plan use rename shop --name rename-calc --profile trusted --arg old=calc --arg new=subtotal --wait",
    "ca plan use rename shop --name shorten --arg old=discounted --arg new=reduced --wait",
    "ca config set async.max_workers 3",
    "ca plan use annotate shop --profile trusted",
    "ca plan use document-all shop --profile trusted",
)
"""Two plans end badly, one is cancelled, two wait for somebody, and those at the end go on until the gate is opened."""


TIDY = """\
name: web/tidy
description: DESCRIPTION
steps:
  - id: fix
    run: ruff check --fix .
  - id: format
    run: ruff format .
"""
URL = "http://127.0.0.1:8420"
GRACE = f"CLEVERAGENTS_HOME={PLACE}/grace"
"""Somebody else of the team, who hosts its server."""
SHARING = (
    f"{GRACE} ca server start",
    f"ca server connect {URL} --namespace web",
    "ca action create ../tidy.yaml",
    "ca sync now",
    "ca config set server.sync.auto false",
    f"{GRACE} ca server connect {URL} --namespace web",
    f"{GRACE} ca action create ../theirs.yaml --update",
    f"{GRACE} ca sync now",
    "ca action create ../ours.yaml --update",
    "ca sync now",
    "ca config set server.sync.auto true",
)
"""One definition is changed by two people at the same time."""


def share(stage: Stage) -> None:
    """Have a team server, and a conflict with it."""
    ours, theirs = "Bring the code to the current rules, imports too", "Bring the code to the rules of 2026"
    for name, text in {"tidy": "Bring the code to the current rules", "ours": ours, "theirs": theirs}.items():
        (stage.place / f"{name}.yaml").write_text(TIDY.replace("DESCRIPTION", text), encoding="utf-8")
    for line in SHARING:
        stage.run(line, codes=(0, 4))
