"""Which plan is to be applied, and whether it may be: unaltered, fresh, made for this; also from a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from tasks.engine.plan import Checksum, mapping_version
from tasks.errors import ConfigurationError, Fatal
from tasks.ledger import plans
from tasks.ledger.database import Database
from tasks.ledger.plans import Plan
from tasks.settings import Account

FORMAT = 1
LATEST = "latest"
"""Stands for the newest plan that was not applied yet."""


class Refused(Fatal):
    """A plan may not be applied; the text says why, and what to do."""


def choose(database: Database, name: str, account: Account, which: str) -> Plan:
    """Return the plan of an account that may be applied now.

    Raises:
        ConfigurationError: there is none of that id, or several; or it is of another account.
        Refused: it was altered, is too old, or was made with another mapping or for another location.
    """
    if which == LATEST:
        every = database.now_look(partial(plans.find, account=name, beginning=""))
        found = [one for one in every if one.state != plans.APPLIED][:1]
    else:
        found = database.now_look(partial(plans.find, account=name, beginning=which))
    if not found or not which:
        raise ConfigurationError(f"{name} has no plan {which!r}: `voipsync plan {name}` makes one")
    if len(found) > 1:
        several = ", ".join(one.id for one in found[:5])
        raise ConfigurationError(f"several plans of {name} begin with {which!r}: {several}")
    plan = found[0]
    if plan.state == plans.APPLIED:
        return plan
    anew = f"make a new one: `voipsync plan {name}`"
    about, destination = plan.about, account.destination
    if about.get("location_id") != destination.location_id:
        raise Refused(f"plan {plan.id} is for another location than accounts.{name}.destination says: {anew}")
    if about.get("mapping") != mapping_version(name, account):
        raise Refused(f"plan {plan.id} was made with another mapping than accounts.{name} has now: {anew}")
    hours = (database.now() - plan.created_at) / 3600
    begun = plan.state == plans.APPLYING  # what is left of it may have to wait for another day's quota
    if hours > (plans.KEPT_SECONDS / 3600 if begun else destination.plan_max_age_hours):
        raise Refused(
            f"plan {plan.id} is {hours:.1f} hours old, and accounts.{name}.destination.plan_max_age_hours "
            f"is {destination.plan_max_age_hours:g}: {anew}"
        )
    if database.now_look(partial(_checksum, plan=plan)) != plan.checksum:
        raise Refused(f"plan {plan.id} was altered since it was made: {anew}")
    return plan


def _checksum(connection: Any, plan: Plan) -> str:  # noqa: ANN401 - a connection
    summed = Checksum()
    for row in plans.walk(connection, plan.id):
        summed.add(row.item)
    return summed.whole(plan)


def exported(database: Database, plan: Plan, **more: str) -> Iterator[str]:
    """Return a plan, and what more is said of it, as the pieces of one JSON document, item after item."""
    head = {
        "voipsync_plan": FORMAT,
        "id": plan.id,
        "account": plan.account,
        "kind": plan.kind,
        "created_at": plan.created_at,
        "checksum": plan.checksum,
        "about": dict(plan.about),
        **more,
    }
    yield json.dumps(head, ensure_ascii=False)[:-1] + ', "items": ['
    after, first = -1, True
    while block := database.now_look(partial(plans.items, plan_id=plan.id, after=after)):
        for row in block:
            yield ("\n" if first else ",\n") + json.dumps(row.item, ensure_ascii=False)
            first = False
        after = block[-1].number
    yield "\n]}\n"


def imported(database: Database, name: str, path: Path) -> str:
    """Take an exported plan into the ledger, where it is not there already; return its id.

    Raises:
        ConfigurationError: it is no exported plan, or another account's.
        Refused: it was altered.
    """
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        plan = Plan(
            id=kept["id"],
            account=kept["account"],
            kind=kept["kind"],
            state=plans.MADE,
            created_at=kept["created_at"],
            checksum=kept["checksum"],
            about=dict(kept["about"]),
        )
        items = [(item["bundle"]["contact_id"], item) for item in kept["items"]]
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise ConfigurationError(f"{path} is no plan that `voipsync plan --out` wrote") from None
    if plan.account != name:
        raise ConfigurationError(f"{path} is a plan of {plan.account}, not of {name}")
    summed = Checksum()
    for _, item in items:
        summed.add(item)
    known = database.now_look(partial(plans.get, plan_id=plan.id))
    if summed.whole(plan) != plan.checksum or (known and known.checksum != plan.checksum):
        raise Refused(f"{path} was altered since it was written: make a new plan: `voipsync plan {name}`")
    if known is None:

        def take_in(connection: Any) -> None:  # noqa: ANN401 - a connection
            plans.begin(connection, replace(plan, state=plans.MAKING))
            plans.add(connection, plan.id, 0, items)
            plans.finish(connection, plan)

        database.now_do(take_in)
    return plan.id
