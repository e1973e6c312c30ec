"""Traces and metrics by OpenTelemetry, where its standard variables ask for them.

``OTEL_EXPORTER_OTLP_ENDPOINT`` sends both to a collector (OTLP over HTTP); ``OTEL_TRACES_EXPORTER`` and
``OTEL_METRICS_EXPORTER`` choose (``otlp``, ``console``, ``none``), ``OTEL_SDK_DISABLED=true`` switches it
off; the exporters' other variables count as documented by OpenTelemetry.

Spans are named after runs, steps and routes; neither they nor metrics hold an id of a record, a query or a
person. Without the variables nothing of OpenTelemetry is imported. What cannot be sent is dropped: a run goes
on without its collector, and at its end waits seconds for it (``OTEL_EXPORTER_OTLP_TIMEOUT``, 2 by default).
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from functools import partial, wraps
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from tasks.errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter
    from opentelemetry.trace import Span, Tracer

P = ParamSpec("P")
R = TypeVar("R")
_EXPORTERS = ("otlp", "console", "none")
_WORD = re.compile(r"(?:[a-z]+(?:[-_][a-z]+|[A-Z][a-z]{3,})*|v\d+(?:\.\d+)?)?")
_WORD_LENGTH = 16
_PATIENCE_SECONDS = 2.0
_REFUSED, _THROTTLED, _BROKEN = 400, 429, 500


def exporter(signal: str) -> str:
    """Where ``traces`` or ``metrics`` go, by the standard variables.

    Raises:
        ConfigurationError: they ask for what is not there.
    """
    name = f"OTEL_{signal.upper()}_EXPORTER"
    addressed = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")
    default = "otlp" if any(os.environ.get(one) for one in addressed) else "none"
    chosen = os.environ.get(name) or default
    if os.environ.get("OTEL_SDK_DISABLED", "").casefold() == "true":
        return "none"
    if chosen not in _EXPORTERS:
        raise ConfigurationError(f"{name}: must be one of {', '.join(_EXPORTERS)}")
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") or "http/protobuf"
    if chosen == "otlp" and protocol != "http/protobuf":
        raise ConfigurationError("OTEL_EXPORTER_OTLP_PROTOCOL: must be http/protobuf")
    return chosen


class _Instruments:
    """What is measured."""

    def __init__(self, tracer: Tracer, meter: Meter) -> None:
        self.tracer = tracer
        self.requests = meter.create_counter(
            "voipsync.requests", unit="{request}", description="attempts, by service and outcome"
        )
        self.throttled = meter.create_counter(
            "voipsync.throttled", unit="{request}", description="answers with status 429, by service"
        )
        self.records = meter.create_counter(
            "voipsync.records", unit="{record}", description="records of ended runs, by entity and outcome"
        )
        self.open = meter.create_gauge(
            "voipsync.records.open", unit="{record}", description="records that are not settled, by state"
        )
        self.quota = meter.create_gauge(
            "voipsync.quota.left", unit="{request}", description="requests left of the location's day"
        )
        self.duration = meter.create_histogram(
            "voipsync.run.duration", unit="s", description="how long runs took, by kind and status"
        )


class _State:
    """What the process has set up: nothing until a run begins."""

    instruments: _Instruments | None = None
    providers: tuple[Any, ...] = ()


def start() -> None:
    """Set up what the variables ask for, once a process.

    Raises:
        ConfigurationError: as `exporter`.
    """
    traces, metrics = exporter("traces"), exporter("metrics")
    if _State.instruments is not None or traces == metrics == "none":
        return
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415 - only where it is wanted
    from opentelemetry.sdk.metrics.export import (  # noqa: PLC0415
        ConsoleMetricExporter,
        MetricExporter,
        PeriodicExportingMetricReader,
    )
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import (  # noqa: PLC0415
        BatchSpanProcessor,
        ConsoleSpanExporter,
        SpanExporter,
    )

    number = version("voipsync")
    resource = Resource.create({"service.name": "voipsync", "service.version": number} | _named())
    patience = None if os.environ.get("OTEL_EXPORTER_OTLP_TIMEOUT") else _PATIENCE_SECONDS
    tracers = TracerProvider(resource=resource)
    if traces != "none":
        spans: SpanExporter = ConsoleSpanExporter(out=sys.stderr)
        if traces == "otlp":
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
                OTLPSpanExporter,
            )

            spans = OTLPSpanExporter(timeout=patience)
        tracers.add_span_processor(BatchSpanProcessor(spans))
    readers = []
    if metrics != "none":
        measured: MetricExporter = ConsoleMetricExporter(out=sys.stderr)
        if metrics == "otlp":
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415
                OTLPMetricExporter,
            )

            measured = OTLPMetricExporter(timeout=patience)
        readers.append(PeriodicExportingMetricReader(measured))
    meters = MeterProvider(resource=resource, metric_readers=readers)
    _State.providers = (tracers, meters)
    _State.instruments = _Instruments(
        tracers.get_tracer("voipsync", number), meters.get_meter("voipsync", number)
    )


def _named() -> dict[str, str]:
    return {"service.name": name} if (name := os.environ.get("OTEL_SERVICE_NAME")) else {}


def stop() -> None:
    """Send what is left and forget everything; the end of the process does the first by itself."""
    for provider in _State.providers:
        provider.shutdown()
    _State.instruments, _State.providers = None, ()


@contextmanager
def span(name: str, **attributes: str | int) -> Iterator[Span | None]:
    """Trace what is done inside; an exception is recorded by its type alone."""
    if _State.instruments is None:
        yield None
        return
    from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415 - imported already

    tracer = _State.instruments.tracer
    named = {f"voipsync.{key}" if "." not in key else key: value for key, value in attributes.items()}
    with tracer.start_as_current_span(
        name, attributes=named, record_exception=False, set_status_on_exception=False
    ) as made:
        try:
            yield made
        except BaseException as error:
            made.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


@contextmanager
def request(method: str, path: str, service: str) -> Iterator[Callable[[int], None]]:
    """Trace a request by its route; what is yielded is to be told the answer's status."""
    if _State.instruments is None:
        yield _nothing
        return
    with span(f"{method} {route(path)}", service=service) as made:
        assert made is not None  # noqa: S101 - narrows the type
        yield partial(made.set_attribute, "http.response.status_code")


