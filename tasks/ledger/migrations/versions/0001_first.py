"""The first schema: records, effects, directory, facts, history, plans, credentials, runs, leases."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "backfills",
        sa.Column("account", sa.String(length=63), nullable=False),
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("total", sa.Integer(), nullable=True),
        sa.Column("begun_by", sa.String(length=40), nullable=True),
        sa.Column("started_at", sa.Float(), nullable=False),
        sa.Column("finished_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("account", "key"),
    )
    op.create_table(
        "staged",
        sa.Column("account", sa.String(length=63), nullable=False),
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("source_id", sa.String(length=80), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("account", "key", "source_id"),
    )
    op.create_index("staged_by_date", "staged", ["account", "key", "at", "source_id"])
    op.create_table(
        "credentials",
        sa.Column("account", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("about", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("renewed_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("account", "name"),
    )
    op.create_table(
        "deviations",
        sa.Column("account", sa.String(length=63), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("entity", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("source_id", sa.String(length=80), nullable=False),
        sa.Column("destination_id", sa.String(length=80), nullable=False),
        sa.Column("contact_id", sa.String(length=80), nullable=False),
        sa.Column("fields", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("account", "number", "entity", "kind", "source_id", "destination_id"),
    )
    op.create_table(
        "directory",
        sa.Column("account", sa.String(length=63), nullable=False),
        sa.Column("contact_id", sa.String(length=80), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("source_id", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("content", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("account", "contact_id"),
    )
    op.create_index("directory_by_email", "directory", ["account", "email"])
    op.create_index("directory_by_phone", "directory", ["account", "phone"])
    op.create_index("directory_by_source", "directory", ["account", "source_id"])
    op.create_table(
        "effects",
        sa.Column("account", sa.String(length=63), nullable=False),
        sa.Column("key", sa.String(length=36), nullable=False),
        sa.Column("source_id", sa.String(length=80), nullable=False),
        sa.Column("tag", sa.Text(), nullable=False),
        sa.Column("when", sa.String(length=8), nullable=False),
        sa.Column("action", sa.String(length=8), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_attempt_at", sa.Float(), nullable=True),
        sa.Column("tried", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("account", "key"),
    )
    op.create_index(
        "effects_open",
        "effects",
        ["account", "at"],
        sqlite_where=sa.text("state IN ('pending', 'sent', 'failed')"),
        postgresql_where=sa.text("state IN ('pending', 'sent', 'failed')"),
    )
    op.create_table(
        "facts",
        sa.Column("account", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("value", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("learnt_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("account", "name"),
    )
    op.create_table(
        "history",
        sa.Column("account", sa.String(length=63), nullable=False),
        sa.Column("run_id", sa.String(length=40), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("entity", sa.String(length=16), nullable=False),
        sa.Column("source_id", sa.String(length=80), nullable=False),
        sa.Column("destination_id", sa.String(length=80), nullable=True),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("before", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("after", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("why", sa.Text(), nullable=True),
        sa.Column("reason", sa.String(length=40), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("account", "run_id", "number"),
    )
    op.create_index("history_by_record", "history", ["account", "entity", "source_id", "at"])
    op.create_index("history_by_age", "history", ["account", "at"])
    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=160), nullable=False),
        sa.Column("owner", sa.String(length=120), nullable=True),
        sa.Column("holder", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("expires_at", sa.Float(), server_default="0", nullable=False),
        sa.Column("usage", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "plan_items",
        sa.Column("plan_id", sa.String(length=40), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("contact_id", sa.String(length=80), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("item", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("why", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("plan_id", "number"),
    )
    op.create_index("plan_items_by_contact", "plan_items", ["plan_id", "contact_id"])
    op.create_table(
        "plans",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=63), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("checksum", sa.String(length=64), nullable=False),
        sa.Column("about", sa.JSON(none_as_null=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("plans_by_account", "plans", ["account", "created_at"])
    op.create_table(
        "records",
        sa.Column("account", sa.String(length=63), nullable=False),
        sa.Column("entity", sa.String(length=16), nullable=False),
        sa.Column("source_id", sa.String(length=80), nullable=False),
        sa.Column("parent_id", sa.String(length=80), nullable=True),
        sa.Column("destination_id", sa.String(length=80), nullable=True),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("fingerprint", sa.String(length=32), nullable=True),
        sa.Column("content_hash", sa.String(length=32), nullable=True),
        sa.Column("content", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("withheld", sa.Text(), nullable=True),
        sa.Column("withheld_email", sa.Text(), nullable=True),
        sa.Column("intent", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("origin", sa.String(length=8), nullable=True),
        sa.Column("listed", sa.String(length=40), server_default="", nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("payload", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_attempt_at", sa.Float(), nullable=True),
        sa.Column("first_seen_at", sa.Float(), nullable=False),
        sa.Column("seen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("missing", sa.BigInteger(), nullable=True),
        sa.Column("decision", sa.String(length=90), nullable=True),
        sa.Column("synced_at", sa.Float(), nullable=True),
        sa.Column("activities_at", sa.Float(), nullable=True),
        sa.Column("checked", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("account", "entity", "source_id"),
    )
    op.create_index("records_by_destination", "records", ["destination_id", "account", "entity"])
    op.create_index("records_by_parent", "records", ["account", "parent_id", "entity"])
    op.create_index(
        "records_unsettled",
        "records",
        ["account", "entity", "state", "source_id"],
        sqlite_where=sa.text("state NOT IN ('synced', 'skipped')"),
        postgresql_where=sa.text("state NOT IN ('synced', 'skipped')"),
    )
    op.create_index(
        "records_withholding",
        "records",
        ["account", "entity"],
        sqlite_where=sa.text("withheld IS NOT NULL OR withheld_email IS NOT NULL"),
        postgresql_where=sa.text("withheld IS NOT NULL OR withheld_email IS NOT NULL"),
    )
    op.create_index(
        "records_with_intent",
        "records",
        ["account"],
        sqlite_where=sa.text("intent IS NOT NULL"),
        postgresql_where=sa.text("intent IS NOT NULL"),
    )
    op.create_table(
        "runs",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=63), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("mode", sa.String(length=12), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("started_at", sa.Float(), nullable=False),
        sa.Column("finished_at", sa.Float(), nullable=True),
        sa.Column("owner", sa.String(length=120), nullable=False),
        sa.Column("report", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("runs_by_account", "runs", ["account", "started_at"])
    op.create_index(
        "runs_good",
        "runs",
        ["account", "started_at"],
        sqlite_where=sa.text("kind = 'sync' AND status IN ('ok', 'degraded')"),
        postgresql_where=sa.text("kind = 'sync' AND status IN ('ok', 'degraded')"),
    )
    op.create_table(
        "waiters",
        sa.Column("name", sa.String(length=160), nullable=False),
        sa.Column("owner", sa.String(length=120), nullable=False),
        sa.Column("about", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("lane", sa.Integer(), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.Column("seen_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", "owner"),
    )
