"""`unlinker doctor`: is everything there, and what to do if not."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from config.accounts import load_accounts
from config.settings import Settings, dotenv_names, load_settings, unknown_names
from gateway.api_checks import check_api
from gateway.checks import check_archive, check_engine
from gateway.commands.reconcile import examine
from gateway.composition import connect, desk_options, find_urls
from gateway.exits import Exit
from gateway.finding import Finding
from gateway.output import print_json, print_table
from gateway.queue_checks import check_messages
from gateway.redis_checks import check_redis


def doctor(
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else on stdout.")] = False,
) -> None:
    """Check settings, Redis, the API, credentials and clocks; says what to do. Changes nothing.

    Example: unlinker doctor
    """
    findings = _examine(load_settings())
    if json_:
        print_json({"fine": all(f.fine for f in findings), "checks": [finding.document() for finding in findings]})
    else:
        rows = [["ok" if f.fine else "FAULT", f.name, f.text, f.advice] for f in findings]
        print_table(None, ("", "check", "found", "what to do"), rows)
    if any(finding.unreachable for finding in findings):
        raise typer.Exit(Exit.UNREACHABLE)
    if not all(finding.fine for finding in findings):
        raise typer.Exit(Exit.NOT_ALL_SUCCEEDED)


def _examine(settings: Settings) -> list[Finding]:
    warnings = unknown_names({**dotenv_names(), **os.environ})
    findings = [Finding("settings", not warnings, "; ".join(warnings) or "read")]
    findings.append(check_engine())
    if settings.archive_dir is not None:
        findings.append(check_archive(settings.archive_dir))
    urls = find_urls(settings)
    for url in sorted({urls.records, urls.queue}):
        findings += check_redis(connect(url))
    findings += check_messages(connect(urls.records), connect(urls.queue))
    accounts = load_accounts(settings)
    if settings.policies_file is not None:
        findings.append(_policies(settings.policies_file, settings))
    if not accounts:
        advice = "set UNLINKER_ONOFFICE_TOKEN and UNLINKER_ONOFFICE_SECRET, or UNLINKER_ACCOUNTS_FILE"
        findings.append(Finding("accounts", False, "none is set", advice))
    for account in accounts.values():
        findings += asyncio.run(check_api(desk_options(settings, urls, account)))
    return findings


def _policies(path: Path, settings: Settings) -> Finding:
    names, faults, _ = examine(path, settings)
    if not faults:
        return Finding("policies", True, f"{len(names)}: {', '.join(names)}")
    return Finding("policies", False, f"{len(faults)} faults: {faults[0].sentence(path)}", "unlinker reconcile check")
