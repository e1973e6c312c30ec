"""How VoIPstudio says no."""

from __future__ import annotations

from sandbox.wire import Refusal


def error(status: int, message: str, *fields: tuple[str, str]) -> Refusal:
    """The documented error envelope."""
    errors = [{"field": name, "message": text} for name, text in fields]
    return Refusal(status, {"message": message, "errors": errors})
