"""Labels and groups as tags."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.mapping.text import clean, line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tasks.mapping.rules import Rules


def tags(labels: Iterable[str], groups: Iterable[str | None], rules: Rules) -> list[str]:
    """Tags as the destination stores them (lower-case, measured by integrators): each once, labels first.

    Groups count only where the account's rules make them tags.
    """
    named = [*labels, *(groups if rules.group_as_tag else ())]
    shown = (f"{rules.tag_prefix}{name}" for label in named if (name := line(label)))
    return list(dict.fromkeys(clean(tag.lower()) for tag in shown))
