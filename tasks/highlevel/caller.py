"""How an operation of the catalogue becomes one request, and its answer a model or an exception."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol
from urllib.parse import quote

from pydantic import ValidationError

from tasks.errors import ConfigurationError
from tasks.highlevel.operations import OPERATIONS, Operation
from tasks.highlevel.parse import parse
from tasks.highlevel.refusals import refusal
from tasks.highlevel.requests import Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

    from tasks.transport import Answer, Transport

ApiVersion = Literal["v3", "2021-07-28"]
_CALENDARS_VERSION = "2021-04-15"
_CUSTOM_VALUE = {"v3": "fieldValue", "2021-07-28": "field_value"}
_ERROR = 400


class Calls(Protocol):
    """Runs operations by name: a service, or whoever stands before it."""

    async def call(
        self,
        name: str,
        *,
        path: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        body: Request | Mapping[str, Any] | None = None,
    ) -> BaseModel:
        """As `Caller.call`."""


class Caller:
    """Runs operations of one location through one version of the API.

    Args:
        transport: the way to the service; it holds the credential.
        location_id: the location; sent where the API wants it, and only there.
        version: of the API; before v3 the calendars have a version of their own.
    """

    def __init__(self, transport: Transport, *, location_id: str, version: ApiVersion) -> None:
        self._transport = transport
        self._location_id = location_id
        self._headers = {"Version": version}
        self._calendar_headers = {"Version": version if version == "v3" else _CALENDARS_VERSION}
        self._custom_value = _CUSTOM_VALUE[version]

    async def call(
        self,
        name: str,
        *,
        path: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        body: Request | Mapping[str, Any] | None = None,
    ) -> BaseModel:
        """Run one operation of the catalogue and return its answer.

        Args:
            name: of the operation.
            path: its path parameters, without ``locationId``.
            query: its query parameters; one without a value is left out.
            body: its request; a mapping is checked first.

        Raises:
            ConfigurationError: there is no such operation, or it does not take these arguments.
            Unauthorized: the token, its scopes or its location are refused, or the edge refuses the client.
            NotFound: what is addressed does not exist (any more).
            DuplicateContact: another contact holds the e-mail or phone.
            RejectedRecord: refused for another reason.
            OutcomeUnknown: a write may have happened, or has and its id is not known.
            ApiError: a read got no useful answer.
            ServiceUnavailable: from the transport.
            QuotaSpent: from the transport's pacer.
            Fatal: the API version is refused.
        """
        arguments = path or {}
        answer = await self.send(name, path=arguments, query=query, body=body)
        return parse(OPERATIONS[name], answer, arguments)

    async def send(
        self,
        name: str,
        *,
        path: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        body: Request | Mapping[str, Any] | None = None,
    ) -> Answer:
        """Like `call`, but return the answer as it came, for people who look at one by hand."""
        operation = OPERATIONS.get(name)
        if operation is None:
            raise ConfigurationError(f"unknown operation {name!r}: voipsync operations lists them")
        parameters = {key: value for key, value in query.items() if value is not None} if query else {}
        if operation.location == "query":
            parameters["locationId"] = self._location_id
        answer = await self._transport.request(
            operation.method,
            self._address(operation, path or {}),
            query=parameters or None,
            body=self._body(operation, body),
            headers=self._calendar_headers if operation.calendars else self._headers,
            writes=operation.writes,
            repeatable=operation.repeatable,
        )
        if answer.status >= _ERROR:
            raise refusal(operation, answer)
        return answer

    def _address(self, operation: Operation, path: Mapping[str, str]) -> str:
        parts = {}
        for name in operation.path_names:
            value = path.get(name)
            if not value or not value.strip("."):
                raise ConfigurationError(f"{operation.name} needs {name}")
            parts[name] = quote(value, safe="")
        if operation.location == "path":
            parts["locationId"] = quote(self._location_id, safe="")
        return operation.path.format_map(parts) if parts else operation.path

    def _body(self, operation: Operation, body: Request | Mapping[str, Any] | None) -> dict[str, Any] | None:
        if operation.request is None:
            return None
        if not isinstance(body, Request):
            body = _checked(operation, operation.request, body or {})
        payload = body.payload()
        custom = payload.get("customFields")
        if custom is not None:
            payload["customFields"] = [
                {"id": field_id, self._custom_value: "" if value is None else value}
                for field_id, value in custom.items()
            ]
        if operation.location == "body":
            payload["locationId"] = self._location_id
        return payload


def _checked(operation: Operation, model: type[Request], body: Mapping[str, Any]) -> Request:
    """Make a request of what a person gave; the message names the first property that is wrong."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise ConfigurationError(f"{operation.name}: {where}: {problem['msg']}") from None
