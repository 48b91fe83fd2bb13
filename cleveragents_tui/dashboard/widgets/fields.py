"""The fields of a form: a name, where one types or chooses, what it is for, and what is wrong with it.

What is wrong is said beside the field, while one types and when the daemon refuses.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import Key
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, OptionList, Select, Static
from textual.widgets.option_list import Option

from cleveragents_tui.dashboard.widgets.path_input import PathInput, PathSuggester
from store import errors

Check = Callable[[str], str]
"""What is wrong with a text; empty when nothing is."""


def check_by(parse: Callable[[str], object]) -> Check:
    """What `parse` says of a text when it raises; an empty text is nobody's fault."""

    def check(text: str) -> str:
        try:
            if text:
                parse(text)
        except errors.CleverAgentsError as error:
            return error.message
        except ValueError as error:
            return str(error)
        return ""

    return check


class Field(Vertical):
    """One line of a form, with what is wrong with it below.

    Attributes:
        key: What the form calls it.
        note: What it is for; the form says so while one is in it.
    """

    DEFAULT_CSS = """
    Field {
        height: auto;
        & > Horizontal { height: auto; }
        & > Horizontal > .label { width: 16; padding-right: 1; color: $text-muted; }
        &.-entered > Horizontal > .label { color: $foreground; text-style: bold; }
        & > .refusal { padding-left: 16; color: $tone-failed; display: none; }
        &.-refused > .refusal { display: block; }
        & Input, & Select { width: 1fr; }
        & Input { background: $panel; padding: 0 1; }
        & Input:focus { background: $block-cursor-blurred-background; }
        /* What there is to choose from is below the line, as in every list of a form, and covers nothing. */
        & Select > SelectOverlay { overlay: none; constrain: none; max-height: 8; }
    }
    """

    class Entered(Message):
        """Enter was pressed in it."""

    def __init__(
        self, key: str, *, label: str = "", note: str = "", required: bool = False, check: Check | None = None
    ) -> None:
        """`label` is how people see it, when that is not its key."""
        super().__init__()
        self.key = key
        self._label = label or key
        self.note = " · ".join(part for part in ("required" if required else "", note) if part)
        self._required = required
        self._check = check

    def compose(self) -> ComposeResult:
        """Its name, its control, and the lines below."""
        with Horizontal():
            yield Static(Content(f"{self._label}{' *' if self._required else ''}"), classes="label")
            yield from self.control()
        yield Static("", classes="refusal")

    def control(self) -> Iterable[Widget]:
        """Where one types or chooses."""
        raise NotImplementedError

    @property
    def text(self) -> str:
        """What was typed or chosen."""
        raise NotImplementedError

    def on_descendant_focus(self) -> None:
        """Its name stands out while one is in it."""
        self.add_class("-entered")

    def on_descendant_blur(self) -> None:
        """And not any more when one has left."""
        self.remove_class("-entered")

    def refuse(self, reason: str) -> None:
        """Say what is wrong; an empty reason takes it back."""
        self.query_one(".refusal", Static).update(Content(f"✘ {reason}"))
        self.set_class(bool(reason), "-refused")

    def recheck(self) -> bool:
        """Say what is wrong with what it holds now, if anything is; whether nothing is."""
        if self._required and not self.text:
            reason = "is required"
        else:
            reason = self._check(self.text) if self._check is not None else ""
        self.refuse(reason)
        return not reason

    def focus_control(self) -> None:
        """Put the cursor where it is put right."""
        next(widget for widget in self.query("*") if widget.focusable).focus()


