"""A change to review: what the plan fix-types does to its project."""

import difflib

from daemon import views

ROUTES = """\
from api.items import Items


class Routes:
    def __init__(self, items):
        self._items = items

    def get(self, key):
        return self._items[key]

    def put(self, key, item):
        self._items[key] = item
"""
TYPED_ROUTES = """\
from api.items import Item, Items


class Routes:
    def __init__(self, items: Items) -> None:
        self._items = items

    def get(self, key: str) -> Item:
        return self._items[key]

    def put(self, key: str, item: Item) -> None:
        self._items[key] = item
"""
TYPES: dict[str, tuple[str | None, str | None]] = {
    "src/api/routes.py": (ROUTES, TYPED_ROUTES),
    "src/api/types.py": (None, '"""What the routes speak of."""\n\nKey = str\n'),
    "src/models.py": (
        "class Item:\n    def __init__(self, name):\n",
        "class Item:\n    def __init__(self, name: str) -> None:\n",
    ),
    "tests/test_old.py": ("def test_nothing():\n    pass\n", None),
}
"""What fix-types does to each file: before and after."""


def diff(of: views.PlanView) -> views.PlanDiffView:
    """Base against result of fix-types."""
    assert of.diff is not None
    files = [
        views.FileView(
            path=path, path_base64=None, old_path=None, old_path_base64=None, binary=False,
            status="added" if before is None else "deleted" if after is None else "modified",
            insertions=_lines(before, after, "+"), deletions=_lines(before, after, "-"),
        )
        for path, (before, after) in TYPES.items()
    ]  # fmt: skip
    patch = "".join(_patch(path, before, after) for path, (before, after) in TYPES.items())
    return views.PlanDiffView(of.plan_id, of.diff.digest, of.base, files, patch, None)


def _hunks(before: str | None, after: str | None) -> list[str]:
    old, new = ((text or "").splitlines(keepends=True) for text in (before, after))
    return list(difflib.unified_diff(old, new))[2:]


def _lines(before: str | None, after: str | None, sign: str) -> int:
    return sum(line.startswith(sign) for line in _hunks(before, after))


def counts() -> tuple[int, int, int]:
    """Its files, and the lines that came and went."""
    came, went = (sum(_lines(*both, sign) for both in TYPES.values()) for sign in "+-")
    return len(TYPES), came, went


def _patch(path: str, before: str | None, after: str | None) -> str:
    old, new = (f"{side}/{path}" if text is not None else "/dev/null" for side, text in (("a", before), ("b", after)))
    mode = "new file mode 100644\n" if before is None else "deleted file mode 100644\n" if after is None else ""
    return f"diff --git a/{path} b/{path}\n{mode}--- {old}\n+++ {new}\n{''.join(_hunks(before, after))}"
