"""Whom Prefect alerts, and of what: one message a change, never one a run; and what it does with dead runs.

What has changed the runs themselves say (`tasks.engine.changes`); Prefect only hands it on. What no run can
say, because there is none, is told by the absence of an event.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from prefect.client.schemas.objects import StateType
from prefect.events import AutomationCore
from prefect.events.actions import ActionTypes, ChangeFlowRunState, DoNothing, SendNotification
from prefect.events.schemas.automations import EventTrigger, Posture

from tasks.engine.changes import CREDENTIAL, QUOTA, REJECTS, STATE, SYNCED
from tasks.events import SUSPENDED

FLOWS = ("sync", "verify", "retry", "backfill", "plan", "apply", "undo", "purge", "fleet", "shard")
"""Ours: others on the same server may have slower hearts."""
HEARTBEAT_SECONDS = 30
"""As in prefect.yaml, and for commands in `flows.cli_run`."""
LOST_SECONDS = 3 * HEARTBEAT_SECONDS
"""A run that has shown no sign of life for so long died with its worker."""
PENDING_SECONDS = 300
"""A run that its worker has taken and not started for so long never will be."""
EACH_FAILURE = "alert-each-failure"
"""Tag of deployments that run so seldom that each failure is news."""
ENDED = {
    f"prefect.flow-run.{name}"
    for name in (
        "Completed", "Degraded", "Skipped", "Failed", "TimedOut", "Crashed", "Cancelled", "Collapsed",
    )
}  # fmt: skip
"""How runs end."""
RESTING = {
    SUSPENDED,  # told at the end of its process, for until then its heart beats
    *(f"prefect.flow-run.{name}" for name in ("Paused", "Suspended", "Scheduled", "AwaitingRetry")),
}
"""States in which no heart need beat."""


_WHO = "{{ event.payload.account }}"
_FROM, _TO = "{{ event.payload['from'] }}", "{{ event.payload.to }}"
_WHY = "{{ event.payload.message }}"
_STATE = "{{ event.resource['prefect.state-name'] }} ({{ event.resource['prefect.state-message'] }})"
ALERTS = {
    "state of an account": (STATE, f"{_WHO}: {_TO}, was {_FROM} ({_WHY})"),
    "rejects grew": (
        REJECTS,
        f"{_WHO}: {_TO} records are rejected, were {_FROM}: `voipsync status {_WHO}` says why",
    ),
    "quota of the day nearly spent": (
        QUOTA,
        f"{_WHO}: {{{{ event.payload.left }}}} of the day's {{{{ event.payload.limit }}}} requests are left",
    ),
    "credential is ageing": (CREDENTIAL, f"{_WHO}: {{{{ event.payload.service }}}} credential: {_WHY}"),
}
"""Events of ours that are handed on, each with what is said."""


def automations(block: UUID | None, silence_minutes: float = 15.0) -> list[AutomationCore]:
    """Return all of them.

    Args:
        block: the notification block that alerts go to; without one they only show in the Prefect UI.
        silence_minutes: how long no sync of an account may have ended well.
    """
    silent = f"no sync has ended well for {silence_minutes:g} minutes"
    return [
        *(_alert(block, name, event, says) for name, (event, says) in ALERTS.items()),
        AutomationCore(
            name="voipsync: silence",
            description=f"Of an account {silent}.",
            trigger=EventTrigger(
                posture=Posture.Proactive,
                after={SYNCED},
                expect={SYNCED},
                for_each={"prefect.resource.id"},
                threshold=1,
                within=timedelta(minutes=silence_minutes),
            ),
            actions=[
                _send(
                    block, f"{_WHO}: {silent}: look at its last runs in Prefect, and whether a worker is up"
                )
            ],
        ),
        AutomationCore(
            name="voipsync: a seldom run failed",
            description=f"Of deployments with the tag {EACH_FAILURE}.",
            trigger=EventTrigger(
                expect={f"prefect.flow-run.{name}" for name in ("Failed", "TimedOut", "Crashed")},
                match_related={
                    "prefect.resource.id": f"prefect.tag.{EACH_FAILURE}",
                    "prefect.resource.role": "tag",
                },
                threshold=1,
                within=timedelta(0),
            ),
            actions=[
                _send(block, f"{{{{ event.resource['prefect.resource.name'] }}}}: {_STATE}"),
            ],
        ),
        _dead(
            "voipsync: a run without heartbeat has crashed",
            {"prefect.flow-run.heartbeat", "prefect.flow-run.Running"},
            {"prefect.flow-run.heartbeat", *ENDED, *RESTING},
            LOST_SECONDS,
            f"no sign of life for {LOST_SECONDS} s: it died with its worker",
        ),
        _dead(
            "voipsync: a run that never started has crashed",
            {"prefect.flow-run.Pending"},
            {"prefect.flow-run.Running", *ENDED, *RESTING},
            PENDING_SECONDS,
            f"its worker took it, and did not start it within {PENDING_SECONDS} s",
        ),
    ]


def _alert(block: UUID | None, name: str, event: str, says: str) -> AutomationCore:
    """Hand one of our events on."""
    return AutomationCore(
        name=f"voipsync: {name}",
        description=f"One message for each event {event}.",
        trigger=EventTrigger(expect={event}, threshold=1, within=timedelta(0)),
        actions=[_send(block, says)],
    )


def _send(block: UUID | None, says: str) -> ActionTypes:
    if block is None:
        return DoNothing()
    return SendNotification(block_document_id=block, subject="voipsync", body=f"voipsync: {says}")


def _dead(name: str, after: set[str], expect: set[str], seconds: int, message: str) -> AutomationCore:
    """Call a run crashed that shows no sign of life, so that none is shown as running for ever."""
    return AutomationCore(
        name=name,
        description=f"{message[0].upper()}{message[1:]}.",
        trigger=EventTrigger(
            posture=Posture.Proactive,
            after=after,
            expect=expect,
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related={"prefect.resource.role": "flow", "prefect.resource.name": list(FLOWS)},
            for_each={"prefect.resource.id"},
            threshold=1,
            within=timedelta(seconds=seconds),
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message=message)],
    )