class TextField(Field):
    """A line of text."""

    def __init__(
        self,
        key: str,
        value: str = "",
        *,
        label: str = "",
        note: str = "",
        required: bool = False,
        check: Check | None = None,
        placeholder: str = "",
        suggester: PathSuggester | None = None,
    ) -> None:
        super().__init__(key, label=label, note=note, required=required, check=check)
        self._value = value
        self._placeholder = placeholder
        self._suggester = suggester

    def control(self) -> Iterable[Widget]:
        """A line to type in."""
        # A key that is pressed after a refusal adds to what was typed, and does not replace it.
        kind = Input if self._suggester is None else PathInput
        yield kind(
            self._value,
            placeholder=self._placeholder,
            suggester=self._suggester,
            select_on_focus=False,
            compact=True,
        )

    @property
    def text(self) -> str:
        """What was typed."""
        return self.query_one(Input).value

    def on_input_changed(self, event: Input.Changed) -> None:
        """Checked while one types."""
        event.stop()
        if event.value != self._value or self.has_class("-refused"):
            self.recheck()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter goes on."""
        event.stop()
        self.post_message(self.Entered())


def described(name: str, about: str) -> Content:
    """One thing of several, and what else is to be known of it."""
    return Content.assemble(name, (f"  {about}" if about else "", "dim"))


class ChoiceField(Field):
    """One of a few words."""

    def __init__(
        self,
        key: str,
        choices: Sequence[str],
        value: str = "",
        *,
        label: str = "",
        note: str = "",
        required: bool = False,
        unset: str = "",
        about: Mapping[str, str] | None = None,
    ) -> None:
        """`unset` says what holds when nothing is chosen; without it something always is. `about` tells of the words."""
        super().__init__(key, label=label, note=note, required=required)
        self._choices = choices
        self._value = value
        self._unset = unset
        self._about = about or {}

    def control(self) -> Iterable[Widget]:
        """The words, which open below it."""
        options = [(described(choice, self._about.get(choice, "")), choice) for choice in self._choices]
        value = self._value if self._value in self._choices else Select.NULL
        blank = bool(self._unset) or value is Select.NULL
        prompt = self._unset or "choose one"
        yield Select[str](options, prompt=prompt, allow_blank=blank, value=value, compact=True)

    @property
    def text(self) -> str:
        """The word that was chosen; empty when none was."""
        return self.query_one(Select[str]).selection or ""

    def on_select_changed(self, event: Select.Changed) -> None:
        """What was wrong is put right."""
        event.stop()
        if self.has_class("-refused"):
            self.recheck()


class _Toggles(OptionList):
    """Space chooses, and a letter goes to the next name that begins with it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "space", "select", "Choose", show=False, tooltip="It is among those that are chosen, or is not any more."
        )
    ]

    def on_key(self, event: Key) -> None:
        """Find it by its first letter."""
        if event.character is None or not event.character.isalnum():
            return
        event.stop()
        now = -1 if self.highlighted is None else self.highlighted
        order = [*range(now + 1, self.option_count), *range(now + 1)]
        found = (index for index in order if (self.get_option_at_index(index).id or "").startswith(event.character))
        self.highlighted = next(found, self.highlighted)


class SeveralField(Field):
    """Some of a few things, in the order in which they were chosen."""

    DEFAULT_CSS = """
    SeveralField OptionList { width: 1fr; height: auto; max-height: 5; border: none; padding: 0; background: $panel; }
    """

    def __init__(
        self, key: str, choices: Sequence[tuple[str, str]], chosen: Iterable[str] = (), *, note: str = ""
    ) -> None:
        """`choices` are names, each with what else is to be shown of it."""
        super().__init__(key, note=note, required=True)
        self._choices = choices
        self.chosen = list(chosen)

    def control(self) -> Iterable[Widget]:
        """The things, one a line, with a mark before those that are chosen."""
        names = [name for name, _ in self._choices]
        yield _Toggles(*map(Option, self._prompts(), names), compact=True)

    def _prompts(self) -> list[Content]:
        marks = ["●" if name in self.chosen else "○" for name, _ in self._choices]
        return [
            Content.assemble(f"{mark} ", (name, "bold"), (f"  {about}", "dim"))
            for mark, (name, about) in zip(marks, self._choices, strict=True)
        ]

    @property
    def text(self) -> str:
        """The names that were chosen."""
        return " ".join(self.chosen)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """It is chosen, or is not any more."""
        event.stop()
        name, _ = self._choices[event.option_index]
        self.chosen = [other for other in self.chosen if other != name] if name in self.chosen else [*self.chosen, name]
        for index, prompt in enumerate(self._prompts()):
            event.option_list.replace_option_prompt_at_index(index, prompt)
        self.recheck()
