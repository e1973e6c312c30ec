"""The parameters of the flows: they are the forms in the Prefect UI and the options of the commands."""

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from tasks.settings import Entity

WAIT_SECONDS = 600.0
WaitSeconds = Annotated[
    float, Field(ge=0, description="how long to wait for another run on the same location; 0: fail at once")
]
"""Each options model has it at a place of its own in the form."""

TIMEOUT_SECONDS = 8 * 3600.0
"""After so long a flow run is ended, and the next one continues: at full speed a day's quota lasts 5.6 h."""


class SyncOptions(BaseModel):
    """How a sync is done."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Literal["incremental", "full"] = Field(
        "incremental",
        description="incremental: what changed at the source; full: everything is mapped and compared again, "
        "and the location is learnt anew",
        json_schema_extra={"position": 0},
    )
    only: tuple[Entity, ...] = Field(
        (),
        description="entities to write; empty: all of them",
        json_schema_extra={"position": 1},
    )
    wait_seconds: WaitSeconds = Field(WAIT_SECONDS, json_schema_extra={"position": 2})
    accept_fewer: bool = Field(
        False,
        description="take the source as it is, although it lists less than half of the contacts of the last "
        "complete read; what vanished may then be deleted, within the limits",
        json_schema_extra={"position": 3},
    )
    overlap: Literal["wait", "skip"] = Field(
        "wait",
        description="where another incremental sync of the account is under way: wait for it, or skip: end "
        "at once, and cancel late runs of the same deployment: the one under way does their work",
        json_schema_extra={"position": 4},
    )


class ApplyOptions(BaseModel):
    """How a plan is applied."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    plan: str = Field(
        "latest",
        min_length=1,
        description="id of the plan, or the beginning of it; latest: the newest that was not applied yet",
        json_schema_extra={"position": 0},
    )
    approval: bool = Field(
        False,
        description="wait until somebody approves of it on this run's page, before anything is written",
        json_schema_extra={"position": 1},
    )
    approval_hours: float = Field(
        24.0,
        gt=0,
        le=24 * 7,
        description="how long to wait for that; then the run fails and nothing is written",
        json_schema_extra={"position": 2},
    )
    wait_seconds: WaitSeconds = Field(WAIT_SECONDS, json_schema_extra={"position": 3})


class UndoOptions(BaseModel):
    """Which run is taken back."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run_id: str = Field(
        min_length=1,
        description="id of the run, as in its report, or the beginning of it",
        json_schema_extra={"position": 0},
    )
    wait_seconds: WaitSeconds = Field(WAIT_SECONDS, json_schema_extra={"position": 1})


EVERYTHING_NEW = SyncOptions()
"""An incremental sync of all entities."""
THE_LATEST = ApplyOptions()
"""The newest plan, without asking anybody."""


class FleetOptions(BaseModel):
    """Which accounts a fleet syncs, and how many flow runs it may have."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    accounts: tuple[str, ...] = Field(
        (),
        description="names of accounts, in which * and ? stand for any text; empty: all of the configuration "
        "and of the Sync Account blocks",
        json_schema_extra={"position": 0},
    )
    tags: tuple[str, ...] = Field(
        (), description="only accounts with one of these tags", json_schema_extra={"position": 1}
    )
    every_seconds: float = Field(
        60.0,
        ge=0,
        description="about how often each account is synced; the schedule of the fleet bounds it",
        json_schema_extra={"position": 2},
    )
    most_runs: int = Field(
        20,
        ge=1,
        le=1000,
        description="flow runs of the fleet that may wait or be under way at the same time",
        json_schema_extra={"position": 3},
    )
    spread_seconds: float = Field(
        30.0,
        ge=0,
        description="over how long the new flow runs are spread, so that they do not all begin at once",
        json_schema_extra={"position": 4},
    )
    at_once: int = Field(
        4,
        ge=1,
        le=50,
        description="accounts of a flow run synced together",
        json_schema_extra={"position": 5},
    )
    sync: SyncOptions = Field(
        EVERYTHING_NEW, description="how each account is synced", json_schema_extra={"position": 6}
    )
    deployment: str = Field(
        "shard/fleet",
        description="the deployment that syncs what the fleet chose: flow and name",
        json_schema_extra={"position": 7},
    )


WHOLE_FLEET = FleetOptions()
"""All accounts, about once a minute."""


