"""What a policies file relies on and does not hold: accounts, files, secrets. For `reconcile check`."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.reconciling.faults import Faults
from gateway.reconciling.secrets import resolved
from gateway.reconciling.source_errors import SourceUnusable
from gateway.reconciling.toml_lines import Path as KeyPath
from worker.unlinking.policies import (
    FileSource,
    HttpSource,
    Policies,
    ReconcilePolicy,
    Reference,
    Source,
    SqlSource,
)
from worker.unlinking.type_rules import TypeRules


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What there is on this machine."""

    accounts: Collection[str]
    rules: TypeRules
    environ: Mapping[str, str]


def check_surroundings(policies: Policies, faults: Faults, here: Surroundings) -> None:
    """Adds what is missing, and what may not be."""
    for policy in policies.by_name.values():
        path = ("policies", policy.name)
        if (refusal := here.rules.refusal(policy.relationtype)) is not None:
            faults.add((*path, "relationtype"), f"links of {policy.relationtype} are {refusal}")
        if policy.account not in here.accounts:
            known = ", ".join(sorted(here.accounts)) or "none"
            faults.add((*path, "account"), f"account {policy.account!r} is not set here; known: {known}")
        for where, source in _sources(policy):
            for key, sentence in _missing(source, here.environ):
                faults.add((*path, where, *key), sentence)


def half_lists(policies: Policies) -> Iterator[str]:
    """Policies to which half of the list of what may stay would look like all of it: the other half would be deleted.

    The brakes hold only what goes over them.
    """
    for policy in policies.by_name.values():
        source = policy.keep.source
        counted = isinstance(source, HttpSource) and source.count
        if (
            isinstance(source, FileSource | SqlSource | HttpSource)
            and not counted
            and not policy.brakes.expect_at_least
        ):
            count = ", or http.count" if isinstance(source, HttpSource) else ""
            yield (
                f"policies.{policy.name}: if half of the list of what may stay comes, nobody notices, and up to "
                f"max_deletions = {policy.brakes.max_deletions} links go by mistake; set brakes.expect_at_least{count}"
            )


def _sources(policy: ReconcilePolicy) -> Iterator[tuple[str, Source]]:
    yield "scope", policy.scope.source
    if policy.keep.source is not None:
        yield "keep", policy.keep.source


def _missing(source: Source, environ: Mapping[str, str]) -> Iterator[tuple[KeyPath, str]]:
    """Keys within a list's table, and what is wrong with what they name."""
    if isinstance(source, FileSource) and not Path(source.path).is_file():
        yield ("file",), f"there is no file {source.path}"
    for table, name, value in _named(source):
        if isinstance(value, Reference):
            suffix = "_env" if value.env else "_file"
            key = (table, f"headers{suffix}", name) if name not in ("dsn", "url") else (table, name + suffix)
            try:
                resolved(value, environ)
            except SourceUnusable as error:
                yield key, str(error)


def _named(source: Source) -> Iterator[tuple[str, str, str | Reference]]:
    """Table, name and value of what may lie elsewhere; headers by their own names."""
    match source:
        case SqlSource(dsn=dsn):
            yield "sql", "dsn", dsn
        case HttpSource(url=url, headers=headers):
            yield "http", "url", url
            for name, value in headers.items():
                yield "http", name, value
        case _:
            return