def _nothing(_status: int) -> None:
    """Nobody wants to know."""


def traced(step: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
    """Trace each call of a coroutine function by its name."""

    @wraps(step)
    async def inner(*given: P.args, **more: P.kwargs) -> R:
        with span(step.__name__):
            return await step(*given, **more)

    return inner


def route(path: str) -> str:
    """A path without ids: what is not plainly a word stands as ``{id}``."""
    parts = path.partition("?")[0].removeprefix("/").split("/")
    plain = (len(part) <= _WORD_LENGTH and _WORD.fullmatch(part) for part in parts)
    return "/" + "/".join(part if word else "{id}" for part, word in zip(parts, plain, strict=True))


def answered(service: str, status: int) -> None:
    """Count an attempt; status 0: nobody answered."""
    if (measured := _State.instruments) is None:
        return
    measured.requests.add(1, {"service": service, "outcome": _outcome(status)})
    if status == _THROTTLED:
        measured.throttled.add(1, {"service": service})


def _outcome(status: int) -> str:
    if status == 0:
        return "no answer"
    if status == _THROTTLED:
        return "throttled"
    return "ok" if status < _REFUSED else "refused" if status < _BROKEN else "broken"


def ended(
    account: str,
    kind: str,
    status: str,
    *,
    seconds: float,
    quota_left: int,
    entities: Mapping[str, Mapping[str, int]],
    open_states: tuple[str, ...],
) -> None:
    """Measure a run that has ended."""
    if (measured := _State.instruments) is None:
        return
    about = {"account": account}
    measured.duration.record(seconds, {**about, "kind": kind, "status": status})
    measured.quota.set(quota_left, about)
    for entity, counts in entities.items():
        for outcome, number in counts.items():
            named = {**about, "entity": entity}
            if outcome in open_states:
                measured.open.set(number, {**named, "state": outcome})
            elif number:
                measured.records.add(number, {**named, "outcome": outcome})
