"""Settings in a list, under the first words of their names."""

from collections.abc import Sequence

from rich.style import Style

from cleveragents_tui import wording
from cleveragents_tui.dashboard.configuring import Setting
from cleveragents_tui.dashboard.widgets.rows import Cells, Rows, fit
from cleveragents_tui.wording import Tone

_KEY, _VALUE, _LEVEL = 27, 20, 13
"""Columns of the parts of a line; the description has the rest."""
ROOMY = 100
"""Columns from which on the description stands in the line; beside the list it stands anyway."""


class SettingRows(Rows):
    """One line a key: name, value, level, description; changed ones are bold."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[str | Setting] = []

    def show(self, settings: Sequence[Setting]) -> None:
        """Other settings; the cursor stays on its key when it is among them."""
        before = self.setting
        self._lines = []
        for setting in settings:
            group = setting.key.path[0]
            if not self._lines or self._group() != group:
                self._lines.append(group)
            self._lines.append(setting)
        self.count = len(self._lines)
        same = [row for row, line in enumerate(self._lines) if _name(line) == _name(before)]
        self.cursor = same[0] if same and before is not None else 0
        self.refresh()
        self.post_message(self.Moved(self, self.cursor))

    def _group(self) -> str:
        last = self._lines[-1]
        return last if isinstance(last, str) else last.key.path[0]

    @property
    def setting(self) -> Setting | None:
        """What is under the cursor."""
        line = self._lines[self.cursor] if self.cursor < len(self._lines) else None
        return line if isinstance(line, Setting) else None

    def selectable(self, row: int) -> bool:
        """The first words are headings."""
        return isinstance(self._lines[row], Setting)

    def cells(self, row: int, width: int) -> Cells:
        """A heading, or a key's line."""
        line = self._lines[row]
        if isinstance(line, str):
            return fit([(f" {line}", Style(bold=True) + self.tone(Tone.WAITING))], width)
        changed = line.level != "default"
        style = Style(bold=changed)
        tone = Tone.FAILED if line.found is None else Tone.NEEDS_YOU if line.overridden else Tone.WAITING
        value = line.shown or ("unset" if line.found is not None else "")
        told = line.error or (line.key.description if width >= ROOMY else "")
        room = _VALUE if told else max(_VALUE, width - _KEY - _LEVEL)
        return fit(
            [
                (_column(f"   {line.key.name}", _KEY), style),
                (_column(wording.one_line(value), room), style if changed else self.tone(Tone.WAITING)),
                (_column(line.level, _LEVEL), self.tone(tone)),
                (told, self.tone(tone if line.error else Tone.WAITING)),
            ],
            width,
        )


def _name(line: "str | Setting | None") -> str | None:
    return line.key.name if isinstance(line, Setting) else None


def _column(text: str, width: int) -> str:
    """Text in a column, with a blank after it."""
    cut = wording.cut(text, width - 1)
    return cut + " " * (width - wording.columns(cut))
