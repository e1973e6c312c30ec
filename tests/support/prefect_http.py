"""Prefect's REST API as tests ask it: again, where its server says that it could not just now."""

from __future__ import annotations

import time

import httpx

TRIES = 30
"""At a server whose database is SQLite, two writers that meet are told 503, and to come again."""


class _Again(httpx.HTTPTransport):
    def handle_request(self, request: httpx.Request) -> httpx.Response:
        for _ in range(TRIES):
            response = super().handle_request(request)
            if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            response.read()
            time.sleep(0.5)
        return response


def prefect_client(url: str) -> httpx.Client:
    """A client of the API at this address."""
    return httpx.Client(base_url=url, timeout=60, transport=_Again())
