"""The pages about messages, from their types: what travels over the daemon's socket, and to and from a team server."""

import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pieces

from daemon import protocol, sync_views, views
from daemon.team import wire as team
from daemon.view import View

_ATTRIBUTE = re.compile(r"^    (\w+): (.*(?:\n     +.*)*)", re.MULTILINE)


# --- protocol.md -----------------------------------------------------------------------------------------------------


def wire() -> str:
    """Every message of the socket, from the types."""
    messages = [protocol.Hello, protocol.Ask, protocol.Reply, protocol.Failure, protocol.Notice, protocol.CatchUp]
    requests = typing.get_args(protocol.AnyRequest)
    shapes = sorted((*_members(views, _is_view), *_members(sync_views, _is_view)), key=_shape_name)
    parts = _members(protocol, _is_part)
    return pieces.page(
        "The protocol of the daemon's socket",
        re.sub(r"(?<=\.) (?=[A-Z])", "\n", (protocol.__doc__ or "").replace("\n", " ").replace("  ", "\n\n").strip()),
        f"The protocol's version is {protocol.PROTOCOL_VERSION}.\n"
        f"A frame to the daemon has at most {protocol.REQUEST_LIMIT // 2**20} MiB,"
        f" one from the daemon at most {protocol.REPLY_LIMIT // 2**20} MiB.\n"
        f"A client says `hello` within {protocol.HELLO_SECONDS:g} seconds.",
        "A message is a map; its key `type` names it.\nA field with a default may be left out.",
        "## Messages",
        *(_message(cls) for cls in messages),
        "## Requests",
        "They travel as `request` of an `ask`; the `data` of the reply has the shape that is named at each.",
        *(_message(cls, answer=_answer(cls)) for cls in requests),
        "## Parts of requests",
        *(_shape(cls) for cls in parts),
        "## Shapes of answers",
        "Times are RFC 3339 text in UTC with milliseconds.\nNo key ever disappears; what is absent is null.",
        *(_shape(cls) for cls in shapes),
    )


def _members(module: types.ModuleType, wanted: Callable[[object], bool]) -> list[type[msgspec.Struct]]:
    """The classes that a module itself has."""
    return [cls for _name, cls in inspect.getmembers(module, wanted) if cls.__module__ == module.__name__]


def _is_view(thing: object) -> bool:
    return inspect.isclass(thing) and issubclass(thing, View) and thing is not View


def _is_part(thing: object) -> bool:
    return inspect.isclass(thing) and issubclass(thing, protocol.Part) and thing is not protocol.Part


def _answer(request: type[Any]) -> str:
    (base,) = request.__orig_bases__
    return f"Answer: {_type(typing.get_args(base)[0])}."


def _message(cls: type[msgspec.Struct], answer: str = "") -> str:
    parts = [f"### {cls.__struct_config__.tag}", pieces.text(cls), _fields(cls), answer]
    return "\n\n".join(part for part in parts if part)


def _shape(cls: type[msgspec.Struct]) -> str:
    parts = [
        f"### {_shape_name(cls)}",
        pieces.text(cls) if "__doc__" in vars(cls) and cls.__doc__ else "",
        _fields(cls),
    ]
    return "\n\n".join(part for part in parts if part)


def _shape_name(cls: type[Any]) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", " ", cls.__name__).lower()


def _fields(cls: type[msgspec.Struct]) -> str:
    found = msgspec.structs.fields(cls)
    if not found:
        return ""
    told = _told_attributes(cls)
    rows = [[f"`{field.encode_name}`", _type(field.type), _field_default(field)] for field in found]
    if not told:
        return pieces.table(["field", "type", "default"], rows)
    meanings = [told.get(field.name, "") for field in found]
    return pieces.table(
        ["field", "type", "default", "meaning"], [[*row, told] for row, told in zip(rows, meanings, strict=True)]
    )


def _told_attributes(cls: type[msgspec.Struct]) -> dict[str, str]:
    """What the docstring says of each attribute."""
    _, _, section = (inspect.getdoc(cls) or "").partition(pieces.ATTRIBUTES)
    return {name: " ".join(text.split()) for name, text in _ATTRIBUTE.findall(section)}


def _field_default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return ""
    if field.default is msgspec.UNSET:
        return "left out"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    return f"`{msgspec.json.encode(value).decode()}`"


_WORDS: Mapping[Any, str] = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "boolean",
    bytes: "bytes",
    type(None): "null",
    Any: "anything",
    msgspec.Raw: "anything",
    protocol.AnyRequest: "one of the [requests](#requests)",
}


