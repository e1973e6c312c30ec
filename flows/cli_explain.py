"""``voipsync explain``: a record's story, from the ledger alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click

from flows.cli_options import config, json_option
from tasks import settings as configuration


def _entity(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    from tasks.engine.explain import WORDS  # noqa: PLC0415 - SQLAlchemy, only where it is used

    if value.lower() not in WORDS:
        raise click.BadParameter(f"{value}: choose from {', '.join(dict.fromkeys(WORDS.values()))}")
    return WORDS[value.lower()]


@click.command()
@click.argument("account")
@click.argument("entity", callback=_entity)
@click.argument("source_id")
@json_option
@config
def explain(account: str, entity: str, source_id: str, *, as_json: bool) -> None:
    """Tell what was decided about one record of ACCOUNT, and why.

    ENTITY is contact, note, task or appointment, SOURCE_ID its id in VoIPstudio; an activity's id is its
    contact's and its own, such as 7/3. Values are shown in full.
    """
    settings = configuration.load()
    settings.account(account)
    from tasks.engine.explain import story  # noqa: PLC0415 - SQLAlchemy, after the configuration is read

    told = story(account, settings, entity, source_id)
    if as_json:
        click.echo(json.dumps(told, ensure_ascii=False))
    else:
        click.echo("\n".join(_lines(told)))


def _lines(told: Mapping[str, Any]) -> list[str]:
    place = f", {told['destination_id']} in HighLevel" if told["destination_id"] else ""
    lines = [f"{told['account']}: {told['entity']} {told['source_id']}: {told['state']}{place}"]
    if told["state"] == "forgotten":
        lines.append("  it was never delivered, vanished at the source, and only its history is left")
    else:
        walk = f", last met by walk {told['last_walk']}" if told["last_walk"] else ""
        lines.append(f"  first seen {_instant(told['first_seen_at'])}{walk}")
    if told["mapped"]:
        lines.append("mapped")
        for one in told["mapped"]:
            lines.append(f"  {one['field']} = {_value(one['value'])}")
            lines.append(f"    from {one['from']} ({one['policy']})")
    lines.append("history")
    for step in told["history"]:
        lines += _step(step)
    if not told["history"]:
        days = told["history_days"]
        kept = f"writes are kept for {days} days" if days else "state.history_days is 0, so none is kept"
        lines.append(f"  nothing ({kept})")
    if told.get("sent"):
        lines.append(
            f"  {_instant(told['sent']['at'])} {told['sent']['operation']} sent; no outcome recorded yet"
        )
    if told["activities"]:
        lines.append("activities")
        for entity, states in told["activities"].items():
            lines.append(f"  {entity}: " + ", ".join(f"{number} {state}" for state, number in states.items()))
    if told["open"]:
        lines += ["now", *(f"  {one}" for one in told["open"])]
    return lines


def _step(step: Mapping[str, Any]) -> list[str]:
    run = f"{step['run'] or 'run'} {step['run_id']}"
    code = " ".join(str(one) for one in (step["reason"], step["status"] and f"HTTP {step['status']}") if one)
    lines = [f"  {_instant(step['at'])} {step['says']}" + (f" ({code})" if code else "") + f", by {run}"]
    if step["why"]:
        lines.append(f"    why: {step['why']}")
    if step["action"] == "route":
        return lines
    before, after = step["before"] or {}, step["after"] or {}
    for name in dict.fromkeys([*before, *after]):
        if name == "tags" and step["before"] and "tags" in before:
            tags = [
                *(f"-{tag}" for tag in before["tags"] or ()),
                *(f"+{tag}" for tag in after.get("tags") or ()),
            ]
            lines.append(f"    tags: {' '.join(tags)}")
        elif step["before"] is None or step["after"] is None:
            lines.append(f"    {name}: {_value(after.get(name, before.get(name)))}")
        else:
            lines.append(f"    {name}: {_value(before.get(name))} → {_value(after.get(name))}")
    return lines


def _value(value: object) -> str:
    return "nothing" if value in (None, "", []) else json.dumps(value, ensure_ascii=False)


def _instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")
