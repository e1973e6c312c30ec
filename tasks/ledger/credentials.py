"""Credentials that the product obtained: kept sealed, one of a name per account.

The account and the name are sealed with the secret and checked when it is opened: what somebody moves to
another row is refused. What stands beside it (``about``) is no secret.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, select, text, update

from tasks.errors import ConfigurationError
from tasks.ledger.clock import now
from tasks.ledger.records import upsert
from tasks.ledger.sealing import MARK, Sealer
from tasks.ledger.tables import credentials
from tasks.redaction import remember

VOIPSTUDIO_KEY = "voipstudio.api_key"
VOIPSTUDIO_OAUTH = "voipstudio.oauth"
HIGHLEVEL_TOKEN = "highlevel.token"  # noqa: S105 - its name
HIGHLEVEL_OAUTH = "highlevel.oauth"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A stored credential.

    Attributes:
        account: whose.
        name: which, of the names above.
        secret: the key or token, or a JSON text of several; None where only the rest was asked for.
        about: JSON without secrets, such as ``{"name": …, "expires_at": …, "idle_seconds": …}``.
        created_at: when it was obtained.
        renewed_at: when it was last renewed, or obtained.
    """

    account: str
    name: str
    secret: str | None = field(default=None, repr=False)
    about: dict[str, Any]
    created_at: float
    renewed_at: float


def get(
    connection: Connection, sealer: Sealer, account: str, name: str, *, lock: bool = False
) -> Credential | None:
    """Return a credential, or None; with ``lock`` nobody else renews it until the transaction's end.

    Raises:
        ConfigurationError: no key of ours opens it, or it was sealed as another.
    """
    query = select(credentials).where(credentials.c.account == account, credentials.c.name == name)
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        return None
    return Credential(
        account=account,
        name=name,
        secret=_opened(sealer, account, name, row.sealed),
        about=row.about,
        created_at=row.created_at,
        renewed_at=row.renewed_at,
    )


def put(
    connection: Connection,
    sealer: Sealer,
    account: str,
    name: str,
    secret: str,
    *,
    about: Mapping[str, Any],
    renewal: bool = False,
    at: float | None = None,
) -> None:
    """Store a credential instead of the one of its name; a ``renewal`` keeps when that was obtained.

    Raises:
        ConfigurationError: there is no key and none can be made.
    """
    obtained = now(connection) if at is None else at
    known = select(credentials.c.created_at).where(
        credentials.c.account == account, credentials.c.name == name
    )
    before = connection.execute(known).scalar() if renewal else None
    row = {
        "account": account,
        "name": name,
        "sealed": _sealed(sealer, account, name, secret),
        "about": dict(about),
        "created_at": obtained if before is None else before,
        "renewed_at": obtained,
    }
    upsert(connection, credentials, [row])


def remove(connection: Connection, account: str, name: str) -> bool:
    """Forget a credential; tell whether there was one."""
    gone = delete(credentials).where(credentials.c.account == account, credentials.c.name == name)
    return connection.execute(gone).rowcount > 0


def of_account(connection: Connection, account: str) -> dict[str, Credential]:
    """Return an account's credentials by name, without their secrets: no key is needed."""
    shown = (column for column in credentials.c if column is not credentials.c.sealed)
    rows = connection.execute(select(*shown).where(credentials.c.account == account))
    return {row.name: Credential(**row._mapping) for row in rows}  # noqa: SLF001 - the public name


def rotate(connection: Connection, sealer: Sealer) -> int:
    """Seal all credentials with the newest key; return how many were sealed with another.

    Raises:
        ConfigurationError: no key of ours opens one, or it was sealed as another.
    """
    if connection.dialect.name == "postgresql":  # rows that others are about to insert are waited for too
        connection.execute(text("LOCK TABLE credentials IN SHARE ROW EXCLUSIVE MODE"))
    rows = connection.execute(select(credentials.c.account, credentials.c.name, credentials.c.sealed)).all()
    secrets = [_opened(sealer, *row) for row in rows]
    rotated = 0
    for (account, name, sealed), secret in zip(rows, secrets, strict=True):
        if sealed.startswith(f"{MARK}{sealer.newest().id}:"):
            continue
        chosen = update(credentials).where(credentials.c.account == account, credentials.c.name == name)
        connection.execute(chosen.values(sealed=_sealed(sealer, account, name, secret)))
        rotated += 1
    return rotated


def _sealed(sealer: Sealer, account: str, name: str, secret: str) -> str:
    return sealer.seal(json.dumps([account, name, remember(secret)]))


def _opened(sealer: Sealer, account: str, name: str, sealed: str) -> str:
    whose, which, secret = json.loads(sealer.open(sealed))
    if (whose, which) != (account, name):
        raise ConfigurationError(
            f"the stored credential {name} of {account} was sealed as another's: obtain it again with "
            "`voipsync auth`"
        )
    return remember(str(secret))
