"""`ca server`: the connection to a team server, and a team server of one's own."""

from cleveragents_tui.cli.commands import LazyNoun

_CLIENT, _HOST = (f"cleveragents_tui.cli.server_{part}" for part in ("client", "host"))

command = LazyNoun(
    "server",
    help="Team servers: share definitions by one, or host one.",
    examples=[
        "ca server connect https://ca.example.org --namespace team --token-stdin",
        "ca server status",
        "ca server start",
        "ca server token create --namespace team",
    ],
    verbs={
        "connect": f"{_CLIENT}:connect",
        "disconnect": f"{_CLIENT}:disconnect",
        "status": f"{_CLIENT}:status",
        "serve": f"{_HOST}:serve",
        "start": f"{_HOST}:start",
        "stop": f"{_HOST}:stop",
        "token": f"{_HOST}:token",
    },
)
