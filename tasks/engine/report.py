"""What a run did: counts per entity, requests, warnings, and the one word for it all."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tasks.settings import ENTITIES

log = logging.getLogger(__name__)

Status = Literal["ok", "degraded", "failed"]
COUNTS = (
    "read",
    "created",
    "adopted",
    "updated",
    "unchanged",
    "deleted",
    "skipped",
    "rejected",
    "recovered",
    "waiting",
    "unresolved",
    "ambiguous",
)
"""Each record read is in exactly one of the others; `recovered` may also count an earlier run's write."""
OPEN = ("rejected", "waiting", "unresolved", "ambiguous")
"""What keeps a run from being ok: taken from the ledger when the run ends."""
SHOWN = 25
"""Records that need a person and are named one by one, at most."""


@dataclass(frozen=True, slots=True)
class Case:
    """A record that a person should look at: ids only, of it and of the contacts that it is about."""

    entity: str
    source_id: str
    reason: str
    contacts: tuple[str, ...] = ()


@dataclass(slots=True)
class Findings:
    """Counts and warnings, gathered while a run goes on."""

    counts: dict[str, Counter[str]] = field(
        default_factory=lambda: {entity: Counter() for entity in ENTITIES}
    )
    remarks: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(entity, sentence) → how many records it is about."""
    open_remarks: set[tuple[str, str]] = field(default_factory=set)
    """Those about records that are not settled: they are told before the others."""
    warnings: list[str] = field(default_factory=list)
    disputed: list[Case] = field(default_factory=list)
    """Records of which a field was changed on both sides and a person's value stands, or some of them."""
    refused: int = 0
    """Records that the destination refused in this run."""
    degraded: bool = False

    def count(self, entity: str, outcome: str, number: int = 1) -> None:
        """Add to one of `COUNTS`."""
        self.counts[entity][outcome] += number

    def remark(self, entity: str, sentence: str, number: int = 1, *, still_open: bool = False) -> None:
        """Note something about records, to be shown once with their number."""
        self.remarks[entity, sentence] += number
        if still_open:
            self.open_remarks.add((entity, sentence))

    def refuse(self, entity: str, source_id: str, reason: str) -> None:
        """Note that the destination refused a record; the first ones are logged."""
        self.refused += 1
        if self.refused <= SHOWN:
            about = {"entity": entity, "source_id": source_id}
            log.warning("%s: %s is refused (%s)", entity, source_id, reason, extra=about)

    def dispute(self, entity: str, name: str, source_id: str, contact_id: str) -> None:
        """Note that a field was changed on both sides, and that a person's value stands."""
        self.remark(entity, f"{name} left as a person wrote it at the destination")
        case = Case(entity, source_id, "changed_on_both_sides", (contact_id,))
        if len(self.disputed) < SHOWN and case not in self.disputed:
            self.disputed.append(case)

    def warn(self, sentence: str, *, degrades: bool = False) -> None:
        """Note something about the run."""
        if sentence not in self.warnings:
            self.warnings.append(sentence)
        self.degraded = self.degraded or degrades

    def all_warnings(self) -> list[str]:
        """Warnings about the run, then remarks with their numbers."""
        ordered = sorted(self.remarks.items(), key=lambda one: (one[0] not in self.open_remarks, one))
        return self.warnings + [f"{entity}: {number} {sentence}" for (entity, sentence), number in ordered]


@dataclass(frozen=True, slots=True)
class Report:
    """The report of one run, as ``--json`` prints it."""

    account: str
    run_id: str
    mode: str
    status: Status
    entities: dict[str, dict[str, int]]
    requests: dict[str, int]
    warnings: list[str]
    seconds: float

    @property
    def idle(self) -> bool:
        """Whether there was nothing to do; what an earlier run left open may still be."""
        done = any(counts.get(name) for counts in self.entities.values() for name in DONE)
        return self.status != "failed" and not done

    @property
    def shown(self) -> list[str]:
        """The counts that say something: `read`, and those that are not nothing throughout."""
        return [
            name for name in COUNTS if name == "read" or any(one.get(name) for one in self.entities.values())
        ]

    def as_json(self) -> dict[str, Any]:
        """The JSON document of the interface."""
        return {
            "account": self.account,
            "run_id": self.run_id,
            "mode": self.mode,
            "status": self.status,
            "entities": self.entities,
            "requests": self.requests,
            "warnings": self.warnings,
            "seconds": self.seconds,
        }


DONE = ("created", "adopted", "updated", "deleted", "recovered")
WRITTEN = ("created", "updated", "deleted")


def written(report: Mapping[str, Any]) -> int:
    """How many records a run wrote, by its report as it is kept."""
    return sum(counts.get(name, 0) for counts in report.get("entities", {}).values() for name in WRITTEN)


def sent(report: Mapping[str, Any]) -> int:
    """How many requests a run sent to the destination, by its report as it is kept."""
    counted = report.get("requests", {})
    return int(counted.get("destination_reads", 0) + counted.get("destination_writes", 0))


def entity_counts(findings: Findings, open_records: dict[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    """Counts per entity; what is open comes from the ledger, so that nothing older is forgotten."""
    return {
        entity: {
            name: open_records.get((entity, name), 0) if name in OPEN else findings.counts[entity][name]
            for name in COUNTS
        }
        for entity in ENTITIES
    }


def cost(report: Report) -> str:
    """What the run cost at the destination, beside the least that it could have cost."""
    writes, reads, least = (report.requests[f"destination_{name}"] for name in ("writes", "reads", "least"))
    return f"requests to the destination: {writes} writes, {reads} reads (at least {least} were needed)"


def markdown(report: Report) -> str:
    """The report for people, as markdown."""
    shown = report.shown
    lines = [
        f"**{report.account}**: {report.status} · {report.mode} · {report.seconds:.1f} s · `{report.run_id}`",
        "",
        "| entity | " + " | ".join(shown) + " |",
        "| --- |" + " ---: |" * len(shown),
        *(
            f"| {entity} | " + " | ".join(str(counts.get(name, 0)) for name in shown) + " |"
            for entity, counts in report.entities.items()
        ),
        "",
        "Requests to the source: {source}; of all {throttled} throttled, {retried} retried".format_map(
            report.requests
        ),
        "",
        f"R{cost(report)[1:]}",
    ]
    if report.warnings:
        lines += ["", *(f"- {warning}" for warning in report.warnings)]
    return "\n".join(lines) + "\n"
