"""Which keys the ledger was encrypted with, noted in it by their ids.

Contacts are recognised by their e-mail addresses and phone numbers: with a key missing none would be, and all
would be created again. So nothing starts without every key that may be in use.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, select

from tasks.ledger import facts as kept
from tasks.ledger.sealing import bound, unopened
from tasks.ledger.tables import facts

_NOTED = "key:"
_NOBODY = ""
"""What is true of the whole ledger is no account's."""


def check(connection: Connection) -> None:
    """Hold the configured keys against those in use, and note the newest as one of them.

    Raises:
        ConfigurationError: one that is in use is not configured.
    """
    ours, used = compare(connection)
    if ours and ours[0] not in used:
        kept.put(connection, _NOBODY, _NOTED + ours[0], None)


def compare(connection: Connection) -> tuple[Sequence[str], set[str]]:
    """As `check`, and note nothing; return the ids of the configured keys and of those in use."""
    noted = select(facts.c.name).where(facts.c.account == _NOBODY, facts.c.name.startswith(_NOTED))
    used = {name.removeprefix(_NOTED) for name in connection.execute(noted).scalars()}
    sealer = bound(connection.dialect)
    ours = sealer.ids if sealer else ()
    if not used <= set(ours):
        raise unopened()
    return ours, used


def forget_older(connection: Connection) -> None:
    """Note that only the newest key is in use."""
    sealer = bound(connection.dialect)
    newest = _NOTED + sealer.newest().id if sealer else ""
    connection.execute(
        delete(facts).where(
            facts.c.account == _NOBODY, facts.c.name.startswith(_NOTED), facts.c.name != newest
        )
    )
