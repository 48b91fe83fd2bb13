"""What every shape of an answer is made of."""

import msgspec


class View(msgspec.Struct, frozen=True):
    """Something that is shown."""
