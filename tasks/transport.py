"""The one HTTP client: time-outs, retries, pacing and counting, the same for both services.

It decides what may be sent again. A request that is *repeatable* (a read, or a write with set
semantics) is repeated after any failure that may pass. One that is not is repeated only where it
certainly took no effect: no connection was made, or the service said 429. Everything else is an
`OutcomeUnknown`, which only the engine can settle, by asking the destination.

A credential goes to the configured address only: no redirect is followed, certificates are verified, and
what has none, which only loopback may, never goes through a proxy. `HTTPS_PROXY`, `NO_PROXY`, `SSL_CERT_FILE`
and their kin are honoured otherwise.
"""

from __future__ import annotations

import asyncio
import json as jsonlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import httpx
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential_jitter

from tasks import telemetry
from tasks.ending import Ending
from tasks.errors import ApiError, Fatal, OutcomeUnknown, ServiceUnavailable
from tasks.wire import USER_AGENT, distrusted, encoded, in_words, read_bounded, retry_after, trust

log = logging.getLogger(__name__)

ANSWER_SECONDS = 15.0
"""How long a service may keep silent within one attempt."""
ATTEMPT_SECONDS = 20.0
"""How long one attempt may take in all."""
PATIENCE_SECONDS = 30.0
"""How long a service may give no useful answer before a run ends."""
FIRST_PATIENCE_SECONDS = 12.0
"""The same for a service that has not answered usefully at all, not even 429: a wrong address fails soon."""
LONGEST_PAUSE = 60.0
"""The longest pause asked for with ``Retry-After`` that is waited out."""
ATTEMPTS = 5
"""Tries of one request while the service answers others usefully."""
POOL = 8
"""Connections in a pool: at every request, httpx compares all idle ones with each other."""

_BACKOFF = wait_exponential_jitter(multiplier=0.5, max=8.0, jitter=0.5)

Sleep = Callable[[float], Awaitable[None]]
Clock = Callable[[], float]


class Pacer(Protocol):
    """Grants permission for each attempt and learns from its answer."""

    async def permit(self) -> int:
        """Wait until one more request may leave; return the permit's number.

        Raises:
            QuotaSpent: the day's budget is used up.
        """

    def observe(self, permit: int, status: int, headers: Mapping[str, str]) -> None:
        """Take note of an answer; status 0 and no headers where none came."""


class Unpaced:
    """The pacer of a service that documents no limit."""

    async def permit(self) -> int:
        """Grant at once."""
        return 0

    def observe(self, permit: int, status: int, headers: Mapping[str, str]) -> None:
        """Learn nothing."""


@runtime_checkable
class Renewable(Protocol):
    """A credential that expires: an `httpx.Auth` that can do this, too."""

    async def ready(self) -> None:
        """Renew it where that is due, before a request takes its permit.

        Raises:
            Fatal: it cannot be renewed.
        """

    async def renew(self, request: httpx.Request, answer: Answer) -> bool:
        """Tell whether a request that was refused (401) is worth sending once more, with another credential.

        Raises:
            Fatal: it cannot be renewed.
        """


@dataclass(slots=True)
class Tally:
    """Requests sent to one service, every attempt counted."""

    reads: int = 0
    writes: int = 0
    throttled: int = 0
    retried: int = 0
    waited: float = 0.0
    """Seconds from first sending to answer, summed over requests (they overlap)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A service's answer: status, headers and the decoded JSON (None where the body was empty)."""

    status: int
    headers: Mapping[str, str]
    data: Any


class _Again(Exception):  # noqa: N818 - control flow between an attempt and tenacity
    """This attempt failed in a way that may pass."""

    def __init__(self, why: str, *, status: int = 0, after: float | None = None) -> None:
        super().__init__(why)
        self.status = status
        self.after = after

    @property
    def too_long(self) -> bool:
        """Whether a longer pause is asked for than is waited out."""
        return self.after is not None and self.after > LONGEST_PAUSE


@dataclass(slots=True)
class _Pool:
    """A client with a few connections, and how many requests it has under way."""

    client: httpx.AsyncClient
    busy: int = 0


