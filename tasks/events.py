"""Events of routes, as Prefect's automations see them."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from prefect.events import Event as PrefectEvent
from prefect.events.clients import get_events_client
from prefect.runtime import flow_run

from tasks.engine.effects import Event

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
