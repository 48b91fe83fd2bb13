"""A frame around other widgets whose titles change often."""

from typing import Self

from textual.containers import Vertical
from textual.geometry import Region

from cleveragents_tui.dashboard.here import entitle


class Pane(Vertical):
    """Textual draws a widget and all that is in it anew for a title; here it is the lines that the titles are on."""

    _entitling = False

    def entitle(self, title: str, subtitle: str = "") -> None:
        """The titles in its border, if they are others."""
        self._entitling = True
        try:
            entitle(self, title, subtitle)
        finally:
            self._entitling = False

    def refresh(self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False) -> Self:
        """Draw what is asked for; for a title its lines."""
        if self._entitling and not regions:
            width, height = self.outer_size
            lines = (Region(0, y, width, 1) for y in (0, height - 1))
            regions = tuple(line.translate(-self.content_offset) for line in lines)
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)
