"""What registering an action and registering an actor have in common."""

from daemon import protocol
from daemon.calls import Call
from store import errors


def is_registered(
    call: Call, request: protocol.ActionCreate | protocol.ActorCreate, what: str, name: str, content: str | None
) -> bool:
    """Whether this very content is registered under the name already, which is said; other content needs `update`.

    Args:
        call: The request's call.
        request: What is to be registered.
        what: "action" or "actor".
        name: What the file is called by its own key.
        content: What the name stands for now; None for something that no file is equal to.

    Raises:
        AlreadyRunningError: it is other content, and `update` is not asked for.
    """
    if content is not None and content.encode() == request.content:
        call.say(f"{name} is registered already, with the same content")
        return True
    if not request.update:
        raise errors.AlreadyRunningError(
            f"the {what} {name} is registered already",
            detail={what: name},
            suggestions=[f"ca {what} create {request.source} --update", f"ca {what} show {name}"],
        )
    return False
