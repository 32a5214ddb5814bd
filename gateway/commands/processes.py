"""`unlinker worker`, `scheduler`, `sandbox`: the processes that run until they are stopped."""

import logging
import signal
import sys
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
from config.settings import Settings, load_settings
from gateway.commands.reconcile import refusal_of
from gateway.composition import Urls, connect, find_urls, runtime_options, secrets_of
from gateway.exits import CommandError, Exit
from gateway.reconciling.faults import PolicyFileError
from gateway.reconciling.looking import Looker, policies_of
from tasks.app import make_worker_app
from tasks.beat import LOOK_EVERY, LOOP, make_beat_app, run_beat, schedule_for
from worker.engine.worker_name import unique_name
from worker.stores.refusals import told
from worker.unlinking.night import TRUTH

log = structlog.get_logger(__name__)
REDIS_PAUSE = 1.0  # seconds between tries at the start
VALKEY_LOOK = 2.0  # seconds between looks at the embedded Valkey
CHATTY_LOGGERS = ("celery.worker.strategy", "celery.app.trace")  # a line per job and step

LogLevel = Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")]


def worker(
    log_level: LogLevel = "INFO",
    name: Annotated[str | None, typer.Option(help="Celery's name of this worker; unique if left out.")] = None,
) -> None:
    """Run a worker: takes jobs from the queue until SIGTERM, which lets requests on the wire finish.

    Example: unlinker worker
    """
    level = _level(log_level)
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
    urls = _reachable(settings)
    app = make_worker_app(runtime_options(settings, urls), celery_options())
    app.reconciler = app.teller = Looker(settings)
    with unique_name(connect(urls.records), name) as hostname:
        running = app.Worker(hostname=hostname, loglevel=level, quiet=True, without_gossip=True, without_mingle=True)
        running.start()
    raise typer.Exit(running.exitcode or 0)


def scheduler(
    log_level: LogLevel = "INFO",
    loop: Annotated[
        float, typer.Option("--loop", min=0.1, max=60, help="Seconds; another takes over after five times this.")
    ] = LOOP,
    look_every: Annotated[
        float, typer.Option("--look-every", min=0.1, max=3600, help="Seconds between looks at each policy.")
    ] = LOOK_EVERY,
) -> None:
    """Run a scheduler: tells the workers when to look after nights and dead letters. Several take turns by a lock.

    Example: unlinker scheduler
    """
    level = _level(log_level)
    settings = load_settings()
    accounts = load_accounts(settings)
    configure(settings.log_format, secrets_of(accounts), level)
    logging.getLogger("celery.beat").setLevel(max(level, logging.WARNING))  # a line per message
    try:
        policies = policies_of(settings)
    except PolicyFileError as error:
        raise refusal_of(error) from None
    names = [*policies.by_name, *(TRUTH + account for account in accounts)]
    urls = _reachable(settings)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    log.info("the scheduler waits for its turn", policies=list(policies.by_name), accounts=list(accounts))
    while True:
        try:
            run_beat(make_beat_app(urls.queue, urls.records, celery_options(), schedule_for(names, look_every), loop))
            return
        except redis.exceptions.RedisError as error:
            log.warning("the scheduler begins anew", **told(error))
            time.sleep(1.0)


def _level(name: str) -> int:
    level = logging.getLevelNamesMapping().get(name.upper())
    if level is None:
        raise CommandError(Exit.BAD_INPUT, f"--log-level {name!r}: use DEBUG, INFO, WARNING or ERROR")
    return level


def _reachable(settings: Settings) -> Urls:
    """The servers, once they answer; the embedded one is kept running while this process does."""
    urls = find_urls(settings)
    for url in {urls.records, urls.queue}:
        _wait_for_redis(url)
    if settings.redis_url is None:
        _keep_valkey_running(settings.data_dir)
    return urls


def _wait_for_redis(url: str) -> None:
    """A process may be started before its Redis, or while that refuses: it says so, and waits."""
    client = connect(url)
    while True:
        try:
            client.ping()
            return
        except redis.exceptions.RedisError as error:
            log.warning("waiting for Redis", **told(error))
            time.sleep(REDIS_PAUSE)


def _keep_valkey_running(data_dir: Path) -> None:
    """Start the embedded Valkey again should it die while this process runs."""

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
