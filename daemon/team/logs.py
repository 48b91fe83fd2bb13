"""The team server's log: standard error, in the form of the daemon's log, from the first line on and in every process."""

import logging
import logging.config
import time
from typing import Any


class UtcFormatter(logging.Formatter):
    """A line: time in UTC, level, process, who says it, what."""

    converter = time.gmtime

    def __init__(self) -> None:
        super().__init__(
            "{asctime} {levelname:<7} {process} {name}: {message}", style="{", datefmt="%Y-%m-%dT%H:%M:%SZ"
        )


def settings(level: str) -> dict[str, Any]:
    """For `logging.config`; workers get the same."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"utc": {"()": UtcFormatter}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "utc"}},
        "root": {"level": level.upper(), "handlers": ["stderr"]},
    }


def open_(level: str) -> None:
    """Have everything that is logged from now on."""
    logging.raiseExceptions = False  # a full disk must not end the server through its log
    logging.config.dictConfig(settings(level))