@dataclass(slots=True)
class Transport:
    """One service's connections and manners.

    Args:
        service: its name in messages.
        base_url: address without a trailing slash.
        auth: puts the credential on each request; a `Renewable` one is renewed when due and once on a 401.
        headers: sent with every request.
        pacer: owner of the request budget.
        connections: requests under way at the same time, at most.
        json_only: whether an answer below 400 must be JSON to count.
        wire: another httpx transport, for tests.
        ending: a last moment for its requests, their waiting included.
        patience: seconds that the service may give no useful answer before that is an error.
    """

    service: str
    base_url: str
    auth: httpx.Auth
    headers: Mapping[str, str] = field(default_factory=dict)
    pacer: Pacer = field(default_factory=Unpaced)
    connections: int = 32
    json_only: bool = True
    wire: httpx.AsyncBaseTransport | None = None
    clock: Clock = time.monotonic
    sleep: Sleep = asyncio.sleep
    tally: Tally = field(default_factory=Tally)
    ending: Ending = field(default_factory=Ending)
    patience: float = PATIENCE_SECONDS
    _pools: list[_Pool] = field(init=False)
    _renewable: Renewable | None = field(init=False)
    _useful: bool = field(init=False, default=False)
    _failing_since: float | None = field(init=False, default=None)
    _paused_until: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self._renewable = self.auth if isinstance(self.auth, Renewable) else None
        sizes = [min(POOL, self.connections - taken) for taken in range(0, self.connections, POOL)]
        self._pools = [_Pool(self._client(size)) for size in sizes]

    def _client(self, connections: int) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.base_url,
            auth=self.auth,
            headers={"User-Agent": USER_AGENT, "Accept": "application/json", **self.headers},
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=5.0, pool=None),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            follow_redirects=False,
            verify=trust(self.base_url.partition(":")[0]),
            trust_env=not self.base_url.startswith("http://"),
            transport=self.wire,
        )

    async def close(self) -> None:
        """Close the connections."""
        for pool in self._pools:
            await pool.client.aclose()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,  # noqa: ANN401 - any JSON
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        writes: bool = False,
        repeatable: bool = True,
    ) -> Answer:
        """Send one request and return the service's answer, whatever its status below 500 but 429.

        Its content is ``body`` as JSON, or ``form`` as a browser sends one.

        Raises:
            OutcomeUnknown: a write that may have happened.
            ApiError: the service answers others, but not this request; it took no effect.
            ServiceUnavailable: the service has given no useful answer for too long.
            QuotaSpent: from the pacer.
            Fatal: what `ending` was called with.
        """
        content, kind = encoded(body, form)
        request = self._pools[0].client.build_request(
            method, path.lstrip("/"), params=query, headers=headers, content=content
        )
        if kind is not None:
            request.headers["Content-Type"] = kind
        started = self.clock()
        with telemetry.request(method, path, self.service) as tell:
            async with self.ending.heeded():
                answer = await self._answered(request, writes=writes, repeatable=repeatable)
                refused = answer.status == httpx.codes.UNAUTHORIZED  # which took no effect, whatever it was
                if refused and self._renewable is not None and await self._renewable.renew(request, answer):
                    answer = await self._answered(request, writes=writes, repeatable=repeatable)
            tell(answer.status)
        self.tally.waited += self.clock() - started
        return answer

    async def _answered(self, request: httpx.Request, *, writes: bool, repeatable: bool) -> Answer:
        """Send a request until it is answered, or until that is hopeless."""
        started, doubtful = self.clock(), False
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(_Again),
            stop=lambda state: self._give_up(state, started),
            wait=self._wait,
            sleep=self.sleep,
            reraise=True,
        )
        try:
            async for attempt in retrying:
                with attempt:
                    if attempt.retry_state.attempt_number > 1:
                        self.tally.retried += 1
                    try:
                        answer = await self._attempt(request, writes=writes, repeatable=repeatable)
                    except _Again as error:
                        doubtful = doubtful or error.status != httpx.codes.TOO_MANY_REQUESTS
                        raise
        except _Again as error:
            raise self._given_up(error, doubtful=writes and repeatable and doubtful) from None
        return answer

    async def _attempt(self, request: httpx.Request, *, writes: bool, repeatable: bool) -> Answer:
        if (pause := self._paused_until - self.clock()) > 0:
            await self.sleep(pause)
        if self._renewable is not None:
            await self._renewable.ready()
        permit = await self.pacer.permit()
        if writes:
            self.tally.writes += 1
        else:
            self.tally.reads += 1
        status, headers = 0, httpx.Headers()
        # the first with room, so that few connections serve few requests
        pool = min(self._pools, key=lambda one: one.busy // POOL)
        pool.busy += 1
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                response = await pool.client.send(request, stream=True)
                status, headers = response.status_code, response.headers
                try:
                    content = await read_bounded(response)
                finally:
                    await response.aclose()
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as error:
            if distrust := distrusted(error):
                raise Fatal(
                    f"{self.service} at {self.base_url}: its certificate is not trusted ({distrust}): check "
                    "base_url; where the network inspects TLS, name its authority in SSL_CERT_FILE"
                ) from None
            self._failed()
            raise _Again(f"cannot connect ({in_words(error)})") from error
        except (httpx.HTTPError, TimeoutError) as error:
            self._failed()
            if isinstance(error, httpx.RemoteProtocolError) and "illegal" in str(error).lower():
                self._throttled(None)  # VoIPstudio's page for too many requests has malformed headers
            self._unless_repeatable(f"no answer ({in_words(error)})", repeatable=repeatable)
            raise _Again(f"no answer ({in_words(error)})") from error
        finally:
            pool.busy -= 1
            self.pacer.observe(permit, status, headers)
            telemetry.answered(self.service, status)
        return self._judge(status, headers, content, repeatable=repeatable)

    def _judge(self, status: int, headers: httpx.Headers, content: bytes, *, repeatable: bool) -> Answer:
        """Return a useful answer; raise for one that may be better next time."""
        if status == httpx.codes.TOO_MANY_REQUESTS:
            self._failed()
            after = retry_after(headers)
            self._throttled(after)
            raise _Again("throttled", status=status, after=after)
        if status >= httpx.codes.INTERNAL_SERVER_ERROR or status == httpx.codes.REQUEST_TIMEOUT:
            self._failed()
            self._unless_repeatable(f"answered {status}", repeatable=repeatable, status=status)
            raise _Again(f"answered {status}", status=status, after=retry_after(headers))
        if httpx.codes.MULTIPLE_CHOICES <= status < httpx.codes.BAD_REQUEST:
            raise Fatal(f"{self.service} redirects (HTTP {status}) and is not followed: check base_url")
        try:
            data = jsonlib.loads(content) if content.strip() else None
        except ValueError:
            if status >= httpx.codes.BAD_REQUEST or not self.json_only:
                data = content[:2000].decode("utf-8", "replace")
            else:
                self._failed()
                self._unless_repeatable(
                    "answered with something other than JSON", repeatable=repeatable, status=status
                )
                raise _Again("answers with something other than JSON", status=status) from None
        self._useful, self._failing_since = True, None
        return Answer(status, headers, data)

    def _unless_repeatable(self, why: str, *, repeatable: bool, status: int = 0) -> None:
        if not repeatable:
            raise OutcomeUnknown(f"{self.service}: {why}; the write may have happened", status=status)

    def _failed(self) -> None:
        if self._failing_since is None:
            self._failing_since = self.clock()

    def _throttled(self, after: float | None) -> None:
        self.tally.throttled += 1
        if after:
            self._paused_until = max(self._paused_until, self.clock() + min(after, LONGEST_PAUSE))

    def _outage(self) -> float:
        """Seconds since the last useful answer, while there is none."""
        return 0.0 if self._failing_since is None else self.clock() - self._failing_since

    @property
    def _first_patience(self) -> float:
        return min(self.patience, FIRST_PATIENCE_SECONDS)

    def _is_there(self, error: _Again) -> bool:
        """Whether the service has answered anything that shows its address to be right."""
        return self._useful or error.status == httpx.codes.TOO_MANY_REQUESTS

    def _give_up(self, state: RetryCallState, started: float) -> bool:
        error = state.outcome.exception() if state.outcome else None
        assert isinstance(error, _Again)  # noqa: S101 - no other is retried
        if self._outage() >= (self.patience if self._is_there(error) else self._first_patience):
            return True
        if error.too_long:
            return True
        others_answered = self._failing_since is None or self._failing_since > started
        return state.attempt_number >= ATTEMPTS and others_answered and self._useful

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, _Again) and error.after:
            return error.after
        return float(_BACKOFF(state))

    def _given_up(self, error: _Again, *, doubtful: bool) -> Exception:
        """The error of a request that is given up; ``doubtful``: one of its attempts may have written."""
        if self._outage() >= self._first_patience or error.too_long or not self._useful:
            hint = "" if self._is_there(error) else ": check base_url and the network"
            asked = f", asks to wait {error.after:.0f} s" if error.after is not None else ""
            return ServiceUnavailable(
                f"{self.service} at {self.base_url} gives no useful answer ({error}{asked}){hint}"
            )
        text = f"{self.service}: {error}, {ATTEMPTS} times"
        if doubtful:
            return OutcomeUnknown(text, status=error.status)
        return ApiError(text, status=error.status)
