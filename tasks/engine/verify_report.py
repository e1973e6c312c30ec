"""What a verification found, for people and for scripts: ids and names of fields, never a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from sqlalchemy import update

from tasks.engine.confidence import in_words
from tasks.engine.plan import PlanReport
from tasks.engine.report import OPEN, Status
from tasks.engine.run import Run
from tasks.engine.verify_course import Course
from tasks.errors import QuotaSpent
from tasks.ledger import deviations, records
from tasks.ledger.deviations import Deviation
from tasks.ledger.tables import runs
from tasks.options import VerifyOptions
from tasks.outlets import text_of
from tasks.settings import ENTITIES

KINDS = ("missing", "edited", "duplicated", "orphaned", "detached")
COUNTS = ("written", "checked", *KINDS, "aside")
"""Records the destination should hold, those looked at, deviations, and what is still open for a sync."""
SHOWN = 20
"""Deviations that a report names."""


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The report of one verification, as ``--json`` prints it.

    Attributes:
        scope: ``sample`` or ``all``.
        complete: whether it came to its end; a complete one that did not is gone on with by the next.
        confidence: of a sample, what it says of the whole.
        deviations: the first of them, each with what to do.
        plan: of a repair, what mends the deviations.
        left: of a repair, what is not in the plan, and why.
    """

    account: str
    run_id: str
    scope: str
    status: Status
    complete: bool
    entities: dict[str, dict[str, int]]
    confidence: str | None
    deviations: list[dict[str, Any]]
    requests: dict[str, int]
    warnings: list[str]
    seconds: float
    plan: PlanReport | None = None
    left: list[str] = field(default_factory=list)
    mode: str = "verify"

    def as_json(self) -> dict[str, Any]:
        """As plain JSON."""
        plan = self.plan.as_json() if self.plan else None
        return {**asdict(replace(self, plan=None)), "plan": plan}

    def table(self) -> list[dict[str, Any]]:
        """The counts as rows."""
        return [{"entity": entity, **counts} for entity, counts in self.entities.items()]

    @property
    def found(self) -> int:
        """How many deviations there are."""
        return sum(counts[kind] for counts in self.entities.values() for kind in KINDS)


def remedy(one: Deviation, account: str, *, recreates: bool) -> str:
    """What a person can do about a deviation."""
    repair = f"voipsync verify {account} --repair"
    match one.kind, one.entity:
        case "missing", "contacts":
            how = repair if recreates else f"{repair} --recreate"
            return f"deleted or merged in HighLevel: leave it so, or plan it anew with `{how}`"
        case "missing", _:
            return f"deleted in HighLevel: leave it so, or plan it anew with `{repair}`"
        case "edited", _:
            return (
                "a person's edit stands; a contact's field whose policy is `source` is planned again by "
                f"`{repair}`"
            )
        case "duplicated", "contacts":
            return "look at both contacts in HighLevel and merge them if they are one person"
        case "duplicated", _:
            return "delete the second one in HighLevel"
        case "orphaned", "contacts":
            return "it carries an id that this ledger does not know: delete it if it is not wanted"
        case "orphaned", _ if one.fields:
            return "it stands under another contact than it was written to, as after a merge: leave it"
        case "orphaned", _:
            return "this ledger does not know it here: delete it in HighLevel if it is not wanted"
    return "its contact is gone: it follows what becomes of that"


