"""Checks requests and answers against HighLevel's published OpenAPI files.

The files are Nest's output and need reading with care: a property typed ``object`` without properties whose
example is no object may be anything; ``nullable`` is OpenAPI 3.0's; no ``additionalProperties`` is declared
anywhere, while the service itself refuses unknown ones: in requests they are problems here, in answers not.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

ABSENT = "HighLevel's OpenAPI files are not here (../shared/specs)"
SPECS = Path(__file__).resolve().parents[3] / "shared" / "specs"
FORM = "application/x-www-form-urlencoded"


@lru_cache(maxsize=8)
def _documents(specs_dir: Path, *, v3: bool) -> tuple[dict[str, Any], ...]:
    files = sorted(
        path
        for path in specs_dir.glob("*.json")
        if path.stem.endswith("-v3") == v3 and not path.stem.startswith(("common-", "request-"))
    )
    common = {path.name: json.loads(path.read_text()) for path in specs_dir.glob("common-schemas*.json")}
    documents = []
    for path in files:
        document = json.loads(path.read_text())
        document["_common"] = common
        documents.append(document)
    return tuple(documents)


def find_operation(
    specs_dir: Path | str, version: str, method: str, path: str
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The (document, operation) of a request in the files of its version; literal segments win."""
    parts = path.strip("/").split("/")
    best: tuple[list[bool], dict[str, Any], dict[str, Any]] | None = None
    for document in _documents(Path(specs_dir), v3=version == "v3"):
        for template, methods in document["paths"].items():
            segments = template.strip("/").split("/")
            if len(segments) != len(parts) or method.lower() not in methods:
                continue
            if all(
                ours.startswith("{") or ours == theirs for ours, theirs in zip(segments, parts, strict=True)
            ):
                rank = [segment.startswith("{") for segment in segments]
                if best is None or rank < best[0]:
                    best = rank, document, methods[method.lower()]
    return None if best is None else (best[1], best[2])


def _resolve(document: dict[str, Any], reference: str) -> dict[str, Any]:
    file, _, pointer = reference.partition("#/")
    node: Any = document["_common"][Path(file).name] if file else document
    for part in pointer.split("/"):
        node = node[part]
    return node


def to_json_schema(document: dict[str, Any], schema: dict[str, Any], *, closed: bool) -> dict[str, Any]:
    """An OpenAPI 3.0 schema as JSON Schema; ``closed`` forbids what is not named."""
    if "$ref" in schema:
        return to_json_schema(document, _resolve(document, schema["$ref"]), closed=closed)
    nullable = schema.get("nullable", False)
    for combination in ("anyOf", "oneOf", "allOf"):
        if combination in schema:
            parts = [to_json_schema(document, part, closed=closed) for part in schema[combination]]
            if combination == "allOf":
                return _or_null(_merged(parts), nullable=nullable)
            return _or_null({"anyOf": parts}, nullable=nullable)
    result: dict[str, Any] = {key: schema[key] for key in ("enum", "maxLength", "minLength") if key in schema}
    kind, properties = schema.get("type"), schema.get("properties")
    if properties:
        result["type"] = "object"
        result["properties"] = {
            name: to_json_schema(document, part, closed=closed) for name, part in properties.items()
        }
        if schema.get("required"):
            result["required"] = schema["required"]
        if closed and not schema.get("additionalProperties"):
            result["additionalProperties"] = False
    elif kind == "array":
        result["type"] = "array"
        result["items"] = to_json_schema(document, schema.get("items") or {}, closed=closed)
    elif kind == "object":
        if isinstance(schema.get("example", {}), dict):
            result["type"] = "object"
    elif kind:
        result["type"] = kind
    return _or_null(result, nullable=nullable)


def _or_null(schema: dict[str, Any], *, nullable: bool) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]} if nullable else schema


def _merged(parts: list[dict[str, Any]]) -> dict[str, Any]:
    if len(parts) == 1:
        return parts[0]
    merged: dict[str, Any] = {"type": "object", "properties": {}, "required": []}
    for part in parts:
        merged["properties"].update(part.get("properties", {}))
        merged["required"] += part.get("required", [])
        if "additionalProperties" in part:
            merged["additionalProperties"] = part["additionalProperties"]
    return merged


