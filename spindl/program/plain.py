"""Python values of a scheduler's state as JSON and back, exactly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

_TAGS = ("tuple", "set", "dict", "counter")


class NotPlain(Exception):
    """A value that JSON cannot carry; the argument is the path to it."""


def to_plain(value: Any, path: str = "") -> Any:
    """None, bool, int, float, str, and lists, tuples, sets, dicts, Counters of them, as JSON values.

    Lists and dicts with string keys stay as they are; the others become {"!": kind, "items": [...]}.
    Raises NotPlain for anything else.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a tensor or NumPy scalar
        return to_plain(value.item(), path)
    if isinstance(value, list):
        return [to_plain(item, f"{path}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, tuple | set | frozenset):
        kind = "tuple" if isinstance(value, tuple) else "set"
        return {"!": kind, "items": [to_plain(item, f"{path}[{i}]") for i, item in enumerate(value)]}
    if isinstance(value, Mapping):
        items = {key: to_plain(item, f"{path}.{key}" if path else str(key)) for key, item in value.items()}
        if type(value) is dict and all(isinstance(key, str) for key in items) and "!" not in items:
            return items
        kind = "counter" if isinstance(value, Counter) else "dict"
        return {"!": kind, "items": [[to_plain(key, path), item] for key, item in items.items()]}
    raise NotPlain(path)


def from_plain(value: Any) -> Any:
    """What `to_plain` was given."""
    if isinstance(value, list):
        return [from_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    kind = value.get("!")
    if kind is None:
        return {key: from_plain(item) for key, item in value.items()}
    items = from_plain(value["items"])
    if kind not in _TAGS:
        raise ValueError(f"unknown kind {kind!r}")
    if kind == "tuple":
        return tuple(items)
    if kind == "set":
        return set(items)
    pairs = {key: item for key, item in items}
    return Counter(pairs) if kind == "counter" else pairs
