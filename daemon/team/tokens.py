"""The team server's tokens: who may read or write which namespace. A token is shown once; what is stored is its hash."""

import hashlib
import secrets

from daemon import sync_views
from store import errors, names, sharing, team
from store.clock import rfc3339
from store.database import Reader, Transaction
from store.team import Token

READ, WRITE = "read", "write"
ROLES = (READ, WRITE)
NAME_LIMIT = 64
"""Characters of a token's name."""


def create(tx: Transaction, namespace: str, role: str = WRITE, name: str | None = None) -> tuple[Token, str]:
    """Make a token; the text is the token itself, `ca_<token_id>_<secret>`, and can never be seen again.

    Args:
        tx: Of the team server's database.
        namespace: What it is for; see `store.sharing.check_namespace`.
        role: `read` or `write`.
        name: Whose changes it marks; its id when not given.

    Raises:
        InvalidArgumentError: the namespace, the role or the name is none.
    """
    sharing.check_namespace(namespace)
    if role not in ROLES:
        raise errors.InvalidArgumentError(
            f"{role!r} is not a role: use read or write", detail={"what": "role", "value": role}
        )
    if name is not None and not (0 < len(name) <= NAME_LIMIT and name.isprintable()):
        raise errors.InvalidArgumentError(
            f"a token's name has 1 to {NAME_LIMIT} printable characters", detail={"what": "name"}
        )
    token_id = names.new_ulid(tx.now)
    text = f"ca_{token_id}_{secrets.token_urlsafe(32)}"
    token = Token(
        token_id=token_id,
        digest=digest(text),
        namespace=namespace,
        role=role,
        name=name or token_id,
        created_at=tx.now,
        revoked_at=None,
    )
    team.add_token(tx, token)
    return token, text


def every(db: Reader) -> list[Token]:
    """All tokens, revoked ones too, oldest first."""
    return team.tokens(db)


def revoke(tx: Transaction, token_id: str) -> Token:
    """Take a token out of use for good; revoking it again changes nothing.

    Raises:
        NotFoundError: there is no such token.
    """
    token = team.revoke_token(tx, token_id)
    if token is None:
        raise errors.NotFoundError(
            f"there is no token {token_id[:NAME_LIMIT]!r}",
            detail={"token_id": token_id[:NAME_LIMIT]},
            suggestions=["ca server token list"],
        )
    return token


def any_exists(db: Reader) -> bool:
    """Whether there is any token, also a revoked one: revoking the last one does not open the server."""
    return team.any_token(db)


def find(recent: team.Recent, text: str) -> Token | None:
    """The token that somebody shows, unless it was revoked."""
    token = recent.token(digest(text))
    return None if token is None or token.revoked_at is not None else token


def is_live(recent: team.Recent, token: Token) -> bool:
    """Whether a token that was found before is still in use."""
    found = recent.token(token.digest)
    return found is not None and found.revoked_at is None


def digest(text: str) -> str:
    """What is stored of a token; its secret has 256 random bits, so a plain hash cannot be turned back."""
    return hashlib.sha256(text.encode()).hexdigest()


def view(token: Token) -> sync_views.TokenView:
    """A token as it is shown: everything but the token."""
    return sync_views.TokenView(
        token_id=token.token_id,
        namespace=token.namespace,
        role=token.role,
        name=token.name,
        created_at=rfc3339(token.created_at) or "",
        revoked_at=rfc3339(token.revoked_at),
    )