class RetryOptions(BaseModel):
    """How refused records are tried again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    only: tuple[Entity, ...] = Field(
        (),
        description="entities to write; empty: all of them",
        json_schema_extra={"position": 0},
    )
    wait_seconds: WaitSeconds = Field(WAIT_SECONDS, json_schema_extra={"position": 1})


EVERYTHING_REFUSED = RetryOptions()
"""Another try for all refused records."""


class BackfillOptions(BaseModel):
    """Which history is brought, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    since: date | None = Field(
        None,
        description="the first day: contacts and activities that were created on it or later, appointments "
        "that start on it or later; empty: from the beginning, with what has no date",
        json_schema_extra={"position": 0},
    )
    until: date | None = Field(
        None,
        description="the last day, itself included; empty: up to now",
        json_schema_extra={"position": 1},
    )
    ids: tuple[PositiveInt, ...] = Field(
        (),
        description="instead of a range of days: ids of contacts at VoIPstudio, with all their activities",
        json_schema_extra={"position": 2},
    )
    only: tuple[Entity, ...] = Field(
        (),
        description="entities to write; empty: all of them",
        json_schema_extra={"position": 3},
    )
    window: int = Field(
        30,
        ge=1,
        le=3660,
        description="days that are done at a time, the oldest first",
        json_schema_extra={"position": 4},
    )
    routes: bool = Field(
        False,
        description="let routes fire for the tags of contacts that are met here for the first time",
        json_schema_extra={"position": 5},
    )
    estimate: bool = Field(
        False,
        description="only say what it would cost; nothing is written at the destination",
        json_schema_extra={"position": 6},
    )
    restart: bool = Field(
        False,
        description="begin anew, although a backfill of the same days, ids and entities was begun or is done",
        json_schema_extra={"position": 7},
    )
    wait_seconds: WaitSeconds = Field(WAIT_SECONDS, json_schema_extra={"position": 8})

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        if self.ids and (self.since or self.until):
            raise ValueError("give either ids or days (since, until)")
        if self.since and self.until and self.since > self.until:
            raise ValueError("since is after until")
        return self


ALL_HISTORY = BackfillOptions()
"""Everything that the source has."""


class VerifyOptions(BaseModel):
    """What of the destination is compared with what was written there, and what comes of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scope: Literal["sample", "all"] = Field(
        "sample",
        description="sample: some contacts, drawn at random, with their activities; all: every contact, and "
        "the activities named below",
        json_schema_extra={"position": 0},
    )
    sample: int = Field(
        200,
        ge=1,
        le=10_000,
        description="how many contacts a sample has",
        json_schema_extra={"position": 1},
    )
    only: tuple[Entity, ...] = Field(
        (),
        description="entities to verify; empty: of a sample all of them, else contacts alone, as each one's "
        "notes, tasks and appointments cost a request apiece",
        json_schema_extra={"position": 2},
    )
    repair: bool = Field(
        False,
        description="plan what mends the deviations; nothing is written before that plan is applied",
        json_schema_extra={"position": 3},
    )
    recreate: bool = Field(
        False,
        description="with repair: contacts that somebody deleted are planned anew whatever the mapping's "
        "deleted_contacts says",
        json_schema_extra={"position": 4},
    )
    questions: int = Field(
        2_000,
        ge=0,
        description="how many contacts that look wrong in the search index, which lags, are asked for by "
        "their ids; those beyond are counted",
        json_schema_extra={"position": 5},
    )
    wait_seconds: WaitSeconds = Field(WAIT_SECONDS, json_schema_extra={"position": 6})


class PurgeOptions(BaseModel):
    """What of the ledger goes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dry_run: bool = Field(
        False,
        description="only say what would go",
        json_schema_extra={"position": 0},
    )
    gone: str = Field(
        "",
        description="instead: an account that is configured no more; everything that the ledger knows of it "
        "goes, its stored credentials too",
        json_schema_extra={"position": 1},
    )
    compact: bool = Field(
        False,
        description="then rewrite the file of an SQLite ledger, so that the room goes back to the disk; not "
        "while a run is under way",
        json_schema_extra={"position": 2},
    )


WHAT_IS_OLD = PurgeOptions()
"""What is older than the configuration keeps it."""
A_SAMPLE = VerifyOptions()
"""A random sample of contacts, with their activities."""
