"""What `python -P -m daemon server …` does for `ca server serve|start|stop|token …`."""

import asyncio
import os
import time
from pathlib import Path
from typing import TypeVar

import msgspec

from daemon import envelopes
from daemon.team import granting, hosting, orders, serving
from daemon.views import View
from store import errors, paths

T = TypeVar("T")

_SERVE: msgspec.json.Decoder[orders.Serve] = msgspec.json.Decoder(orders.Serve)
_ANSWERED: msgspec.json.Decoder[orders.Answered] = msgspec.json.Decoder(orders.Answered)


def carry_out(arguments: list[str]) -> None:
    """`serve ORDER` in the foreground, or another order; what it comes to is one JSON line on stdout.

    Raises:
        CleverAgentsError: why it was not done.
    """
    os.umask(0o077)
    match arguments:
        case ["serve", text]:
            _serve(_read(_SERVE, text))
        case [text]:
            _say({"answer": _answer(_read(_ANSWERED, text))})
        case _:
            raise errors.UsageError("python -P -m daemon server [serve] ORDER")


def _serve(order: orders.Serve) -> None:
    """Until the server ends. A refusal is a document for programs, unless they were told already that it answers."""
    began = time.monotonic()
    answered = False

    def say_ready(answering: serving.Serving) -> None:
        nonlocal answered
        answered = True
        _say({"ready": answering})

    try:
        serving.serve(order, say_ready)
    except errors.CleverAgentsError as error:
        if answered or not order.structured:
            raise
        _say(envelopes.refused("server serve", error, began))
        raise SystemExit(error.exit_code) from error


def _answer(order: orders.Answered) -> View:
    match order:
        case orders.Start():
            return hosting.start(order)
        case orders.Stop():
            return hosting.stop(order)
        case orders.TokenCreate():
            return asyncio.run(granting.create(_database(order.database), order.namespace, order.role, order.name))
        case orders.TokenList():
            return asyncio.run(granting.every(_database(order.database)))
        case orders.TokenRevoke():
            return asyncio.run(granting.revoke(_database(order.database), order.token_id))


def _say(document: object) -> None:
    print(msgspec.json.encode(document).decode(), flush=True)  # noqa: T201  this is the command's output


def _read(decoder: msgspec.json.Decoder[T], text: str) -> T:
    try:
        return decoder.decode(text)
    except msgspec.DecodeError as error:
        raise errors.UsageError(f"not an order: {error}") from error


def _database(given: str | None) -> Path:
    home = paths.resolve()
    home.create()
    return serving.database_of(given, home)