def _type(of: Any) -> str:
    origin, arguments = typing.get_origin(of), typing.get_args(of)
    if of in _WORDS:
        return _WORDS[of]
    if origin is typing.Literal:
        return " or ".join(f"`{one}`" for one in arguments)
    if origin in {types.UnionType, typing.Union}:
        return " or ".join(_type(one) for one in arguments if one is not msgspec.UnsetType)
    if origin is list:
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return f"map of {_type(arguments[0])} to {_type(arguments[1])}"
    assert _is_view(of) or _is_part(of) or of.__module__ == team.__name__, (
        f"{of} is not a type that messages are made of"
    )
    return f"[{_shape_name(of)}](#{_shape_name(of).replace(' ', '-')})"


# --- team-protocol.md ------------------------------------------------------------------------------------------------


def team_protocol() -> str:
    """What a team server and its clients say to each other."""
    structs = _members(team, lambda thing: inspect.isclass(thing) and issubclass(thing, msgspec.Struct))
    _, components = msgspec.json.schema_components(structs, ref_template="#/$defs/{name}")
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$defs": components}
    return pieces.page(
        "The protocol of the team server",
        pieces.text(team),
        "## Over HTTP",
        f"The agent card is at `{team.CARD_PATH}`; it declares the extension `{team.EXTENSION}`.\n"
        f"A call is a JSON-RPC request, POSTed to `{team.RPC_PATH}` as `application/json`;"
        " a batch and a notification are refused.\n"
        f"The header `{team.VERSION_HEADER}` is `{team.A2A_VERSION}`.\n"
        "A server that has tokens wants one as `Authorization: Bearer`, and answers 401 without.\n"
        "`/health`, `/live`, `/ready` and the card need none.",
        f"`GET {team.EVENTS_PATH}?namespace=N` is a stream of server-sent events: one `change` for each definition that"
        " changed, with a [notice](#notice) as its data and the cursor as its id.\n"
        "`Last-Event-ID` goes on from there; from one that cannot be gone on from there is an event"
        " `full_sync_required`, and then what is new.\n"
        f"A comment comes every {team.KEEP_ALIVE_SECONDS:g} seconds.",
        pieces.table(["limit", "value"], _limits()),
        "## Methods",
        pieces.table(
            ["method", "parameters", "result"],
            [[f"`{name}`", _type(params), _type(result)] for name, params, result in _METHODS],
        ),
        f"The standard's own methods ({', '.join(team.A2A_METHODS)}) are refused with {team.UNSUPPORTED_OPERATION}.",
        "## Errors",
        "An error is the answer to a request, with HTTP status 200.\n"
        "Its `data` is a list of [error info](#error-info), whose `reason` is one of the [error codes](errors.md).",
        pieces.table(["code", "meaning"], [[str(code), meaning] for code, meaning in _TEAM_ERRORS]),
        "## Types",
        *(_shape(cls) for cls in structs),
        "## JSON schema",
        f"```json\n{msgspec.json.format(msgspec.json.encode(schema), indent=2).decode()}\n```",
    )


_METHODS = (
    (team.FULL, team.FullParams, team.FullResult),
    (team.PULL, team.PullParams, team.PullResult),
    (team.PUSH, team.PushParams, team.PushResults),
    (team.STATUS, team.StatusParams, team.StatusResult),
)
_TEAM_ERRORS = (
    (team.PARSE_ERROR, "the body is no JSON"),
    (team.INVALID_REQUEST, "the body is no request"),
    (team.METHOD_NOT_FOUND, "there is no such method"),
    (team.INVALID_PARAMS, "the parameters do not fit the method"),
    (team.INTERNAL, "the server failed; its log says why"),
    (team.UNSUPPORTED_OPERATION, "a method of the standard that this server does not have"),
    (team.VERSION_NOT_SUPPORTED, "another version of A2A"),
    (team.FORBIDDEN, "the token does not allow that"),
    (team.FULL_SYNC_REQUIRED, "the cursor cannot be gone on from: fetch everything"),
    (team.CONFLICT, "the idempotency key was used for other changes"),
    (team.INVALID_ENTITY, "a content does not fit its digest"),
)


def _limits() -> list[list[str]]:
    return [
        ["body of a request", f"{team.BODY_LIMIT // 2**20} MiB"],
        ["content of a definition", f"{team.CONTENT_LIMIT // 2**20} MiB"],
        ["definitions of a page", f"{team.PAGE_LIMIT}; {team.PAGE_DEFAULT} when nothing is asked for"],
        ["contents of a page", f"{team.PAGE_BYTES // 2**20} MiB, or one definition"],
        ["changes of a push", str(team.PUSH_LIMIT)],
    ]
