"""How a run ended: decided from the ledger's counts, so that nothing older is forgotten."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, update

from tasks import telemetry
from tasks.engine.changes import aged
from tasks.engine.remedies import in_words
from tasks.engine.report import OPEN, Report, Status, entity_counts
from tasks.engine.run import Run
from tasks.errors import QuotaSpent
from tasks.ledger import effects, records, retention
from tasks.ledger.tables import runs
from tasks.outlets import text_of
from tasks.redaction import redact_text
from tasks.settings import ENTITIES

SHOWN = 5
"""Ambiguous contacts that a report names."""
REMEDIES = {
    "ambiguous": "ambiguous: `voipsync review` lists them, `voipsync link` settles them",
    "waiting": "waiting for their contact",
    "unresolved": "unresolved: whether they arrived could not be asked; the next run asks again",
}


async def conclude(run: Run, error: BaseException | None = None) -> Report:
    """Decide how the run ended, from the ledger's counts, and keep its report."""
    if error is not None:
        run.findings.warnings.insert(0, text_of(error))
    open_records = await tell_open(run)
    for service, says in (await run.database.look(lambda connection: aged(connection, run))).items():
        run.findings.warn(f"{service} credential: {says}")
    entities = entity_counts(run.findings, open_records)
    unsettled = any(entities[entity][state] for entity in ENTITIES for state in OPEN)
    degraded = unsettled or run.findings.degraded or isinstance(error, QuotaSpent)
    failed = error is not None and not isinstance(error, QuotaSpent)
    status: Status = "failed" if failed else "degraded" if degraded else "ok"
    source, destination = run.source_wire.tally, run.destination_wire.tally
    report = Report(
        account=run.name,
        run_id=run.id,
        mode=run.mode,
        status=status,
        entities=entities,
        requests={
            "source": source.reads,
            "destination_reads": destination.reads,
            "destination_writes": destination.writes,
            "destination_least": _least(run, entities),
            "throttled": source.throttled + destination.throttled,
            "retried": source.retried + destination.retried,
        },
        warnings=[redact_text(warning) for warning in run.findings.all_warnings()],
        seconds=round((now := run.now()) - run.started, 3),
    )
    done = (
        update(runs)
        .where(runs.c.id == run.id)
        .values(status=status, finished_at=now, report=report.as_json())
    )

    def end(connection: Connection) -> None:
        connection.execute(done)
        for kind in retention.EACH_RUN:
            retention.let_go(connection, kind, run.name, now, run.terms)

    await run.state.do(end)
    telemetry.ended(
        run.name,
        run.kind,
        status,
        seconds=report.seconds,
        quota_left=run.quota.day_left,
        entities=entities,
        open_states=OPEN,
    )
    return report


async def tell_open(run: Run) -> dict[tuple[str, str], int]:
    """Say what is not settled, by the ledger; return how many records each (entity, state) of these has."""
    open_records = await run.database.look(
        lambda connection: records.count_by_state(connection, run.name, settled=False)
    )
    rejects = await run.database.look(lambda connection: records.count_rejects(connection, run.name))
    for entity, reason, number in rejects:
        run.findings.remark(entity, f"rejected {in_words(reason)}", number, still_open=True)
    for (entity, state), number in open_records.items():
        if state in REMEDIES:
            run.findings.remark(entity, REMEDIES[state], number, still_open=True)
    for record in await run.database.look(lambda connection: records.ambiguous(connection, run.name, SHOWN)):
        candidates = ", ".join((record.payload or {}).get("candidates", ()))
        may_be = f" may be any of: {candidates}" if candidates else f": {record.error}"
        run.findings.warn(f"contact {record.source_id}{may_be}")
    for action, reason, number, why in await run.database.look(
        lambda connection: effects.count_open(connection, run.name)
    ):
        told = f"routes: {number} {action} not done yet ({reason})"
        run.findings.warn(f"{told}: {why}" if why else told, degrades=run.fires)
    return open_records


def _least(run: Run, entities: Mapping[str, Mapping[str, int]]) -> int:
    """How many requests the destination could not be spared: one a record written, and the index's pages."""
    written = sum(counts[name] for counts in entities.values() for name in ("created", "updated", "deleted"))
    return written + run.index_pages
