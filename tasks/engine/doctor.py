"""``voipsync doctor``: looks whether all is well that runs need, and says what to do where it is not.

Nothing is written at either service. Each check survives the failure of the others and has a time limit;
what it needs of another one that failed, it says and leaves to that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable, Mapping
from contextlib import closing

from sqlalchemy import create_engine

from tasks.engine.checks import location, services
from tasks.engine.checks.finding import Finding, NotKnown, Verdict
from tasks.engine.checks.subject import Check, Subject
from tasks.errors import LedgerUnavailable, VoipsyncError
from tasks.ledger import keys_used, migrate
from tasks.ledger.clock import ask
from tasks.ledger.database import Database, open_engine
from tasks.ledger.sealing import Sealer, bound
from tasks.settings import Settings

log = logging.getLogger(__name__)

CHECK_SECONDS = 25.0
"""How long one check may take: longer than the transport waits for a service that is silent."""
CHECKS: Mapping[str, tuple[Check, str]] = {
    "voipstudio credential": (
        services.source_credential,
        "check accounts.{account}.source, or run `voipsync auth voipstudio login {account}`",
    ),
    "voipstudio streams": (
        services.source_streams,
        "give the user whose key this is the right to read contacts and what hangs on them",
    ),
    "voipstudio clock": (services.clock_of("VoIPstudio"), "check the network"),
    "highlevel credential": (
        services.destination_credential,
        "check accounts.{account}.destination, or run `voipsync auth highlevel connect {account}`",
    ),
    "highlevel location": (services.destination_location, "check accounts.{account}.destination.location_id"),
    "highlevel scopes": (services.destination_scopes, "check the scopes of the private integration or app"),
    "highlevel clock": (services.clock_of("HighLevel"), "check the network"),
    "rate limit": (services.rate_limit, "wait, or find who else uses the location"),
    "duplicates": (location.duplicates, "run this again"),
    "custom fields": (location.custom_fields, "run this again"),
    "mapping": (location.mapping, "run this again"),
    "calendar": (location.calendar, "run this again"),
}
"""The checks of an account, in order, each with what to do where it fails as it does not expect to."""


async def examine(settings: Settings, names: Iterable[str]) -> list[Finding]:
    """Return what there is to say of the database and of these accounts.

    Raises:
        ConfigurationError: the database's URL is none.
    """
    database, trouble = _opened(settings)
    with closing(database):
        verdict = trouble or await _limited(_database(database), "check state.url")
        usable = verdict.result == "ok"
        subjects = [Subject(name, settings, database, usable=usable) for name in names]
        try:
            found = await asyncio.gather(*(_account(subject) for subject in subjects))
        finally:
            await asyncio.gather(*(subject.close() for subject in subjects))
    return [Finding.of(None, "database", verdict), *(one for several in found for one in several)]


async def try_out(settings: Settings, name: str, checks: Iterable[str]) -> list[Finding]:
    """Return what some of the checks say of one account, without a ledger."""
    with closing(Database(create_engine("sqlite://"))) as database:
        subject = Subject(name, settings, database, usable=False)
        try:
            return [
                Finding.of(
                    name, one, await _limited(CHECKS[one][0](subject), CHECKS[one][1].format(account=name))
                )
                for one in checks
            ]
        finally:
            await subject.close()


async def calendars(settings: Settings, name: str) -> dict[str, str]:
    """Return the calendars of an account's location, by id; nothing where they cannot be had."""
    tried = settings.account(name)
    unknown = tried.destination.model_copy(update={"calendar_id": "unknown"})
    one = settings.model_copy(update={"accounts": {name: tried.model_copy(update={"destination": unknown})}})
    with closing(Database(create_engine("sqlite://"))) as database:
        subject = Subject(name, one, database, usable=False)
        try:
            return {found.id: found.name or "" for found in await subject.own("calendars")}
        except VoipsyncError:
            return {}
        finally:
            await subject.close()


async def _account(subject: Subject) -> list[Finding]:
    verdicts = await asyncio.gather(
        *(_limited(check(subject), remedy.format(account=subject.name)) for check, remedy in CHECKS.values())
    )
    return [Finding.of(subject.name, check, verdict) for check, verdict in zip(CHECKS, verdicts, strict=True)]


async def _limited(checking: Awaitable[Verdict], remedy: str) -> Verdict:
    """Await a check; whatever becomes of it is a verdict."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await checking
    except NotKnown as error:
        return Verdict("warning", "not known", f"see to the check {error.other!r} first")
    except VoipsyncError as error:
        return Verdict("wrong", str(error), remedy)
    except TimeoutError:
        return Verdict("wrong", f"no answer within {CHECK_SECONDS:.0f} s", remedy)
    except Exception as error:  # a check that breaks must not hide the others
        log.debug("a check broke", exc_info=True)
        failed = f"the check itself failed ({type(error).__name__})"
        return Verdict("wrong", failed, "this is a defect of voipsync: report it")


def _opened(settings: Settings) -> tuple[Database, Verdict | None]:
    """The ledger's database; where it cannot be opened, an empty one and the reason."""
    try:
        return Database(open_engine(settings.state.url, Sealer.of_ledger(settings.state))), None
    except LedgerUnavailable as error:
        stand_in = Database(create_engine("sqlite://"))
        return stand_in, Verdict("wrong", str(error), "check state.url and who may write there")


async def _database(database: Database) -> Verdict:
    await database.look(ask)
    level = await database.look(migrate.level)
    place = database.engine.url.get_backend_name()
    if level is None:
        return Verdict(
            "warning",
            f"the ledger ({place}) is empty",
            "run `voipsync db upgrade`; the first run does it, too",
        )
    if level < migrate.HEAD:
        return Verdict(
            "warning",
            f"the ledger ({place}) is at revision {level}, older than {migrate.HEAD}",
            "run `voipsync db upgrade`; any run does it, too",
        )
    if level > migrate.HEAD:
        return Verdict(
            "wrong",
            f"the ledger ({place}) is at revision {level}, which a newer voipsync made",
            "update this voipsync",
        )
    await database.look(keys_used.compare)
    sealed = bound(database.engine.dialect) is not None
    kept = "encrypted" if sealed else "in clear, for state.encryption_keys has no key"
    return Verdict(
        "ok", f"the ledger ({place}) can be used and is at revision {level}; personal data in it is {kept}"
    )
