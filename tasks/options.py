"""The parameters of the flows: they are the forms in the Prefect UI and the options of the commands."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from tasks.settings import Entity

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
    wait_seconds: float = Field(
        600.0,
        ge=0,
        description="how long to wait for another run on the same location; 0: fail at once",
        json_schema_extra={"position": 2},
    )
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
        min_length=1,
        description="id of the plan, or the beginning of it",
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
    wait_seconds: float = Field(
        600.0,
        ge=0,
        description="how long to wait for another run on the same location; 0: fail at once",
        json_schema_extra={"position": 3},
    )


EVERYTHING_NEW = SyncOptions()
"""An incremental sync of all entities."""


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
        description="an account whose last sync was started less long ago is passed over",
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
    sync: SyncOptions = Field(
        EVERYTHING_NEW, description="how each account is synced", json_schema_extra={"position": 5}
    )
    deployment: str = Field(
        "shard/fleet",
        description="the deployment that syncs what the fleet chose: flow and name",
        json_schema_extra={"position": 6},
    )


WHOLE_FLEET = FleetOptions()
"""All accounts, about once a minute."""
