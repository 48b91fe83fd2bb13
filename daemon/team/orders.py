"""What `ca server serve|start|stop|token …` asks of the host's own process: `python -P -m daemon server … ORDER`.

An order is one JSON document. Paths are absolute; the home is the one in the environment.
"""

import msgspec

from daemon import sync_views
from daemon.views import View


class Order(msgspec.Struct, frozen=True, kw_only=True, tag_field="do"):
    """One thing to do."""


class Serve(Order, frozen=True, kw_only=True, tag="serve"):
    """Be the team server, in the foreground.

    Attributes:
        host: The address or name to listen at.
        port: 0 takes a free one.
        workers: Processes that answer.
        log_level: `debug info warning error`.
        database: The server's store; None is the home's own.
        rate_limit: Requests a second and token; 0 is any number.
        pid_file: Where the process is noted beside the home's own place; None is only there.
        structured: A program reads what comes of it: a refusal is a document, as `ca` prints it.
    """

    host: str
    port: int
    workers: int
    log_level: str
    database: str | None
    rate_limit: float
    pid_file: str | None = None
    structured: bool = False


class Start(Serve, frozen=True, kw_only=True, tag="start"):
    """The same in the background."""


class Stop(Order, frozen=True, kw_only=True, tag="stop"):
    """End a server: SIGTERM, and SIGKILL after `timeout` seconds."""

    pid_file: str | None
    timeout: float


class TokenCreate(Order, frozen=True, kw_only=True, tag="token create"):
    """Make a token; without a name it is called as its id."""

    database: str | None
    namespace: str
    role: str
    name: str | None


class TokenList(Order, frozen=True, kw_only=True, tag="token list"):
    """Every token, the revoked ones too."""

    database: str | None


class TokenRevoke(Order, frozen=True, kw_only=True, tag="token revoke"):
    """Have a token open nothing any more."""

    database: str | None
    token_id: str


Answered = Start | Stop | TokenCreate | TokenList | TokenRevoke
"""All but `Serve`, which goes on until it is told to stop."""


class Started(View, frozen=True):
    """The answer to `Start`: the server, and what its user should hear beside it."""

    server: sync_views.ServerStartedView
    messages: list[str]


class Stopped(View, frozen=True):
    """The answer to `Stop`; `killed` when it did not end by itself."""

    server: sync_views.ServerStoppedView
    killed: bool
