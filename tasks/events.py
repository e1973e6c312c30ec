"""Events of routes and of runs, as Prefect's automations see them."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid4

from prefect.client.schemas.objects import FlowRun
from prefect.events import Event as PrefectEvent
from prefect.events.clients import get_events_client
from prefect.runtime import flow_run

from tasks.engine.effects import Event

SUSPENDED = "voipsync.run.suspended"
PATIENCE_SECONDS = 30.0
"""How long events may take to be received, all together."""


async def emit(events: Sequence[Event]) -> None:
    """Emit events and return once Prefect's API has them: unlike `emit_event`, which queues and forgets."""
    about = [{"prefect.resource.id": f"prefect.flow-run.{flow_run.id}", "prefect.resource.role": "flow-run"}]
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        get_events_client(reconnection_attempts=3, checkpoint_every=len(events)) as client,
    ):
        for event in events:
            await client.emit(
                PrefectEvent.model_validate(
                    {
                        "id": UUID(event.id),
                        "event": event.name,
                        "occurred": event.at,
                        "resource": event.resource,
                        "related": [event.location, *(about if flow_run.id else [])],
                        "payload": event.payload,
                    }
                )
            )


async def rests(run: FlowRun) -> None:
    """Tell that a suspended run's process ends: nobody is to miss its heart, which beat until now."""
    flow = {
        "prefect.resource.id": f"prefect.flow.{run.flow_id}",
        "prefect.resource.role": "flow",
        "prefect.resource.name": str(flow_run.flow_name),
    }
    itself = {"prefect.resource.id": f"prefect.flow-run.{run.id}", "prefect.resource.name": run.name}
    await emit([Event(str(uuid4()), SUSPENDED, datetime.now(UTC), itself, flow, {})])
