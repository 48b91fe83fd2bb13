"""What was decided for a plan, by whom and why; under it the children with what they decided."""

from collections.abc import Iterable

from rich.style import Style
from rich.text import Text
from textual.content import Content
from textual.widgets import Tree
from textual.widgets.tree import TreeNode

from cleveragents_tui import wording
from daemon import views

OPEN = 20
"""Children up to which each one is shown unfolded."""
_SIGN = 2
"""Columns before what can be unfolded."""

Node = TreeNode[views.DecisionView | None]


class DecisionTree(Tree[views.DecisionView | None]):
    """Decisions below the ones that they follow from; those that a revert made void are struck out, and say so."""

    DEFAULT_CSS = """
    DecisionTree { height: 1fr; background: transparent; padding: 0 1; scrollbar-size-horizontal: 0; }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002  as every widget has it
        super().__init__("", id=id)
        self.show_root = False

    def show(self, tree: views.PlanTreeView) -> None:
        """The decisions of a plan and of its children."""
        cursor = max(0, self.cursor_line)
        self.clear()
        self._add(self.root, tree)
        if not tree.decisions and not tree.children:
            self.root.add_leaf(Text("Nothing has been decided yet.", "dim"))
        self.root.expand()
        self.cursor_line = cursor

    def _add(self, node: Node, tree: views.PlanTreeView) -> None:
        nodes: dict[str | None, Node] = {}
        followed = {decision.parent_id for decision in tree.decisions}
        for decision in tree.decisions:
            above = nodes.get(decision.parent_id, node)
            has_more = decision.decision_id in followed
            nodes[decision.decision_id] = above.add(_decided(decision), decision, expand=True, allow_expand=has_more)
        for child in tree.children:
            has_more = bool(child.decisions or child.children)
            below = node.add(_child(child), expand=len(tree.children) <= OPEN, allow_expand=has_more)
            self._add(below, child)

    def render_label(self, node: Node, base_style: Style, style: Style) -> Text:
        """A label that does not fit is cut, and says so."""
        text = super().render_label(node, base_style, style)
        depth, above = 0, node.parent
        while above is not None and above is not self.root:
            depth, above = depth + 1, above.parent
        room = self.scrollable_content_region.width - (depth + 1) * self.guide_depth + _SIGN
        if room > _SIGN:
            text.truncate(room, overflow="ellipsis")
        return text


def whole(decision: views.DecisionView) -> Iterable[Content]:
    """Everything about a decision."""
    for name, value in (
        ("kind", decision.kind.replace("_", " ")),
        ("question", decision.question),
        ("choice", decision.choice),
        ("reason", decision.reason or ""),
        ("when", wording.local_time(decision.created_at)),
        ("", "a revert made it void" if decision.superseded else ""),
    ):
        if value:
            yield Content.assemble((f"{name:<9} ", "dim"), wording.plain(value))


def _decided(decision: views.DecisionView) -> Text:
    """`strategy choice: fix, test — because …`."""
    gone = decision.superseded
    kind = decision.kind.replace("_", " ")
    head = ("superseded: ", (kind, "strike")) if gone else ("", (kind, "bold"))
    reason = f"  {wording.one_line(decision.reason)}" if decision.reason else ""
    when = wording.local_time(decision.created_at)[11:16]
    return Text.assemble(*head, ": ", wording.one_line(decision.choice), (f"{reason}  {when}", "dim"))


def _child(child: views.PlanTreeView) -> Text:
    mood = wording.child_mood(child)
    name = wording.plain(child.item or child.name)
    return Text.assemble(f"{mood.sign} ", (name, "bold"), (f"  {child.phase} {child.state}", "dim"))
