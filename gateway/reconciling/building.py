"""From the tables of a policies file to policies: what hangs together is checked here."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.filters import UNITS
from gateway.reconciling.faults import Faults
from gateway.reconciling.lists import Lists
from gateway.reconciling.tables import BrakesTable, KeepTable, PolicyTable, ScopeTable, TimingTable, TruthTable
from gateway.reconciling.toml_lines import Path as KeyPath
from worker.unlinking.policies import (
    NAME_LENGTH,
    Keep,
    Mode,
    NightBrakes,
    OnResurrected,
    Policies,
    ReconcilePolicy,
    Scope,
    Side,
    resource_of,
)
from worker.unlinking.relation_types import RelationType, RelationTypeError, parse_relationtype, require_deletable
from worker.unlinking.slots import Timing, TimingError, check_cron, check_zone

TOP = ("policies", "truth")
LONGEST_CATCH_UP = 7 * 86400.0  # seconds
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_LENGTH = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")


def build(document: Mapping[str, Any], faults: Faults, folder: Path) -> Policies:
    """All policies that can be read. `folder`: where relative paths begin."""
    for name in set(document) - set(TOP):
        faults.add((name,), "is no key here; there are [policies.NAME] and [truth]")
    tables = document.get("policies", {})
    if not isinstance(tables, dict):
        faults.add(("policies",), "must be tables named [policies.NAME]")
        tables = {}
    if not tables:
        faults.add(("policies",), "there is no policy; begin with [policies.NAME]")
    built = (_policy(name, raw, faults, folder) for name, raw in tables.items())
    return Policies({policy.name: policy for policy in built if policy}, _truth(document.get("truth", {}), faults))


def _truth(raw: object, faults: Faults) -> Timing | None:
    table = faults.table(TruthTable, raw, ("truth",))
    timing = _timing(raw, TruthTable, faults, ("truth",)) if isinstance(raw, dict) else None
    return timing if table is not None and table.enabled else None


def _policy(name: str, raw: object, faults: Faults, folder: Path) -> ReconcilePolicy | None:
    path: KeyPath = ("policies", name)
    if not _NAME.fullmatch(name) or len(name) > NAME_LENGTH:
        faults.add(path, f"a name has a-z, 0-9, - and _, and {NAME_LENGTH} characters at the most")
    table = faults.table(PolicyTable, raw, path)
    sub = raw if isinstance(raw, dict) else {}
    kind = _kind(sub.get("relationtype"), faults, (*path, "relationtype"))
    timing = _timing(sub, PolicyTable, faults, path)
    scope, keep = _sides(sub, kind, faults, path, folder)
    brakes = _brakes(sub.get("brakes", {}), keep, faults, (*path, "brakes"))
    if table is None or kind is None or timing is None or scope is None or keep is None or brakes is None:
        return None
    return ReconcilePolicy(
        name=name,
        account=table.account,
        relationtype=kind.short,
        because=table.because or f"policy {name}",
        scope=scope,
        keep=keep,
        timing=timing,
        brakes=brakes,
        mode=Mode(table.mode),
        on_resurrected=OnResurrected(table.on_resurrected),
    )


def _kind(value: object, faults: Faults, path: KeyPath) -> RelationType | None:
    if not isinstance(value, str):
        return None  # said already
    try:
        kind = parse_relationtype(value)
        require_deletable(kind)
    except RelationTypeError as error:
        faults.add(path, str(error))
        return None
    return kind


def _timing(raw: Mapping[str, Any], table: type[TimingTable], faults: Faults, path: KeyPath) -> Timing | None:
    """From the keys as they stand, so that they are checked though others are wrong; None when one of them is."""
    said = {name: raw.get(name, table.model_fields[name].default) for name in TimingTable.model_fields}
    if not all(isinstance(value, str) for value in said.values()):
        return None  # said already
    before = len(faults.found)
    for key, check in (("schedule", check_cron), ("timezone", check_zone)):
        try:
            check(said[key])
        except TimingError as error:
            faults.add((*path, key), str(error))
    catch_up = _seconds(said["catch_up"])
    if catch_up is None or catch_up > LONGEST_CATCH_UP:
        faults.add((*path, "catch_up"), f"{said['catch_up']!r}: give a time like 30m, 6h or 2d, 7d at the most")
        return None
    return None if len(faults.found) > before else Timing(said["schedule"], said["timezone"], catch_up)


def _seconds(text: str) -> float | None:
    found = _LENGTH.fullmatch(text.strip())
    return float(found[1]) * UNITS[found[2]] if found else None


def _sides(
    raw: Mapping[str, Any], kind: RelationType | None, faults: Faults, path: KeyPath, folder: Path
) -> tuple[Scope | None, Keep | None]:
    """What is looked at, and what may stay."""
    lists = Lists(faults, folder)
    scope_path, keep_path = (*path, "scope"), (*path, "keep")
    scope_table = faults.table(ScopeTable, raw["scope"], scope_path) if isinstance(raw.get("scope"), dict) else None
    keep_table = faults.table(KeepTable, raw["keep"], keep_path) if isinstance(raw.get("keep"), dict) else None
    side = Side(scope_table.side) if scope_table else Side.PARENTS
    scope = keep = None
    if scope_table is not None:
        source = lists.source(scope_table, scope_path, _resource(kind, side), width=1)
        scope = Scope(side, source) if source is not None else None
    if keep_table is not None:
        keep = _keep(keep_table, lists, keep_path, _resource(kind, side.other))
    return scope, keep


def _resource(kind: RelationType | None, side: Side) -> str | None:
    return None if kind is None else resource_of(kind, side)


def _keep(table: KeepTable, lists: Lists, path: KeyPath, resource: str | None) -> Keep | None:
    given = lists.given(table)
    if table.nothing:
        for name in given:
            lists.faults.add((*path, name), "cannot stand beside nothing = true")
        return None if given else Keep()
    pairs = table.of == "pairs"
    if pairs and table.where is not None:
        lists.faults.add((*path, "of"), "records that fit a filter are no pairs; leave it out")
        return None
    if not given:
        lists.faults.add(path, "say what may stay: one of ids, file, sql, http, where, or nothing = true")
        return None
    source = lists.source(table, path, resource, width=2 if pairs else 1)
    return None if source is None else Keep(source, pairs)


def _brakes(raw: object, keep: Keep | None, faults: Faults, path: KeyPath) -> NightBrakes | None:
    table = faults.table(BrakesTable, raw, path)
    if table is None:
        return None
    if table.expect_at_least and keep is not None and keep.source is None:
        faults.add((*path, "expect_at_least"), "counts the list of what may stay, and nothing may; leave it out")
        return None
    return replace(NightBrakes(), **table.model_dump())
