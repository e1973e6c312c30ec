"""The revisions of the ledger's schema, in order. Before you write the next one:

They run by themselves, in one transaction, at the start of whatever program of the new version comes first:
while older ones are at work on the same database, and on tables of ten million rows. So a revision

- is never changed once it was released; what was wrong is put right by the next one,
- goes forwards alone: a ledger that a newer program made is refused by older ones when they start,
- only adds: tables, and columns that may be NULL or have a constant default; older programs name the columns
  that they write, and do not see the others. What nobody uses any more is dropped by a later release,
- rewrites no table and scans none: no change of a type, no NOT NULL or CHECK for a column that is there, no
  UPDATE of all rows. What is to be filled is filled by runs, row by row as they write,
- gets an exclusive lock for a moment, or gives up after `tasks.ledger.migrate.LOCK_SECONDS`, and the next
  program tries again,
- makes no index on ``records``, ``history``, ``directory`` or ``runs``: that would stop all writers for as
  long as it takes, and what does not stop them (CREATE INDEX CONCURRENTLY) cannot be done in a transaction.
  An index goes with a table that is new; for another, first give `migrate` a step after its transaction,
- changes `tasks.ledger.tables` and `tasks.ledger.migrate.HEAD` with it.

tests/ledger/test_ledger_upgrades.py takes a filled ledger of every revision to the newest, on both databases.
"""
