"""The ledger's tables: what was written where, what is unknown, what was refused.

Words (the same in code, logs, columns and reports):

=============  =====================================================================================
record         one source item of one entity, known by (account, entity, source id)
fingerprint    digest of the source row and of the mapping's settings: equal means nothing to do
content        what the destination was last made to hold for the record, field by field; of it ``withheld``
               and ``withheld_email`` stand in columns too, to be found by
intent         a create that is about to leave, or has left, and whose outcome is not recorded yet
state          ``synced`` · ``skipped`` (by rule) · ``rejected`` (refused) · ``waiting`` (its contact is not
               in yet) · ``ambiguous`` (for review) · ``left`` (a person deleted it at the destination) ·
               ``unresolved`` (its intent's outcome could not be established so far) · ``gone`` (it vanished
               at the source, and was deleted or tagged for it, or left as it is somebody else's by now)
origin         of a contact: ``created`` by us or ``adopted``
listed         of an adopted contact: the entities whose list at the destination was matched by marker
seen           number of the source walk that last met the record
decision       of a contact: what a person, or a merge at the destination, says that it is, until that is done
checked        number of the verification that looked at the record last
missing        of an activity: number of the walk that found its contact's whole list without it
effect         what a tag that appeared on a contact, or disappeared, starts by a route: ``key`` names it
               for ever (idempotency key, event id), ``at`` is the instant of the change, ``tried`` the
               number of the walk that tried it last; it is ``pending`` · ``sent`` (it has left, outcome
               unknown: it is sent again) · ``failed`` (refused, tried again) · ``done`` · ``dropped`` (its
               contact or its route is no longer there)
directory      the location's contacts as last read: who is who, for adoption instead of duplication
fact           something learnt once and kept: custom field ids, duplicate policy, watermarks
history        what was done about records, in order: each write with the fields that it changed, as they
               stood before it and after
plan           what a run would write, computed and kept until it is applied; its items are contacts, each
               with what is to be done about it and its activities
deviation      something at the destination that is not as it was written, found by a verification (which is
               numbered like the walk of its run): ids and names of fields, never a value
backfill       history that is brought window by window: ``key`` stands for its arguments, ``total`` says how
               many contacts it began with; ``staged`` are those still to be done, with their dates
credential     a key or token that the product obtained, sealed; ``about`` is what of it is no secret
lease          who may write to a location now
waiter         who would like to, in which lane
=============  =====================================================================================

Instants are UTC seconds since 1970. What may hold personal data is sealed (`tasks.ledger.sealing`) as soon as
keys are configured; until then it is kept as it is, and rows of both kinds stand side by side.
"""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Float, Index, Integer, MetaData, String, Table, Text, text

from tasks.ledger.columns import Foreign, Sealed, SealedJson

metadata = MetaData()

_UNSETTLED = "state NOT IN ('synced', 'skipped')"
_UNDONE = "state IN ('pending', 'sent', 'failed')"
_WITHHOLDING = "withheld IS NOT NULL OR withheld_email IS NOT NULL"
_GOOD = "kind = 'sync' AND status IN ('ok', 'degraded')"


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
    Column("content", SealedJson),
    Column("withheld", Sealed),
    Column("withheld_email", Sealed),
    Column("intent", SealedJson),
    Column("origin", String(8)),
    Column("listed", String(40), nullable=False, server_default=""),
    Column("reason", String(40)),
    Column("error", Sealed),
    Column("status", Integer),
    Column("payload", SealedJson),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_attempt_at", Float),
    Column("first_seen_at", Float, nullable=False),
    Column("seen", BigInteger, nullable=False, server_default="0"),
    Column("missing", BigInteger),
    Column("decision", String(90)),
    Column("synced_at", Float),
    Column("activities_at", Float),
    Column("checked", BigInteger),
    Index("records_by_parent", "account", "parent_id", "entity"),
    Index("records_by_destination", "destination_id", "account", "entity"),
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
        "source_id",
        sqlite_where=text(_UNSETTLED),
        postgresql_where=text(_UNSETTLED),
    ),
    Index(
        "records_withholding",
        "account",
        "entity",
        sqlite_where=text(_WITHHOLDING),
        postgresql_where=text(_WITHHOLDING),
    ),
)

unsettled = text(f"records.{_UNSETTLED}")
withheld = text("(records.withheld IS NOT NULL OR records.withheld_email IS NOT NULL)")
"""Of a record, in the words of its index: for nothing else does SQLite take one that holds a few rows."""

