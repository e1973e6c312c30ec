"""Checks of the credentials at both services, of what they are allowed, of clocks and rate limit."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

from tasks.engine.checks.finding import NotKnown, Verdict, listed
from tasks.engine.checks.subject import ELSEWHERE, LACKS_SCOPE, READS, Check, Subject
from tasks.engine.keyring import DAY, MENDS, Standing, ageing
from tasks.errors import Unauthorized, VoipsyncError
from tasks.highlevel.daily import number
from tasks.highlevel.scopes import needed_scopes

DRIFT_SECONDS, WRONG_SECONDS = 30.0, 300.0
LOW = 0.1
"""The part of the day's requests under which headroom is called low."""


async def source_credential(subject: Subject) -> Verdict:
    """Present, accepted, not old, and used often enough."""
    await subject.own("ping")
    return _aged(subject, "VoIPstudio takes the credential", await subject.standing("voipstudio"))


async def source_streams(subject: Subject) -> Verdict:
    """What the key's user may read."""
    await subject.borrowed("ping")
    total, there = await subject.own("streams")
    streams = subject.account.source.streams
    missing = [name for name, found in there.items() if not found]
    contacts = "contacts" if total is None else f"{total:,} contact{'' if total == 1 else 's'}"
    if wrong := [name for name in missing if getattr(streams, name) == "on"]:
        return Verdict(
            "wrong",
            f"{contacts} can be read, but this account has no {listed(wrong)}",
            " and ".join(f'set {subject.where}.source.streams.{name} = "auto" or "off"' for name in wrong),
        )
    if missing:
        return Verdict(
            "ok", f"{contacts} can be read; no {listed(missing)} there: contacts' own fields stand in"
        )
    return Verdict("ok", f"{contacts} can be read" + (f", and {listed(list(there))}" if there else ""))


async def destination_credential(subject: Subject) -> Verdict:
    """Present, accepted, not old."""
    try:
        await subject.own("location")
    except Unauthorized as error:
        if not (LACKS_SCOPE.search(str(error)) or ELSEWHERE.search(str(error))):
            raise
    return _aged(subject, "HighLevel takes the credential", await subject.standing("highlevel"))


async def destination_location(subject: Subject) -> Verdict:
    """The credential is for the configured location."""
    try:
        location = await subject.own("location")
    except VoipsyncError as error:
        if ELSEWHERE.search(str(error)):
            return Verdict("wrong", str(error), f"check {subject.where}.destination.location_id")
        raise subject.not_known("location", error) from None
    if location.id != subject.account.destination.location_id:
        return Verdict(
            "wrong",
            f"HighLevel answers with location {location.id}",
            f"check {subject.where}.destination.location_id",
        )
    return Verdict("ok", f"the credential is for location {location.id}")


async def destination_scopes(subject: Subject) -> Verdict:
    """The credential may do what the streams that are on need."""
    needed = needed_scopes(subject.account)
    try:
        await subject.own("location")
    except VoipsyncError as error:
        if not LACKS_SCOPE.search(str(error)):
            raise subject.not_known("location", error) from None
    standing = await subject.standing("highlevel")
    told = standing.about.get("scopes") if standing else None
    if told:
        lacking = [scope for scope in needed if scope not in told]
        return _scopes(subject, lacking, f"has all it needs: {listed(needed)}", [])
    lacking, unclear = list[str](), list[str]()
    for scope, read in READS.items():
        if scope not in needed:
            continue
        try:
            await subject.own(read)
        except Unauthorized as error:
            (lacking if LACKS_SCOPE.search(str(error)) else unclear).append(scope)
        except VoipsyncError:
            unclear.append(scope)
    writes = [scope for scope in needed if scope not in READS]
    has = f"can read all it needs; whether it can write ({listed(writes)}) cannot be tried without writing"
    return _scopes(subject, lacking, has, unclear)


def clock_of(service: str) -> Check:
    """The check of one service's clock against ours."""

    async def clock(subject: Subject) -> Verdict:
        asked, owner = ("ping", "voipstudio") if service == "VoIPstudio" else ("location", "highlevel")
        with suppress(VoipsyncError):  # a refusal has a date, too
            await subject.own(asked)
        ear = subject.ears[service]
        if (ahead := ear.ahead) is None:
            raise NotKnown("database" if "date" in ear.headers else f"{owner} credential")
        if abs(ahead) <= DRIFT_SECONDS:
            return Verdict("ok", f"{service}'s clock and ours agree")
        how = f"{service}'s clock is {abs(ahead):,.0f} s {'ahead of' if ahead > 0 else 'behind'} ours"
        return Verdict(
            "wrong" if abs(ahead) > WRONG_SECONDS else "warning",
            how,
            "let NTP set the clocks of the database's machine and of this one (timedatectl set-ntp true)",
        )

    return clock


async def rate_limit(subject: Subject) -> Verdict:
    """What is left of the day's requests and of the window."""
    settings = subject.account.destination.quota
    with suppress(VoipsyncError):  # a refusal has the headers, too
        await subject.own("location")
    headers = subject.ears["HighLevel"].headers
    limit = number(headers, "x-ratelimit-limit-daily", least=1)
    left = number(headers, "x-ratelimit-daily-remaining", least=0)
    most = number(headers, "x-ratelimit-max", least=1)
    if not headers:
        raise NotKnown("highlevel credential")
    if limit is None or left is None:
        return Verdict("ok", "HighLevel does not say how many requests are left")
    window = f", {most:,} in a window" if most else ""
    told = f"{left:,} of the day's {limit:,} requests are left{window}"
    if left <= settings.daily_reserve:
        where = f"{subject.where}.destination.quota.daily_reserve"
        return Verdict(
            "wrong",
            f"{told}: runs end at the reserve of {settings.daily_reserve:,}",
            f"wait for the next day, find who else uses the location, or lower {where}",
        )
    if left < limit * LOW:
        return Verdict("warning", told, "find who else uses the location, or sync less often")
    return Verdict("ok", told)


def _scopes(subject: Subject, lacking: list[str], has: str, unclear: list[str]) -> Verdict:
    app = subject.account.destination.oauth is not None and subject.account.destination.token is None
    if lacking:
        mend = f"`{MENDS['highlevel'].format(account=subject.name)}`" if app else "the private integration"
        remedy = f"add them to the app, then {mend}" if app else f"add them to {mend}"
        return Verdict("wrong", f"the credential lacks the scopes {listed(lacking)}", remedy)
    if unclear:
        return Verdict(
            "warning",
            f"whether the credential has the scopes {listed(unclear)} could not be found out",
            "run this again; the other checks may say more",
        )
    return Verdict("ok", f"the credential {has}")


def _aged(subject: Subject, accepted: str, standing: Standing | None) -> Verdict:
    """How old an accepted credential is, as far as is known."""
    if standing is None or standing.created_at is None:
        return Verdict("ok", f"{accepted} of the configuration; its age is not known here")
    now = subject.now()
    accepted = f"{accepted} that is kept"
    if aged := ageing(standing, now):
        return Verdict("warning", f"{accepted}; but {aged.says}", aged.remedy)
    if standing.credential.endswith("oauth"):
        until = f", the present token until {_moment(standing.expires_at)}" if standing.expires_at else ""
        return Verdict("ok", f"{accepted} and renewed by itself{until}")
    idle = standing.about.get("idle_seconds")
    lasts = f", and ends when no run uses it for {idle / DAY:g} days" if idle else ""
    return Verdict("ok", f"{accepted}; it is {(now - standing.created_at) / DAY:.0f} days old{lasts}")


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
