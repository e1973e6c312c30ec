"""What changed with a run, told to Prefect, whose automations alert people."""

import logging

from prefect.settings import get_current_settings

from tasks.engine import changes
from tasks.engine.report import Report
from tasks.engine.run import Run
from tasks.events import emit
from tasks.outlets import text_of

log = logging.getLogger(__name__)


async def tell(run: Run, made: Report) -> None:
    """Emit the events of what changed; what Prefect does not take now, the next run tells.

    Prefect's temporary API has no automations: what changes there is told by the first run on a real one.
    """
    if not get_current_settings().api.url:
        return
    try:
        if events := await changes.note(run, made):
            await emit(events)
            await changes.taken(run)
    except Exception as error:  # noqa: BLE001 - whatever it is, the run is what it is
        log.warning("alerts wait for the next run: %s", text_of(error))
