"""A repository as people have them: packages of Python code that nobody has tidied for years, with a history."""

import random
from collections.abc import Mapping
from pathlib import Path

from tests.homes import Content, Home, put

PACKAGES, MODULES, COMMITS = 30, 10, 5
SHEBANG = "#!/usr/bin/env python3\n"

_CONFIG = """[project]
name = "untidy"
version = "1.0"

[tool.ruff]
src = ["src"]
line-length = 88

[tool.ruff.lint]
select = ["E", "F", "I", "UP", "B", "SIM"]
"""

_IMPORTS = (
    "import sys, os", "import json", "from typing import List, Dict, Optional", "import re as regex", "import zlib",
    "from pathlib import Path", "import collections", "from functools import wraps,partial", "import itertools",
    "from dataclasses import dataclass , field", "import datetime", "from os import path as p", "import abc",
)  # fmt: skip

_BODIES = (
    """\
    found = {{'name': {name!r}, 'values': [value for value in values if value is not None and value != {number}],
 'total': sum(values), 'first': values[:1], 'last': values[-1:], 'largest': max(values), 'smallest': min(values)}}
    return found
""",
    """\
    if not values == []:
        return dict([(str(value), value*{number}) for value in values])
    return {{}}
""",
    """\
    text = '%s has %d values, and the first of them is %r, which is more than was expected' % ({name!r}, len(values), values)
    for value in values :
        text += "{{0}}: {{1}}".format(value, {number} )
    return text
""",
    """\
    try:
        total = values[{number}%3]
    except IndexError as error:
        total = 0
    while total>{number} : total -= {number}+1
    return Optional and os.path.join('a', str(total))
""",
)


def untidy() -> dict[str | bytes, Content]:
    """The files, the same each time: modules with long lines, imports in no order, imports that nobody uses."""
    chosen = random.Random(5)
    files: dict[str | bytes, Content] = {"pyproject.toml": _CONFIG, "README.md": "# Untidy\n"}
    for package in (f"src/package_{number:02}" for number in range(PACKAGES)):
        files[f"{package}/__init__.py"] = f'"""{package} of many."""\nfrom .module_0 import *\n'
        files[f"{package}/data.bin"] = chosen.randbytes(64)
        for number in range(MODULES):
            files[f"{package}/module_{number}.py"] = _module(chosen, number)
        files[f"{package}/tool.py"] = SHEBANG + _module(chosen, 0)
        files[f"{package}/dos.py"] = _module(chosen, 1).replace("\n", "\r\n")
    return files


def _module(chosen: random.Random, number: int) -> str:
    lines = [*chosen.sample(_IMPORTS, 6)]
    if number:
        lines.append(f"from .module_{number - 1} import *")
    functions = [
        f"def {name}_{number} (values:'List[int]',  verbose = False) :\n"
        + chosen.choice(_BODIES).format(name=name, number=chosen.randrange(100))
        for name in chosen.sample(("load", "store", "merge", "größe", "count", "tidy"), 4)
    ]
    return "\n".join(lines) + "\n" + "\n".join(functions)


def make(home: Home, files: Mapping[str | bytes, Content] | None = None) -> Path:
    """A registered repository with these files, or the untidy ones, in several commits."""
    root = home.work / home.fresh("many")
    root.mkdir()
    home.git(root, "init", "-q")
    entries = list((untidy() if files is None else files).items())
    for number in range(COMMITS):
        put(root, dict(entries[number::COMMITS]))
        for tool in root.glob("src/*/tool.py"):
            tool.chmod(0o755)
        home.commit(root, f"part {number + 1}")
    home.data("project", "add", str(root), "--name", root.name)
    return root
