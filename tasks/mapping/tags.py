"""Labels and groups as tags."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from tasks.mapping.text import clean, line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tasks.mapping.rules import Rules


def tags(labels: Iterable[str], groups: Iterable[str | None], rules: Rules) -> list[str]:
    """Tags as the destination stores them (lower-case, measured by integrators): each once, labels first.

    Groups count only where the account's rules make them tags, and then like labels. A label is dropped or
    kept by its own name (``tag_deny`` before ``tag_allow``), then renamed, then prefixed; none of this minds
    case. One that is renamed to nothing becomes no tag.
    """
    allowed, denied = _pattern(rules.tag_allow or ("*",)), _pattern(rules.tag_deny)
    renamed = _renamed(rules.tag_rename)
    named = [*labels, *(groups if rules.group_as_tag else ())]
    names = [name for label in named if (name := line(label))]
    kept = [name for name in names if allowed.fullmatch(key := name.casefold()) and not denied.fullmatch(key)]
    shown = (renamed.get(name.casefold(), name) for name in kept)
    return list(dict.fromkeys(clean(f"{rules.tag_prefix}{name}".lower()) for name in shown if name))


@lru_cache(maxsize=64)
def _renamed(pairs: tuple[tuple[str, str], ...]) -> dict[str, str]:
    return {line(label).casefold(): line(tag) for label, tag in pairs}


@lru_cache(maxsize=64)
def _pattern(globs: tuple[str, ...]) -> re.Pattern[str]:
    """One expression for all of them, where ``*`` and ``?`` stand for any text and any character."""
    wild = {"*": ".*", "?": "."}
    each = ("".join(wild.get(sign) or re.escape(sign) for sign in line(glob).casefold()) for glob in globs)
    return re.compile("|".join(f"(?:{one})" for one in each) or "(?!)", re.DOTALL)
