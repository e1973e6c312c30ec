"""What needs a person: open records with their reasons, and where their contacts are found in the CRM."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, and_, select

from tasks.engine.remedies import remedy
from tasks.engine.report import SHOWN, Case
from tasks.ledger.tables import records, unsettled
from tasks.settings import Account

_PARENTS = records.alias("parents")


def cases(connection: Connection, account: str) -> list[Case]:
    """Return the records that are ambiguous or refused, or the first of them."""
    rows = connection.execute(
        select(
            records.c.entity,
            records.c.source_id,
            records.c.reason,
            records.c.destination_id,
            records.c.payload,
            records.c.state,
            _PARENTS.c.destination_id.label("contact_id"),
        )
        .outerjoin(
            _PARENTS,
            and_(
                _PARENTS.c.account == records.c.account,
                _PARENTS.c.entity == "contacts",
                _PARENTS.c.source_id == records.c.parent_id,
            ),
        )
        .where(records.c.account == account, records.c.state.in_(("ambiguous", "rejected")), unsettled)
        .order_by(records.c.state, records.c.entity, records.c.source_id)
        .limit(SHOWN)
    )
    found = []
    for row in rows:
        contact_id = row.destination_id if row.entity == "contacts" else row.contact_id
        candidates = (row.payload or {}).get("candidates", ()) if row.state == "ambiguous" else ()
        about = (contact_id, *candidates) if contact_id else tuple(candidates)
        found.append(Case(row.entity, row.source_id, row.reason or "unknown", about))
    return found


def shown(account: Account, found: Iterable[Case]) -> list[dict[str, Any]]:
    """These cases as JSON, with what to do and with links."""
    return [
        {
            "entity": case.entity,
            "source_id": case.source_id,
            "reason": case.reason,
            "remedy": remedy(case.reason),
            "contacts": [{"id": one, "url": crm_url(account, one)} for one in case.contacts],
        }
        for case in found
    ]


def crm_url(account: Account, contact_id: str) -> str:
    """Where a person opens a contact in HighLevel (as its web application addresses them; undocumented)."""
    there = account.destination
    return f"{there.app_url}/v2/location/{there.location_id}/contacts/detail/{contact_id}"
