"""The ledger's tables: what was written where, what is unknown, what was refused.

Words (the same in code, logs, columns and reports):

=============  =====================================================================================
record         one source item of one entity, known by (account, entity, source id)
fingerprint    digest of the source row and of the mapping's settings: equal means nothing to do
content        what the destination was last made to hold for the record, field by field
intent         a create that is about to leave, or has left, and whose outcome is not recorded yet
state          ``synced`` · ``skipped`` (by rule) · ``rejected`` (refused) · ``waiting`` (its contact is not
               in yet) · ``ambiguous`` (for review) · ``left`` (a person deleted it at the destination) ·
               ``unresolved`` (its intent's outcome could not be established so far) · ``gone`` (it vanished
               at the source, and was deleted or tagged for it)
origin         of a contact: ``created`` by us or ``adopted``
listed         of an adopted contact: the entities whose list at the destination was matched by marker
seen           number of the source walk that last met the record
missing        of an activity: number of the walk that found its contact's whole list without it
directory      the location's contacts as last read: who is who, for adoption instead of duplication
fact           something learnt once and kept: custom field ids, duplicate policy, watermarks
lease          who may write to a location now
waiter         who would like to, in which lane
=============  =====================================================================================

Instants are UTC seconds since 1970.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Float, Index, Integer, MetaData, String, Table, Text, text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

metadata = MetaData()


class Foreign(TypeDecorator[str]):
    """Text that others wrote, in a form that every database holds.

    Half of an emoji (services cut texts by UTF-16 units) and NUL would be refused with the whole
    transaction, and so would, by PostgreSQL, what is longer than its column.
    """

    impl = String
    cache_ok = True

    def __init__(self, length: int | None = None) -> None:
        super().__init__(length)
        self.length = length

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Keep text of any length as TEXT."""
        return Text() if self.length is None else String(self.length)

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Leave out what cannot be held."""
        if value is None:
            return None
        return value.replace("\0", "").encode("utf-8", "replace").decode()[: self.length]


records = Table(
    "records",
    metadata,
    Column("account", String(63), primary_key=True),
    Column("entity", String(16), primary_key=True),
    Column("source_id", String(80), primary_key=True),
    Column("parent_id", String(80)),
    Column("destination_id", String(80)),
    Column("state", String(12), nullable=False),
    Column("fingerprint", String(32)),
    Column("content_hash", String(32)),
    Column("content", JSON(none_as_null=True)),
    Column("intent", JSON(none_as_null=True)),
    Column("origin", String(8)),
    Column("listed", String(40), nullable=False, server_default=""),
    Column("reason", String(40)),
    Column("error", Foreign),
    Column("status", Integer),
    Column("payload", JSON(none_as_null=True)),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_attempt_at", Float),
    Column("first_seen_at", Float, nullable=False),
    Column("seen", BigInteger, nullable=False, server_default="0"),
    Column("missing", BigInteger),
    Column("synced_at", Float),
    Column("activities_at", Float),
    Index("records_by_parent", "account", "parent_id", "entity"),
    Index("records_by_destination", "account", "entity", "destination_id"),
    Index(
        "records_with_intent",
        "account",
        sqlite_where=text("intent IS NOT NULL"),
        postgresql_where=text("intent IS NOT NULL"),
    ),
    Index(
        "records_unsettled",
        "account",
        "entity",
        "state",
        sqlite_where=text("state NOT IN ('synced', 'skipped')"),
        postgresql_where=text("state NOT IN ('synced', 'skipped')"),
    ),
)

directory = Table(
    "directory",
    metadata,
    Column("account", String(63), primary_key=True),
    Column("contact_id", String(80), primary_key=True),
    Column("email", Foreign(254)),
    Column("phone", Foreign(20)),
    Column("source_id", Foreign(80)),
    Column("name", Foreign, nullable=False, server_default=""),
    Column("content", JSON(none_as_null=True)),
    Index("directory_by_email", "account", "email"),
    Index("directory_by_phone", "account", "phone"),
    Index("directory_by_source", "account", "source_id"),
)

facts = Table(
    "facts",
    metadata,
    Column("account", String(63), primary_key=True),
    Column("name", String(63), primary_key=True),
    Column("value", JSON(none_as_null=True)),
    Column("learnt_at", Float, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("account", String(63), nullable=False),
    Column("kind", String(12), nullable=False),
    Column("mode", String(12), nullable=False),
    Column("status", String(10), nullable=False),
    Column("started_at", Float, nullable=False),
    Column("finished_at", Float),
    Column("owner", String(120), nullable=False),
    Column("report", JSON(none_as_null=True)),
    Index("runs_by_account", "account", "started_at"),
)

leases = Table(
    "leases",
    metadata,
    Column("name", String(160), primary_key=True),
    Column("owner", String(120)),
    Column("holder", JSON(none_as_null=True)),
    Column("expires_at", Float, nullable=False, server_default="0"),
    Column("usage", JSON(none_as_null=True)),
)

waiters = Table(
    "waiters",
    metadata,
    Column("name", String(160), primary_key=True),
    Column("owner", String(120), primary_key=True),
    Column("lane", Integer, nullable=False),
    Column("since", Float, nullable=False),
    Column("seen_at", Float, nullable=False),
)
