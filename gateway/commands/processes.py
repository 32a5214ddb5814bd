"""`unlinker worker`, `sandbox`: the processes that run until they are stopped."""

import logging
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import redis
import structlog
import typer

import sandbox as onoffice_sandbox
from config.accounts import load_accounts
from config.celery_options import celery_options
from config.embedded_valkey import ensure_running
from config.errors import ConfigurationError
from config.logs import configure
from config.settings import load_settings
from gateway.composition import connect, find_urls, runtime_options, secrets_of
from gateway.exits import CommandError, Exit
from tasks.app import make_worker_app

log = structlog.get_logger(__name__)
REDIS_PATIENCE = 30.0  # seconds
VALKEY_LOOK = 2.0  # seconds between looks at the embedded Valkey
CHATTY_LOGGERS = ("celery.worker.strategy", "celery.app.trace")  # a line per job and step


def worker(
    log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = "INFO",
    name: Annotated[str | None, typer.Option(help="Celery's name of this worker.")] = None,
) -> None:
    """Run a worker: takes jobs from the queue until SIGTERM, which lets requests on the wire finish.

    Example: unlinker worker
    """
    level = logging.getLevelNamesMapping().get(log_level.upper())
    if level is None:
        raise CommandError(Exit.BAD_INPUT, f"--log-level {log_level!r}: use DEBUG, INFO, WARNING or ERROR")
    settings = load_settings()
    accounts = load_accounts(settings)
    if not accounts:
        raise CommandError(
            Exit.BAD_INPUT,
            "no account: set UNLINKER_ONOFFICE_TOKEN and UNLINKER_ONOFFICE_SECRET, or UNLINKER_ACCOUNTS_FILE",
        )
    configure(settings.log_format, secrets_of(accounts), level)
    for chatty in CHATTY_LOGGERS:
        logging.getLogger(chatty).setLevel(max(level, logging.WARNING))
    urls = find_urls(settings)
    for url in {urls.records, urls.queue}:
        _wait_for_redis(url)
    if settings.redis_url is None:
        _keep_valkey_running(settings.data_dir)
    app = make_worker_app(runtime_options(settings, urls), celery_options())
    running = app.Worker(hostname=name, loglevel=level, quiet=True, without_gossip=True, without_mingle=True)
    running.start()
    raise typer.Exit(running.exitcode or 0)


def _wait_for_redis(url: str) -> None:
    """A worker may be started before its Redis, or while that restarts; raises RedisError when patience ends."""
    deadline = time.monotonic() + REDIS_PATIENCE
    while True:
        try:
            connect(url).ping()
            return
        except redis.exceptions.RedisError as error:
            if time.monotonic() >= deadline:
                raise
            log.warning("waiting for Redis", error=str(error))
            time.sleep(1.0)


def _keep_valkey_running(data_dir: Path) -> None:
    """Start the embedded Valkey again should it die while this worker runs."""

    def look() -> None:
        while True:
            time.sleep(VALKEY_LOOK)
            try:
                ensure_running(data_dir)
            except ConfigurationError as error:
                log.warning("the embedded Valkey cannot be started", error=str(error))

    threading.Thread(target=look, name="embedded-valkey", daemon=True).start()


def sandbox(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8099,
    latency_ms: Annotated[float, typer.Option(min=0, help="How long each answer takes.")] = 50.0,
    account: Annotated[
        list[str] | None, typer.Option(help="NAME:TOKEN:SECRET of a further account; may be repeated.")
    ] = None,
) -> None:
    """Run an onOffice to play with, and to break. Its faults and state are under /_sandbox/ of its address.

    Example: unlinker sandbox --port 8099
    """
    further = tuple(_sandbox_account(text) for text in account or [])
    options = onoffice_sandbox.SandboxOptions(latency_ms=latency_ms)
    options = replace(options, accounts=options.accounts + further)
    raise typer.Exit(onoffice_sandbox.serve(options, host, port))


def _sandbox_account(text: str) -> onoffice_sandbox.SandboxAccount:
    parts = text.split(":")
    if len(parts) != 3 or not all(parts):
        raise CommandError(Exit.BAD_INPUT, "--account must be NAME:TOKEN:SECRET")
    name, token, secret = parts
    return onoffice_sandbox.SandboxAccount(name, token, secret)