def _problems(schema: dict[str, Any], value: Any, where: str) -> list[str]:
    errors = sorted(Draft202012Validator(schema).iter_errors(value), key=lambda error: error.json_path)
    return [f"{where}{error.json_path[1:]}: {error.message[:300]}" for error in errors]


def _typed(text: str, schema: dict[str, Any]) -> Any:
    kind = schema.get("type")
    if kind in ("number", "integer") and re.fullmatch(r"-?\d+(\.\d+)?", text):
        return float(text) if "." in text else int(text)
    if kind == "boolean" and text in ("true", "false"):
        return text == "true"
    return text


def _query_problems(
    document: dict[str, Any], operation: dict[str, Any], query: dict[str, list[str]]
) -> list[str]:
    parameters = {item["name"]: item for item in operation.get("parameters", []) if item["in"] == "query"}
    problems = [
        f"query: {name} is required"
        for name, item in parameters.items()
        if item.get("required") and name not in query
    ]
    for name, values in query.items():
        item = parameters.get(name) or parameters.get(name.removesuffix("[]"))
        if item is None:
            problems.append(f"query: {name} is not a parameter")
            continue
        schema = to_json_schema(document, item.get("schema", {}), closed=True)
        given = values if schema.get("type") == "array" else _typed(values[0], schema)
        problems += _problems(schema, given, f"query.{name}")
    return problems


def validate_request(specs_dir: Path | str, request: dict[str, Any]) -> list[str]:
    """What is wrong with a request that the sandbox recorded (method, path, query, headers, body)."""
    method, path, version = request["method"], request["path"], request["headers"].get("version", "")
    if path == "/oauth/token" and not version:
        version = "2021-07-28"  # the one operation that may go without
    if not version:
        return [f"{method} {path}: no Version header"]
    found = find_operation(specs_dir, version, method, path)
    if found is None:
        return [f"{method} {path}: not in the files of version {version}"]
    document, operation = found
    problems = []
    for item in operation.get("parameters", []):
        allowed = item.get("schema", {}).get("enum", [version])
        if item["in"] == "header" and item["name"] == "Version" and version not in allowed:
            problems.append(f"header: Version {version} is not one of {allowed}")
    problems += _query_problems(document, operation, request.get("query") or {})
    problems += _body_problems(document, operation, request.get("body"), request["headers"])
    return [f"{method} {path}: {problem}" for problem in problems]


def _body_problems(
    document: dict[str, Any], operation: dict[str, Any], body: Any, headers: dict[str, str]
) -> list[str]:
    declared = operation.get("requestBody")
    if declared is None:
        return [] if body in (None, {}) else ["body: none is declared"]
    contents = declared["content"]
    kind = headers.get("content-type", "application/json").partition(";")[0]
    if body is None and not declared.get("required"):
        return []
    if body is not None and kind not in contents:
        return [f"body: content type {kind} is not one of {sorted(contents)}"]
    schema = to_json_schema(document, next(iter(contents.values())).get("schema", {}), closed=True)
    if body is None and not schema.get("required"):
        return []  # an empty object is declared; the service does not ask for it
    return _problems(schema, body, "body")


def validate_response(
    specs_dir: Path | str, version: str, method: str, path: str, status: int, body: Any
) -> list[str] | None:
    """What is wrong with an answer; None where no schema is published for it."""
    found = find_operation(specs_dir, version, method, path)
    if found is None:
        return [f"{method} {path}: not in the files of version {version}"]
    document, operation = found
    responses = operation["responses"]
    declared = responses.get(str(status))
    if declared is None:
        return [f"{method} {path}: status {status} is not one of {sorted(responses)}"]
    schema = next(iter(declared.get("content", {}).values()), {}).get("schema")
    if not schema:
        return None
    problems = _problems(to_json_schema(document, schema, closed=False), body, "answer")
    return [f"{method} {path} {status}: {problem}" for problem in problems]