effects = Table(
    "effects",
    metadata,
    Column("account", String(63), primary_key=True),
    Column("key", String(36), primary_key=True),
    Column("source_id", String(80), nullable=False),
    Column("tag", Foreign, nullable=False),
    Column("when", String(8), nullable=False),
    Column("action", String(8), nullable=False),
    Column("target", Foreign, nullable=False),
    Column("at", Float, nullable=False),
    Column("state", String(8), nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_attempt_at", Float),
    Column("tried", BigInteger, nullable=False, server_default="0"),
    Column("reason", String(40)),
    Column("error", Sealed),
    Index(
        "effects_open",
        "account",
        "at",
        sqlite_where=text(_UNDONE),
        postgresql_where=text(_UNDONE),
    ),
)

undone = text(f"effects.{_UNDONE}")
"""Of an effect, likewise."""

directory = Table(
    "directory",
    metadata,
    Column("account", String(63), primary_key=True),
    Column("contact_id", String(80), primary_key=True),
    Column("email", Sealed(254)),
    Column("phone", Sealed(20)),
    Column("source_id", Sealed(80)),
    Column("name", Sealed, nullable=False, server_default=""),
    Column("content", SealedJson),
    Index("directory_by_email", "account", "email"),
    Index("directory_by_phone", "account", "phone"),
    Index("directory_by_source", "account", "source_id"),
)

facts = Table(
    "facts",
    metadata,
    Column("account", String(63), primary_key=True),
    Column("name", String(63), primary_key=True),
    Column("value", SealedJson),
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
    Index("runs_good", "account", "started_at", sqlite_where=text(_GOOD), postgresql_where=text(_GOOD)),
)

good = text("runs.kind = 'sync' AND runs.status IN ('ok', 'degraded')")
"""Of a run, likewise; an account that fails every minute for weeks has thousands since the last of these."""

history = Table(
    "history",
    metadata,
    Column("account", String(63), primary_key=True),
    Column("run_id", String(40), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("entity", String(16), nullable=False),
    Column("source_id", String(80), nullable=False),
    Column("destination_id", String(80)),
    Column("action", String(16), nullable=False),
    Column("before", SealedJson),
    Column("after", SealedJson),
    Column("why", Sealed),
    Column("reason", String(40)),
    Column("status", Integer),
    Index("history_by_record", "account", "entity", "source_id", "at"),
    Index("history_by_age", "account", "at"),
)

plans = Table(
    "plans",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("account", String(63), nullable=False),
    Column("kind", String(12), nullable=False),
    Column("state", String(12), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("checksum", String(64), nullable=False),
    Column("about", SealedJson, nullable=False),
    Index("plans_by_account", "account", "created_at"),
)

plan_items = Table(
    "plan_items",
    metadata,
    Column("plan_id", String(40), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("contact_id", String(80), nullable=False),
    Column("state", String(12), nullable=False),
    Column("item", SealedJson, nullable=False),
    Column("why", Sealed),
    Index("plan_items_by_contact", "plan_id", "contact_id"),
)

deviations = Table(
    "deviations",
    metadata,
    Column("account", String(63), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("entity", String(16), primary_key=True),
    Column("kind", String(12), primary_key=True),
    Column("source_id", String(80), primary_key=True),
    Column("destination_id", String(80), primary_key=True),
    Column("contact_id", String(80), nullable=False),
    Column("fields", JSON, nullable=False),
)

backfills = Table(
    "backfills",
    metadata,
    Column("account", String(63), primary_key=True),
    Column("key", String(32), primary_key=True),
    Column("total", Integer),
    Column("begun_by", String(40)),
    Column("started_at", Float, nullable=False),
    Column("finished_at", Float),
)

staged = Table(
    "staged",
    metadata,
    Column("account", String(63), primary_key=True),
    Column("key", String(32), primary_key=True),
    Column("source_id", String(80), primary_key=True),
    Column("at", Float, nullable=False),
    Index("staged_by_date", "account", "key", "at", "source_id"),
)

credentials = Table(
    "credentials",
    metadata,
    Column("account", String(63), primary_key=True),
    Column("name", String(32), primary_key=True),
    Column("sealed", Text, nullable=False),
    Column("about", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("renewed_at", Float, nullable=False),
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
    Column("about", JSON(none_as_null=True)),
    Column("lane", Integer, nullable=False),
    Column("since", Float, nullable=False),
    Column("seen_at", Float, nullable=False),
)
