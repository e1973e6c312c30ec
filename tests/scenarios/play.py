"""Plays a scenario on the sandbox, and says in the case's own words where what it left differs."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sandbox.client import Box
from tasks.engine.report import Report
from tasks.engine.review import decide
from tasks.engine.steps import sync_once
from tasks.errors import ConfigurationError
from tasks.options import SyncOptions
from tasks.settings import Settings
from tests.scenarios import compare
from tests.scenarios.case import Case, Fields, Then
from tests.scenarios.stage import Stage, somebody
from tests.support.accounts import settings_of
from tests.support.receiver import Receiver, is_signed

SET_UP = {"create-custom-field"}
"""Writes that set a location up, and say nothing of its contacts."""
SECRET = "WEBHOOK_SECRET"
"""The environment variable that the cases name, and what it holds."""
Mode = Literal["incremental", "full"]
AT_ONCE = {"settle_seconds": 0, "search_lag_seconds": 0}


@dataclass(slots=True)
class Play:
    """One case on one sandbox.

    Attributes:
        box: the sandbox, which is begun anew.
        receiver: takes webhooks.
        case: what is played.
        version: of the API.
        folder: for ledgers.
        blank: a ledger without content.
    """

    box: Box
    receiver: Receiver
    case: Case
    version: str
    folder: Path
    blank: Path
    stage: Stage = field(init=False)
    settings: dict[str, Fields] = field(default_factory=dict)
    report: Report | None = None
    refusal: str | None = None
    written: dict[str, int] = field(default_factory=dict)
    asked: int = 0
    ledgers: int = 0
    _configuration: Settings | None = None

    def __post_init__(self) -> None:
        self.stage = Stage(self.box, {"webhook": self.receiver.url})

    async def differences(self) -> list[str]:
        """Set the stage, take the steps; return what is not as it must be, a line each."""
        self._begin()
        found: list[str] = []
        for number, step in enumerate(self.case.steps, 1):
            name, value = next(iter(step.items())) if isinstance(step, dict) else (step, None)
            if name == "then":
                found += [f"after step {number}: {line}" for line in self._compare(Then(**value))]
            else:
                await self._step(name, value)
        found += self._compare(self.case.then)
        return found or [line async for line in self._once_more()]

    async def _step(self, name: str, value: Any) -> None:
        match name:
            case "sync" | "full sync":
                await self._sync("full" if name == "full sync" else "incremental")
            case "source":
                self.stage.change_source(value)
            case "crm":
                self.stage.change_crm(value)
            case "merge":
                self.box.merge(self.stage.contact(value["keep"]), self.stage.contact(value["lose"]))
            case "link":
                for label, chosen in value.items():
                    await self._link(label, chosen)
            case "settings":
                self._change_settings(value)
            case "lose ledger":
                self._new_ledger()
            case _:
                self._disturb(name, value)

    def _disturb(self, name: str, value: Any) -> None:
        """The services behave differently from now on."""
        match name:
            case "endpoints":
                self.box.options(voipstudio={"streams": value == "all"})
            case "account":
                self.box.options(voipstudio=value)
            case "fault":
                self.box.fault(**self.stage.resolved(value))
            case "faults end":
                self.box.clear_faults()
            case "webhook answers":
                self.receiver.always = value
            case _:
                raise ValueError(f"no such step: {name}")

    def _begin(self) -> None:
        os.environ[SECRET] = SECRET
        self.receiver.came.clear()
        self.receiver.always = 200
        case, place = self.case, self.case.location
        self.box.reset(
            allow_duplicates=place.duplicates == "allowed", timezone=place.timezone, country=place.country
        )
        self.box.clear_faults()
        self.box.options(voipstudio={"streams": case.endpoints == "all", "disturbances": []})
        for name, kind in place.custom_fields.items():
            self.box.insert("custom_fields", name=name, dataType=kind)
        self._change_settings({"destination": {"api_version": self.version, **AT_ONCE}})
        self._change_settings({"source": {"streams": case.streams}})
        self._change_settings(case.settings)
        self._new_ledger()
        self.stage.change_source(
            {**case.source, **{label: somebody(label) for label in case.labels_of_crowd}}
        )
        self.stage.change_crm(case.crm)

    def _change_settings(self, changes: Mapping[str, Fields]) -> None:
        for section, values in changes.items():
            self.settings[section] = {**self.settings.get(section, {}), **self.stage.resolved(values)}
        self._configuration = None
        self.stage.id_field = self.settings.get("mapping", {}).get("id_field", self.stage.id_field)

    def _checked(self) -> Settings:
        """The whole configuration, kept while it stands: to check it takes longer than many a sync."""
        if self._configuration is None:
            ledger = f"sqlite:///{self.folder}/ledger-{self.ledgers}.db"
            self._configuration = settings_of(self.box, ledger, **self.settings)
        return self._configuration

    def _new_ledger(self) -> None:
        self.ledgers += 1
        self._configuration = None
        shutil.copy(self.blank, self.folder / f"ledger-{self.ledgers}.db")

    async def _sync(self, mode: Mode) -> None:
        self.box.reset_counters()
        self.report = self.refusal = None
        try:
            self.report = await sync_once("acme", SyncOptions(mode=mode), self._checked())
        except ConfigurationError as error:
            self.refusal = str(error)
        self.asked = self.box.counters()["highlevel"]["requests"]
        self.written = {name: number for name, number in self.box.writes().items() if name not in SET_UP}
        self.stage.learn()

    async def _link(self, label: str, chosen: str) -> None:
        """Decide who somebody is, as `voipsync link` does: a contact of the CRM, or nobody there yet."""
        contact_id = None if chosen == "create" else self.stage.contact(chosen)
        source_id = str(self.stage.at_source[label])
        await decide("acme", source_id, contact_id, self._checked(), SyncOptions())

    async def _once_more(self) -> AsyncIterator[str]:
        """What is there is there: one more sync writes nothing, and where all is well it asks nothing."""
        if not self.case.settles:
            return
        await self._sync("incremental")
        if self.written:
            yield f"one more sync wrote again: {self.written}"
        elif self.asked and self.report is not None and self.report.status == "ok":
            yield f"one more sync had nothing to write, and asked the CRM {self.asked} times"

    def _compare(self, then: Then) -> Iterator[str]:
        yield from compare.report(self.stage, then, self.report, self.refusal)
        yield from compare.writes(then.writes, self.written)
        crowd: dict[str, Fields] = {label: {} for label in self.case.labels_of_crowd}
        yield from compare.crm(self.stage, {**crowd, **then.crm})
        if then.webhook is not None:
            yield from self._compare_webhook(then.webhook)

    def _compare_webhook(self, labels: list[str]) -> Iterator[str]:
        """What came is signed; and what came with one key is one message, however often it came."""
        if not all(is_signed(headers, body, SECRET) for headers, body in self.receiver.came):
            yield "the webhook was called without the right signature"
        once = dict(zip(self.receiver.keys, self.receiver.messages, strict=True))
        told = sorted(str(message["contact_id"]) for message in once.values())
        if told != sorted(self.stage.contact(label) for label in labels):
            yield f"the webhook was called for {told}, must be for {labels}"
