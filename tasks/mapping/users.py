"""Users of the source as users of the destination."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasks.mapping.rules import Rules


def assigned(field: str, user_id: int | None, rules: Rules) -> tuple[dict[str, str], tuple[str, ...]]:
    """The content's entry ``field`` that names a record's user, and what to say where there is none.

    A record goes over without a user whom the account's rules do not know. Rules without any users say
    nothing: their account does not assign.
    """
    if not user_id or not rules.users:
        return {}, ()
    user = rules.users.get(str(user_id))
    return ({field: user}, ()) if user else ({}, ("unknown_user",))
