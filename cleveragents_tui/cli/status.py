"""`ca status`."""

from cleveragents_tui.cli.commands import make_verb
from cleveragents_tui.cli.overview import status

command = make_verb("status", examples=["ca status", "ca status --format json"])(status)