async def conclude(
    run: Run,
    options: VerifyOptions,
    course: Course,
    population: int,
    *,
    resumed: bool,
    error: BaseException | None,
) -> VerifyReport:
    """Decide how a verification ended, and keep its report."""
    look, number = run.database.look, course.number
    found = await look(partial(deviations.count, account=run.name, number=number))
    written = await look(partial(deviations.delivered, account=run.name))
    checked = await look(partial(deviations.checked, account=run.name, number=number))
    states = await look(partial(records.count_by_state, account=run.name, settled=False))
    entities: dict[str, dict[str, int]] = {
        entity: {
            "written": written.get(entity, 0),
            "checked": checked.get(entity, 0),
            **{kind: found.get((entity, kind), 0) for kind in KINDS},
            "aside": sum(states.get((entity, state), 0) for state in OPEN),
        }
        for entity in ENTITIES
    }
    unsure = course.unsure
    if options.scope == "all" and "contacts" in course.entities and not {"index", "unmet"} & {*course.stages}:
        unsure += await look(partial(deviations.count_unchecked, account=run.name, number=number))
    complete, sampled = not course.stages, course.sampled - course.unsure
    failed = error is not None and not isinstance(error, QuotaSpent)
    wrong = bool(found) or unsure or not complete
    status: Status = "failed" if failed else "degraded" if wrong else "ok"
    shown = await look(partial(deviations.listed, account=run.name, number=number, most=SHOWN))
    recreates = run.account.mapping.deleted_contacts == "recreate"
    source, destination = run.source_wire.tally, run.destination_wire.tally
    report = VerifyReport(
        account=run.name,
        run_id=run.id,
        scope=options.scope,
        status=status,
        complete=complete,
        entities=entities,
        confidence=in_words(population, sampled, course.deviating)
        if options.scope == "sample" and sampled > 0
        else None,
        deviations=[{**asdict(one), "remedy": remedy(one, run.name, recreates=recreates)} for one in shown],
        requests={
            "source": source.reads,
            "destination_reads": destination.reads,
            "destination_writes": destination.writes,
            "asked_by_id": course.asked,
            "throttled": source.throttled + destination.throttled,
            "retried": source.retried + destination.retried,
        },
        warnings=_warnings(run, options, course, population, unsure, found, resumed=resumed, error=error),
        seconds=round(run.now() - run.started, 3),
    )
    done = update(runs).where(runs.c.id == run.id)
    ended = done.values(status=status, finished_at=run.now(), report=report.as_json())
    await run.database.do(lambda connection: connection.execute(ended))
    return report


def _warnings(
    run: Run,
    options: VerifyOptions,
    course: Course,
    population: int,
    unsure: int,
    found: Mapping[tuple[str, str], int],
    *,
    resumed: bool,
    error: BaseException | None,
) -> list[str]:
    told = [] if error is None else [text_of(error)]
    if found:
        many = [f"{number} {entity} {kind}" for (entity, kind), number in sorted(found.items())]
        told.append(f"deviations: {', '.join(many)}")
    if not population:
        told.append(
            f"nothing to verify: no contact of {run.name} was written yet; run voipsync sync {run.name}"
        )
    if course.stages:
        again = (
            "the next one of the same kind goes on from here" if options.scope == "all" else "draw another"
        )
        told.append(f"the verification is not complete: {again}")
    elif resumed:
        told.append("begun by an earlier run, which was stopped")
    if unsure:
        told.append(
            f"{unsure} contacts are not settled: the search index shows them wrong, or not at all, and they "
            f"were not asked for by id (questions: {options.questions}), or no answer came: verify again"
        )
    if course.kept:
        told.append(
            f"contacts: {course.kept} hold somebody else's value, which stays by rule: in a field that is "
            "only filled, that was there before they were linked, or that the API cannot change"
        )
    if course.unseen:
        told.append(
            f"the search does not show {', '.join(course.unseen)}: only a sample compares these fields"
        )
    return [*told, *run.findings.all_warnings()]


def markdown(report: VerifyReport) -> str:
    """The report for people, as markdown."""
    lines = [
        f"**{report.account}**: {report.status} ({report.scope}) · {report.seconds:.1f} s · {report.run_id}",
        "",
        "| entity | " + " | ".join(COUNTS) + " |",
        "| --- |" + " ---: |" * len(COUNTS),
        *(
            f"| {entity} | " + " | ".join(str(counts[name]) for name in COUNTS) + " |"
            for entity, counts in report.entities.items()
        ),
    ]
    if report.confidence:
        lines += ["", report.confidence]
    if report.deviations:
        lines += ["", f"The first {len(report.deviations)} of {report.found} deviations:", ""]
        lines += [f"- {sentence}" for sentence in sentences(report.deviations)]
    if report.plan:
        lines += ["", f"What mends it is plan `{report.plan.plan_id}`: {apply_with(report)}"]
    if report.left:
        lines += ["", *(f"- {sentence}" for sentence in report.left)]
    if report.warnings:
        lines += ["", *(f"- {warning}" for warning in report.warnings)]
    return "\n".join(lines) + "\n"


def apply_with(report: VerifyReport) -> str:
    """The command that carries out a repair."""
    return f"voipsync apply {report.account} {report.plan.plan_id}" if report.plan else ""


def sentences(shown: Sequence[Mapping[str, Any]]) -> list[str]:
    """Each deviation of a report as one line."""
    return [
        f"{one['entity']} {one['source_id']} {one['kind']}"
        + (f" ({', '.join(one['fields'])})" if one["fields"] else "")
        + f": {one['destination_id']}"
        + (
            f" beside {one['contact_id']}"
            if one["kind"] == "duplicated" and one["entity"] == "contacts"
            else ""
        )
        + f"; {one['remedy']}"
        for one in shown
    ]
