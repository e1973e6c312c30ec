"""A plan's items survive as JSON, whatever they hold."""

from __future__ import annotations

import json

from tasks.engine.plan_items import Item
from tasks.engine.shape import Bundle
from tasks.mapping.desired import Desired, Refused, Skipped


def test_an_item_comes_back_as_it_was():
    bundle = Bundle(
        "7",
        Desired("contacts", "7", None, {"email": "a@example.com", "tags": ["x"]}, ("invalid_phone",)),
        {
            "notes": [
                Desired("notes", "7/1", "7", {"body": "Said"}),
                Refused("notes", "7/2", "7", "wrong", "body: is no text"),
            ],
            "tasks": [Skipped("tasks", "7/3", "7", "empty")],
        },
        {("contacts", "7"): "f", ("notes", "7/1"): "g"},
    )
    item = Item(bundle, release=(("contacts", "7"),), part=(("notes", "7/9"),))
    assert Item.from_json(json.loads(json.dumps(item.as_json()))) == item


def test_an_item_may_be_about_deletions_alone():
    item = Item(Bundle("7"), part=(("contacts", "7"), ("contacts", "8")))
    assert Item.from_json(json.loads(json.dumps(item.as_json()))) == item
