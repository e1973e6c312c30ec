"""Traces and metrics arrive where the standard variables say, and tell nothing of anybody."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from sandbox.serve import Sandbox
from tasks import telemetry
from tasks.errors import ConfigurationError
from tasks.highlevel.operations import OPERATIONS
from tests.support.accounts import sync


class Collector(BaseHTTPRequestHandler):
    """Takes what is exported, as an OpenTelemetry collector does."""

    got: dict[str, list[bytes]]

    def do_POST(self):
        self.got.setdefault(self.path, []).append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def collected(monkeypatch) -> Iterator[dict[str, list[bytes]]]:
    monkeypatch.setattr(Collector, "got", {}, raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    yield Collector.got
    telemetry.stop()
    server.shutdown()
    thread.join()
    server.server_close()


def values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


async def test_a_runs_spans_and_metrics_arrive(collected, tmp_path):
    with Sandbox.threaded(contacts=30, burst=5000) as box:
        report = await sync(box, f"sqlite:///{tmp_path}/ledger.db")
        people = {row["email"] for row in box.source("contacts")} | {
            row["body"] for row in box.source("notes")
        }
        ids = {row["id"] for row in box.contacts()} | {box.location_id, box.token, box.api_key}
    telemetry.answered("VoIPstudio", 429)
    telemetry.stop()
    exported = [ExportTraceServiceRequest.FromString(one) for one in collected["/v1/traces"]]
    (resource,) = {tuple(values(one.resource_spans[0].resource.attributes).items()) for one in exported}
    assert dict(resource)["service.name"] == "voipsync"
    spans = [
        span
        for one in exported
        for by_resource in one.resource_spans
        for by_scope in by_resource.scope_spans
        for span in by_scope.spans
    ]
    by_id = {span.span_id: span for span in spans}
    (run,) = [span for span in spans if span.name == "run sync"]
    about = {"voipsync.run": report.run_id, "voipsync.account": "acme", "voipsync.kind": "sync"}
    assert values(run.attributes) == about
    steps = {span.name for span in spans if span.parent_span_id == run.span_id}
    assert steps == {"prepare", "read", "map", "write", "finish", "conclude"}
    (create, *_) = [span for span in spans if span.name == "POST /contacts/"]
    assert by_id[create.parent_span_id].name == "write"
    assert values(create.attributes)["http.response.status_code"] == 201
    assert {"GET /contacts/{id}/notes", "POST /contacts/{id}/notes"} <= {span.name for span in spans}

    points = measured(collected["/v1/metrics"])
    sent = report.requests["destination_reads"] + report.requests["destination_writes"]
    assert sum(points["voipsync.requests", "service", "HighLevel"]) == sent
    assert points["voipsync.throttled", "service", "VoIPstudio"] == [1]
    created = report.entities["contacts"]["created"]
    assert created in points["voipsync.records", "outcome", "created"]
    assert points["voipsync.quota.left", "account", "acme"][0] < 200_000
    assert points["voipsync.run.duration", "status", "ok"] == [1]

    everything = b"".join(one for got in collected.values() for one in got).decode("utf-8", "replace")
    assert [one for one in people | ids if one and len(one) > 6 and one in everything] == []


def measured(exports: list[bytes]) -> dict[tuple[str, str, str], list[float]]:
    """(metric, attribute, its value) → the values of those points."""
    found: dict[tuple[str, str, str], list[float]] = {}
    last = ExportMetricsServiceRequest.FromString(exports[-1])
    for metric in last.resource_metrics[0].scope_metrics[0].metrics:
        data = getattr(metric, metric.WhichOneof("data"))
        for point in data.data_points:
            value = point.count if hasattr(point, "count") else getattr(point, point.WhichOneof("value"))
            for key, named in values(point.attributes).items():
                found.setdefault((metric.name, key, named), []).append(value)
    return found


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=lambda one: one.name)
def test_a_route_holds_no_id(operation):
    names = dict.fromkeys([*operation.path_names, "locationId"], "ve9EPM428h8vShlRW1KT")
    masked = operation.path.format_map(dict.fromkeys(names, "{id}"))
    assert telemetry.route(operation.path.format_map(names)) == masked


def test_a_route_of_the_source_holds_no_id_and_no_query():
    assert telemetry.route("contacts/1234/notes?page=2&email=a%40b.c") == "/contacts/{id}/notes"
    assert telemetry.route("contacts/abcdefghijklmnopqrst") == "/contacts/{id}"


@pytest.mark.parametrize(
    ("env", "where"),
    [
        ({}, "none"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, "otlp"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x/v1/traces"}, "otlp"),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://x/v1/metrics"}, "none"),
        ({"OTEL_TRACES_EXPORTER": "console"}, "console"),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, "none"),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, "none"),
    ],
)
def test_the_standard_variables_count(monkeypatch, env, where):
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert telemetry.exporter("traces") == where


@pytest.mark.parametrize(
    ("name", "value"), [("OTEL_TRACES_EXPORTER", "jaeger"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]
)
def test_what_is_not_there_is_refused(monkeypatch, name, value):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://x")
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=name):
        telemetry.start()


def test_without_the_variables_nothing_is_imported():
    program = (
        "import sys, tasks.engine.steps, tasks.telemetry as t; t.start()\n"
        "with t.request('GET', 'x', 'y') as tell: tell(200)\n"
        "sys.exit('opentelemetry.sdk' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0


def test_a_collector_that_is_not_there_holds_nobody_up(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    telemetry.start()
    with telemetry.span("x"):
        telemetry.answered("HighLevel", 200)
    began = time.monotonic()
    telemetry.stop()
    assert time.monotonic() - began < 10
