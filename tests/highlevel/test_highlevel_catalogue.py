"""The catalogue against HighLevel's OpenAPI files, and against the client's methods."""

import inspect
import json
import re
from functools import cache
from pathlib import Path

import pytest

from tasks.errors import ConfigurationError
from tasks.highlevel.client import ContactsApi
from tasks.highlevel.operations import OPERATIONS
from tasks.highlevel.requests import api_names

SPECS = Path(__file__).parents[3] / "shared" / "specs"
needs_specs = pytest.mark.skipif(
    not SPECS.is_dir(), reason="HighLevel's OpenAPI files are not beside this clone"
)
FILES = ("contacts", "calendars", "locations", "users", "workflows")
NOT_IN_V3 = {"list-contacts"}
every_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=list(OPERATIONS))


@cache
def spec(suffix):
    """Every documented operation of one version: (method, path) → operation, with its file."""
    found = {}
    for name in FILES:
        document = json.loads((SPECS / f"{name}{suffix}.json").read_text(encoding="utf-8"))
        for path, methods in document["paths"].items():
            for method, described in methods.items():
                found[method.upper(), path] = (described, document)
    return found


def documented(operation, suffix):
    return spec(suffix)[operation.method, operation.path]


def body_schema(operation, suffix):
    described, document = documented(operation, suffix)
    reference = described["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    return document["components"]["schemas"][reference.rsplit("/", 1)[1]]


def cases(suffix):
    return [one for one in OPERATIONS.values() if not (suffix and one.name in NOT_IN_V3)]


both = pytest.mark.parametrize(
    ("operation", "suffix"),
    [pytest.param(one, suffix, id=f"{one.name}{suffix}") for suffix in ("", "-v3") for one in cases(suffix)],
)


@needs_specs
@both
def test_route_scope_and_version_are_as_documented(operation, suffix):
    described, _ = documented(operation, suffix)
    assert operation.scope in {
        scope for way in described["security"] for scopes in way.values() for scope in scopes
    }
    versions = next(p for p in described["parameters"] if p["name"] == "Version")["schema"]["enum"]
    assert versions == ["v3" if suffix else "2021-04-15" if operation.calendars else "2021-07-28"]


@needs_specs
@both
def test_query_and_location_are_as_documented(operation, suffix):
    described, _ = documented(operation, suffix)
    queries = {p["name"]: p.get("required") for p in described["parameters"] if p["in"] == "query"}
    assert set(operation.query) <= set(queries)
    assert ("locationId" in queries) == (operation.location == "query")
    assert ("{locationId}" in operation.path) == (operation.location == "path")


@needs_specs
@both
def test_body_is_as_documented(operation, suffix):
    described, _ = documented(operation, suffix)
    assert ("requestBody" in described) == (operation.request is not None)
    if operation.request is None or operation.name == "search-contacts":
        return
    schema = body_schema(operation, suffix)
    properties = set(schema.get("properties", {}))
    assert api_names(operation.request) <= properties
    assert ("locationId" in properties) == (operation.location == "body")
    ours = {
        field.alias or name for name, field in operation.request.model_fields.items() if field.is_required()
    }
    stricter = {"appointmentStatus"} if operation.name == "update-appointment" else set()
    assert ours == set(schema.get("required", [])) - {"locationId"} | stricter


@every_operation
def test_every_operation_has_a_method_that_returns_its_answer(operation):
    method = getattr(ContactsApi, operation.name.replace("-", "_"))
    source = re.sub(r"\s+", " ", inspect.getsource(method))
    assert f'_ask( answers.{operation.answer.__name__}, "{operation.name}"' in source.replace(
        "_ask(a", "_ask( a"
    )


@every_operation
def test_what_may_be_sent_twice(operation):
    assert operation.writes == (operation.method != "GET" and operation.name != "search-contacts")
    safe_posts = {"search-contacts", "add-tags"}
    assert operation.repeatable == (operation.method != "POST" or operation.name in safe_posts)


def test_the_catalogue_is_complete():
    routes = {f"{one.method} {one.path}" for one in OPERATIONS.values()}
    assert len(routes) == len(OPERATIONS) == 39
    assert len({one.summary for one in OPERATIONS.values()}) == 39


def test_sorting_out_what_a_person_gave():
    path, query, body = OPERATIONS["update-note"].sort_out({"contactId": "c", "id": 7, "body": "x"})
    assert (path, query, body) == ({"contactId": "c", "id": "7"}, {}, {"body": "x"})
    path, query, body = OPERATIONS["calendar-events"].sort_out({"startTime": "1", "calendarId": "k"})
    assert (path, query, body) == ({}, {"startTime": "1", "calendarId": "k"}, {})


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("get-note", {"contactId": "c"}, "get-note needs id"),
        ("get-note", {"contactId": "c", "id": "n", "x": 1}, r"takes no x \(it takes: contactId, id\)"),
        ("list-tags", {"locationId": "l"}, r"takes no locationId \(it takes: nothing\)"),
    ],
)
def test_what_cannot_be_sorted_out(name, values, message):
    with pytest.raises(ConfigurationError, match=message):
        OPERATIONS[name].sort_out(values)
