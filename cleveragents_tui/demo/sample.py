"""The sample: a small shop with tests and a codemod, and an action that uses the codemod."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

PROJECT = "shop"
ACTION_FILE = "rename.yaml"

_CART = '''\
"""A shopping cart."""

from shop.prices import calc, discounted


class Cart:
    """What a customer is about to buy."""

    def __init__(self):
        self._lines = []

    def add(self, name, price, quantity=1):
        self._lines.append((name, price, quantity))

    def due(self, percent_off=0):
        return discounted(calc(self._lines), percent_off)
'''

_PRICES = '''\
"""Sums of money, in cents."""


def calc(lines):
    """The sum of all lines."""
    return sum(price * quantity for _name, price, quantity in lines)


def discounted(amount, percent):
    """The amount with a discount, rounded in the customer's favour."""
    return amount * (100 - percent) // 100
'''

_TEST_SHOP = """\
import unittest

from shop.cart import Cart
from shop.prices import calc


class ShopTest(unittest.TestCase):
    def test_lines_are_summed(self):
        self.assertEqual(calc([("tea", 350, 2), ("cup", 800, 1)]), 1500)

    def test_an_empty_cart_costs_nothing(self):
        self.assertEqual(Cart().due(), 0)

    def test_a_discount_is_taken_off(self):
        cart = Cart()
        cart.add("tea", 350, quantity=2)
        self.assertEqual(cart.due(percent_off=10), 630)
"""

_RENAME = '''\
"""Rename a function everywhere: python tools/rename.py OLD NEW"""

import pathlib
import re
import sys

old, new = sys.argv[1:]
for path in sorted(pathlib.Path().rglob("*.py")):
    text = path.read_text(encoding="utf-8")
    changed = re.sub(rf"\\b{re.escape(old)}\\b", new, text)
    if changed != text and path != pathlib.Path("tools/rename.py"):
        path.write_text(changed, encoding="utf-8")
        print("renamed in", path)
'''

FILES: Mapping[str, str] = {
    ".gitignore": "__pycache__/\n",
    "CHANGELOG.md": "# Changes\n\n- Carts take a discount.\n",
    "shop/__init__.py": "",
    "shop/cart.py": _CART,
    "shop/prices.py": _PRICES,
    "tests/__init__.py": "",
    "tests/test_shop.py": _TEST_SHOP,
    "tools/rename.py": _RENAME,
}
"""The sample repository: path to content."""

_ACTION = """\
name: local/rename
description: Rename a function everywhere, tell about it in the changelog, run the tests
definition_of_done: the tests pass and nothing is called by the old name
arguments:
  - {{name: old, type: string, required: true, description: the name it has}}
  - {{name: new, type: string, required: true, description: the name it gets}}
invariants:
  - no behaviour changes
env:
  PYTHON: {python}
  PYTHONDONTWRITEBYTECODE: "1"
steps:
  - id: rename
    run: '"$PYTHON" tools/rename.py {{old}} {{new}}'
    timeout: 1m
  - id: changelog
    needs: [rename]
    run: 'echo "- \\`$CA_ARG_OLD\\` is called \\`$CA_ARG_NEW\\` now." >> CHANGELOG.md'
  - id: tests
    needs: [rename]
    run: '"$PYTHON" -m unittest 2>&1'
    timeout: 1m
checks:
  - run: '"$PYTHON" -m unittest 2>&1'
"""


def action_text(python: str = sys.executable) -> str:
    """The action file; its steps run with `python`."""
    return _ACTION.format(python=json.dumps(python, ensure_ascii=False))


def make(directory: Path, environment: Mapping[str, str]) -> None:
    """Write the repository and the action file into `directory`; git gets who commits from `environment`.

    Raises:
        OSError: a file cannot be written.
        subprocess.CalledProcessError: git refused.
    """
    project = directory / PROJECT
    for name, content in FILES.items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    (directory / ACTION_FILE).write_text(action_text(), encoding="utf-8")
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "A shop with carts and prices"]):
        subprocess.run(["git", *words], cwd=project, env=dict(environment), check=True, capture_output=True)
