"""Which credential of an account is in force at each service, and how old it is; never its value.

A credential that the configuration names counts, else the stored one. An OAuth connection is configured but
lives by its tokens: the stored ones count before those that it began with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from tasks.ledger.credentials import (
    HIGHLEVEL_OAUTH,
    HIGHLEVEL_TOKEN,
    VOIPSTUDIO_KEY,
    VOIPSTUDIO_OAUTH,
    Credential,
    of_account,
)
from tasks.ledger.tables import runs
from tasks.settings import Account

DAY = 86_400.0
MENDS = {
    "voipstudio": "voipsync auth voipstudio login {account}",
    "highlevel": "voipsync auth highlevel connect {account}",
}
"""The command that obtains what is missing."""
OLD_DAYS = 90
"""Older keys and tokens are to be replaced (HighLevel docs, for its private integrations)."""
IDLE_LEFT = 0.25
"""The part of its idle time that a key must have left."""
GRANT_DAYS = 335
"""An unused refresh token ends after a year (HighLevel docs): this is said a month before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the credential of one account at one service stands.

    Attributes:
        account: whose.
        service: ``voipstudio`` or ``highlevel``.
        credential: its name, as of `tasks.ledger.credentials`.
        origin: ``configured``, ``stored`` or ``missing``.
        reference: where the configuration says that it is; a reference, never the value.
        about: what a stored one says of itself.
        created_at: since when a stored one is in force, UTC seconds.
        renewed_at: when it was last renewed.
        used_at: when a run of the account last started.
    """

    account: str
    service: str
    credential: str
    origin: str
    reference: str | None = None
    about: dict[str, Any]
    created_at: float | None = None
    renewed_at: float | None = None
    used_at: float | None = None

    @property
    def expires_at(self) -> float | None:
        """When it expires, as far as is known."""
        return self.about.get("expires_at")

    @property
    def idle_at(self) -> float | None:
        """When it falls idle if no run uses it until then."""
        idle = self.about.get("idle_seconds")
        if idle is None or self.renewed_at is None:
            return None
        return float(max(self.renewed_at, self.used_at or 0.0) + idle)

    @property
    def mend(self) -> str | None:
        """The command that obtains it where it is missing."""
        return MENDS[self.service].format(account=self.account) if self.origin == "missing" else None

    def as_json(self, now: float) -> dict[str, Any]:
        """What ``voipsync auth status --json`` shows; ``now``: the ledger's time."""
        age = None if self.created_at is None else (now - self.created_at) / DAY
        return {
            "account": self.account,
            "service": self.service,
            "credential": self.credential,
            "origin": self.origin,
            "reference": self.reference,
            "name": self.about.get("name"),
            "created_at": self.created_at,
            "renewed_at": self.renewed_at,
            "age_days": None if age is None else round(age, 1),
            "expires_at": self.expires_at,
            "idle_at": self.idle_at,
            "mend": self.mend,
        }


@dataclass(frozen=True, slots=True)
class Ageing:
    """A kept credential that is to be seen to, and what is to be done about it."""

    says: str
    remedy: str


def ageing(standing: Standing, now: float) -> Ageing | None:
    """Say what is to be said of a kept credential's age; of one in the configuration it is not known."""
    if standing.created_at is None:
        return None
    connect = f"`{MENDS[standing.service].format(account=standing.account)}`"
    if standing.credential.endswith("oauth"):
        if now - (standing.renewed_at or now) > GRANT_DAYS * DAY:
            return Ageing("it was not renewed for long", f"run {connect}")
        return None
    renew = (
        f"{connect} makes a new one and revokes this one"
        if standing.service == "voipstudio"
        else f"rotate it at HighLevel under Settings, Private Integrations, and give the new one to {connect}"
    )
    idle, ends = standing.about.get("idle_seconds"), standing.idle_at
    if idle and ends and ends - now < idle * IDLE_LEFT:
        return Ageing(
            f"it ends when it is not used for {idle / DAY:g} days, and no run used it for "
            f"{(now - ends + idle) / DAY:.0f}",
            f"let runs be scheduled more often; {renew}",
        )
    age = (now - standing.created_at) / DAY
    return Ageing(f"it is {age:.0f} days old, more than {OLD_DAYS}", renew) if age > OLD_DAYS else None


def standings(connection: Connection, name: str, account: Account) -> list[Standing]:
    """Return how an account's credentials stand: the source's, then the destination's."""
    stored = of_account(connection, name)
    used = connection.execute(select(func.max(runs.c.started_at)).where(runs.c.account == name)).scalar()

    def of(service: str, credential: str, *, begun: str | None = None, fixed: str | None = None) -> Standing:
        """``fixed``: the configuration's counts; ``begun``: the stored one does, once there is one."""
        known: Credential | None = None if fixed else stored.get(credential)
        origin = "stored" if known else "configured" if fixed or begun else "missing"
        return Standing(
            account=name,
            service=service,
            credential=credential,
            origin=origin,
            reference=fixed or (None if known else begun),
            about=known.about if known else {},
            created_at=known.created_at if known else None,
            renewed_at=known.renewed_at if known else None,
            used_at=used,
        )

    source, destination = account.source, account.destination
    if source.oauth and not source.api_key:
        ours = of("voipstudio", VOIPSTUDIO_OAUTH, fixed=source.oauth.client_secret)
    else:
        ours = of("voipstudio", VOIPSTUDIO_KEY, fixed=source.api_key)
    oauth = destination.oauth
    if oauth and not destination.token:
        theirs = of("highlevel", HIGHLEVEL_OAUTH, begun=oauth.refresh_token or oauth.access_token)
    else:
        theirs = of("highlevel", HIGHLEVEL_TOKEN, fixed=destination.token)
    return [ours, theirs]
