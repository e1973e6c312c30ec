"""The parameters of the flows: they are the forms in the Prefect UI and the options of the commands."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from tasks.settings import Entity


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


EVERYTHING_NEW = SyncOptions()
"""An incremental sync of all entities."""
