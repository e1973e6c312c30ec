"""Switchable faults: rules that are matched against each request before it is answered.

``before`` kinds never reach the service; ``after`` kinds let it apply the request first and then spoil
the answer, which is how a client gets a write of unknown outcome.
"""

from __future__ import annotations

import itertools
import random
import re
from dataclasses import asdict, dataclass, field
from typing import Any

KINDS = {
    "status": "answer `status` with `body` and `headers`, without applying the request",
    "commit_then_status": "apply the request, then answer `status` instead",
    "commit_then_drop": "apply the request, then close the connection without an answer",
    "drop": "close the connection without applying the request",
    "hang": "wait `seconds`, then apply, even if nobody waits; for ever when null, applying nothing",
    "commit_then_hang": "apply the request, then wait `seconds` (for ever when null) before answering",
    "malformed_headers": "a rate-limit page with a header line that is not HTTP; nothing is applied",
    "html": "an HTML page with `status` (200 by default); nothing is applied",
    "latency": "`seconds` added to the answer",
    "rate_limit_storm": "429 for every matching request, for `seconds` from the first one if given",
    "truncate": "apply the request, then send half of the answer's body and close",
}


@dataclass(slots=True)
class Fault:
    """One rule; see ``KINDS`` for what each kind does.

    Attributes:
        kind: One of ``KINDS``.
        service: ``voipstudio``, ``highlevel`` or ``*``.
        method: Methods separated by commas, or ``*``.
        path: Regular expression, searched in the path (VoIPstudio's prefix included).
        containing: Text that the raw request body must contain.
        count: How often the rule fires before it is used up; null is no limit.
        after: How many matching requests pass first.
        probability: Chance that a matching request is hit, from a random generator seeded with ``seed``.
        status: The status that ``status``, ``commit_then_status`` and ``html`` answer.
        retry_after: Seconds for a ``Retry-After`` header.
    """

    kind: str
    service: str = "*"
    method: str = "*"
    path: str = ""
    containing: str | None = None
    count: int | None = None
    after: int = 0
    probability: float = 1.0
    seed: int = 0
    status: int | None = None
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    retry_after: float | None = None
    seconds: float | None = None
    id: int = 0
    fired: int = 0
    seen: int = 0
    _until: float | None = None
    _pattern: re.Pattern[str] = field(init=False, repr=False)
    _random: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown fault kind {self.kind!r}; known: {', '.join(KINDS)}")
        self._pattern = re.compile(self.path)
        self._random = random.Random(self.seed)

    def hits(self, service: str, method: str, path: str, raw: bytes, now: float) -> bool:
        """Whether this request is hit; counts it if so."""
        if (
            self.service not in ("*", service)
            or (self.method != "*" and method not in self.method.split(","))
            or not self._pattern.search(path)
            or (self.containing is not None and self.containing.encode() not in raw)
        ):
            return False
        self.seen += 1
        if self.seen <= self.after or (self.count is not None and self.fired >= self.count):
            return False
        if self.kind == "rate_limit_storm" and self.seconds is not None:
            self._until = self._until or now + self.seconds
            if now > self._until:
                return False
        if self.probability < 1.0 and self._random.random() >= self.probability:
            return False
        self.fired += 1
        return True

    def describe(self) -> dict[str, Any]:
        """The rule as JSON."""
        return {name: value for name, value in asdict(self).items() if not name.startswith("_")}


class Faults:
    """The rules of one service, tried in the order in which they were added; the first hit counts.

    ``latency`` rules are looked at apart, so that they add to whatever else happens.
    """

    def __init__(self) -> None:
        self.rules: list[Fault] = []
        self._ids = itertools.count(1)

    def add(self, **fields: Any) -> Fault:  # noqa: ANN401 - the fields of Fault, checked by its constructor
        """Adds a rule and gives it an id."""
        fault = Fault(**fields)
        fault.id = next(self._ids)
        self.rules.append(fault)
        return fault

    def remove(self, fault_id: int | None = None) -> None:
        """Removes one rule, or all of them."""
        self.rules = [] if fault_id is None else [rule for rule in self.rules if rule.id != fault_id]

    def pick(
        self, service: str, method: str, path: str, raw: bytes, now: float
    ) -> tuple[Fault | None, float]:
        """The fault that befalls this request, if any, and the latency that rules add to it."""
        chosen: Fault | None = None
        latency = 0.0
        for rule in self.rules:
            if rule.kind == "latency":
                if rule.hits(service, method, path, raw, now):
                    latency += rule.seconds or 0.0
            elif chosen is None and rule.hits(service, method, path, raw, now):
                chosen = rule
        return chosen, latency
