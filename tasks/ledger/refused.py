"""Which source contacts have something that was refused, page by page."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, case, select

from tasks.ledger.tables import records, unsettled


def contacts(
    connection: Connection, account: str, entities: Collection[str], after: str, most: int
) -> list[str]:
    """Return the contacts that were refused, or of whose activities one was, in the order of their ids.

    Args:
        connection: to the ledger.
        account: whose.
        entities: of the records that count.
        after: the last id of the page before; empty for the first.
        most: length of a page.
    """
    contact_id = case((records.c.entity == "contacts", records.c.source_id), else_=records.c.parent_id)
    query = (
        select(contact_id.label("contact_id"))
        .where(
            records.c.account == account,
            records.c.state == "rejected",
            unsettled,
            records.c.entity.in_(entities),
            contact_id > after,
        )
        .distinct()
        .order_by("contact_id")
        .limit(most)
    )
    return list(connection.execute(query).scalars())
