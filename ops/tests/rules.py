"""The files of ops/alerts as Prometheus reads them: it refuses unknown fields and wrong expressions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import promql_parser
import yaml
from promql_parser import Expr, MatchOp

ALERTS = Path(__file__).parents[1] / "alerts"


class Rule(msgspec.Struct, forbid_unknown_fields=True):
    """One that alerts; Prometheus' others, which record, are not used here."""

    alert: str
    expr: str
    labels: dict[str, str]
    annotations: dict[str, str]
    for_: str = msgspec.field(name="for", default="1ms")
    keep_firing_for: str = "1ms"

    def __post_init__(self) -> None:
        if not re.fullmatch("([A-Z][a-z]+)+", self.alert):
            raise ValueError(f"{self.alert!r} is no name for an alert, and for a file")
        for duration in (self.for_, self.keep_firing_for):
            promql_parser.parse_duration(duration)
        promql_parser.parse(self.expr)


class Group(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    rules: list[Rule]
    interval: str = "1m"


class File(msgspec.Struct, forbid_unknown_fields=True):
    groups: list[Group]


class _Loader(yaml.SafeLoader):
    """Takes no key twice, of which YAML's own would keep the last and say nothing."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    pairs = [
        (loader.construct_object(key), loader.construct_object(value, deep=True)) for key, value in node.value
    ]
    keys = [key for key, _ in pairs]
    if len(set(keys)) < len(keys):
        raise ValueError(f"a key stands there twice: {sorted(keys)}")
    return dict(pairs)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def parse(text: str) -> list[Rule]:
    """Raises `ValueError`, of which msgspec's is one."""
    file = msgspec.convert(yaml.load(text, _Loader), File)
    names = [group.name for group in file.groups]
    if len(set(names)) < len(names):
        raise ValueError(f"a group is there twice: {names}")
    return [rule for group in file.groups for rule in group.rules]


def all_rules() -> list[Rule]:
    return [rule for path in sorted(ALERTS.glob("*.yml")) for rule in parse(path.read_text())]


# ---- what an expression asks for


@dataclass(frozen=True)
class Asked:
    """A series by its name, and the values that its labels are to have."""

    name: str
    labels: dict[str, tuple[str, ...]]


def series(expression: Expr) -> list[Asked]:
    return [
        Asked(node.name or "", {m.name: _values(m) for m in node.matchers.matchers})
        for node in _nodes(expression)
        if isinstance(node, promql_parser.VectorSelector)
    ]


def _values(matcher: promql_parser.Matcher) -> tuple[str, ...]:
    if matcher.op in (MatchOp.Equal, MatchOp.NotEqual):
        return (matcher.value,)
    assert re.fullmatch(r"[\w|-]+", matcher.value), f"{matcher.value}: write alternatives, and nothing else"
    return tuple(matcher.value.split("|"))


def grouped(expression: Expr) -> set[str]:
    """The labels that it sums, joins and compares by."""
    found: set[str] = set()
    for node in _nodes(expression):
        modifier = getattr(node, "modifier", None)
        if isinstance(node, promql_parser.AggregateExpr) and modifier:
            found |= set(modifier.labels)
        elif isinstance(node, promql_parser.BinaryExpr) and modifier:
            found |= set(modifier.matching.labels if modifier.matching else ())
            found |= set(modifier.group_labels or ())
    return found


def _nodes(expression: Expr) -> Iterator[Expr]:
    found: list[Expr] = []
    promql_parser.walk(expression, lambda node: found.append(node))
    return iter(found)
