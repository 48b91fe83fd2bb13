"""What was decided for a plan, by whom and why; under it the children with what they decided."""

from rich.text import Text
from textual.widgets import Tree
from textual.widgets.tree import TreeNode

from cleveragents_tui import wording
from daemon import views

OPEN = 20
"""Children up to which each one is shown unfolded."""


class DecisionTree(Tree[None]):
    """Decisions below the ones that they follow from; those that a revert made void are struck out, and say so."""

    DEFAULT_CSS = """
    DecisionTree { height: 1fr; background: transparent; padding: 0 1; scrollbar-size-horizontal: 0; }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002  as every widget has it
        super().__init__("", id=id)
        self.show_root = False

    def show(self, tree: views.PlanTreeView) -> None:
        """The decisions of a plan and of its children."""
        self.clear()
        self._add(self.root, tree)
        if not tree.decisions and not tree.children:
            self.root.add_leaf(Text("Nothing has been decided yet.", "dim"))
        self.root.expand()

    def _add(self, node: TreeNode[None], tree: views.PlanTreeView) -> None:
        nodes: dict[str | None, TreeNode[None]] = {}
        for decision in tree.decisions:
            above = nodes.get(decision.parent_id, node)
            nodes[decision.decision_id] = above.add(_decided(decision), expand=True)
        for child in tree.children:
            self._add(node.add(_child(child), expand=len(tree.children) <= OPEN), child)


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
