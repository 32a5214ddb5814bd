"""From settings to the objects a process needs: the one place where config meets the rest."""

import time
from dataclasses import dataclass

import redis

from config.accounts import Account, load_accounts
from config.embedded_valkey import ensure_running
from config.errors import ConfigurationError
from config.settings import Settings
from gateway.job_lookup import JobLookup
from tasks.redriving import Redriver
from tasks.replay import Replayer
from worker.engine.reading_desk import DeskOptions
from worker.engine.runtime import AccountAccess, RuntimeOptions
from worker.onoffice.protocol import Credentials
from worker.stores.audit import Audit
from worker.stores.connecting import connect as connect  # commands take it from here
from worker.stores.dead_letters import DeadLetters
from worker.stores.journal import Journal
from worker.stores.keep_rules import KeepRules
from worker.stores.rejected import RejectedMessages
from worker.stores.runs import Runs
from worker.stores.unclaimed import Unclaimed
from worker.stores.wishes import Wishes
from worker.unlinking.judging import Policy
from worker.unlinking.redriving import RedrivePolicy
from worker.unlinking.relation_types import RelationTypeError
from worker.unlinking.type_rules import TypeRules

WINDOW = 400  # jobs one worker process holds at once, to begin with
GRACE = 40.0  # seconds a stop waits for requests on the wire


@dataclass(frozen=True, slots=True)
class Urls:
    """Where queue and records are."""

    records: str
    queue: str


def find_urls(settings: Settings) -> Urls:
    """The servers' addresses; starts the embedded Valkey when none is set. Raises ConfigurationError."""
    records = settings.redis_url or ensure_running(settings.data_dir)
    return Urls(records=records, queue=settings.broker_url or records)


@dataclass(frozen=True, slots=True)
class Doors:
    """What operators' commands work with."""

    client: "redis.Redis"
    queue: "redis.Redis"  # the broker's server, which may be another
    rejected: RejectedMessages
    wishes: Wishes
    lookup: JobLookup
    dead_letters: DeadLetters
    replayer: Replayer
    redriver: Redriver
    journal: Journal
    audit: Audit
    runs: Runs


def open_doors(settings: Settings) -> Doors:
    """All of them, on the settings' servers. Raises ConfigurationError."""
    urls = find_urls(settings)
    client = connect(urls.records)
    queue = client if urls.queue == urls.records else connect(urls.queue)
    wishes, letters = Wishes(client), DeadLetters(client)
    replayer = Replayer(wishes, time.time)
    return Doors(
        client=client,
        queue=queue,
        rejected=RejectedMessages(queue),
        wishes=wishes,
        lookup=JobLookup(wishes, Unclaimed(queue)),
        dead_letters=letters,
        replayer=replayer,
        redriver=Redriver(letters, replayer, RedrivePolicy(), time.time),
        journal=Journal(client),
        audit=Audit(client),
        runs=Runs(client),
    )


def runtime_options(settings: Settings, urls: Urls) -> RuntimeOptions:
    """What a worker process is made from. Raises ConfigurationError."""
    return RuntimeOptions(
        onoffice_url=settings.onoffice_url,
        request_timeout=settings.request_timeout,
        records_url=urls.records,
        queue_url=urls.queue,
        lease=settings.visibility_timeout,
        window=WINDOW,
        grace=GRACE,
        accounts={name: access(account) for name, account in load_accounts(settings).items()},
        policy=Policy(
            max_attempts=settings.max_attempts,
            verify_always=settings.verify == "always",
            require_proof=settings.require_proof,
            keep_confirmation=settings.keep_confirmation,
            read_lag=settings.read_lag,
            look_first=settings.look_first,
        ),
        keep=keep_rules(settings),
        archive_dir=settings.archive_dir,
    )


def keep_rules(settings: Settings) -> KeepRules:
    """How long dead letters and the journal are kept."""
    return KeepRules(
        letters_days=settings.dead_letters_days,
        letters_most=settings.dead_letters_max,
        journal_days=settings.journal_days,
    )


def account_named(settings: Settings, name: str) -> Account:
    """An account that is set here. Raises ConfigurationError."""
    accounts = load_accounts(settings)
    if name not in accounts:
        known = ", ".join(accounts) or "none; set UNLINKER_ONOFFICE_TOKEN and UNLINKER_ONOFFICE_SECRET"
        raise ConfigurationError([f"account {name!r} is not set; known: {known}"])
    return accounts[name]


def desk_options(settings: Settings, urls: Urls, account: Account) -> DeskOptions:
    """What a reading desk is made from."""
    return DeskOptions(
        account=account.name,
        access=access(account),
        onoffice_url=settings.onoffice_url,
        records_url=urls.records,
        request_timeout=settings.request_timeout,
        lease=settings.visibility_timeout,
    )


def type_rules(settings: Settings) -> TypeRules:
    """Which relation types bulk work may delete. Raises ConfigurationError."""
    try:
        return TypeRules.of(settings.allowed_types, settings.protected_types)
    except RelationTypeError as error:
        raise ConfigurationError([f"UNLINKER_ALLOWED_TYPES, UNLINKER_PROTECTED_TYPES: {error}"]) from None


def access(account: Account) -> AccountAccess:
    """An account as the worker knows it."""
    return AccountAccess(
        credentials=credentials(account),
        requests_per_second=account.requests_per_second,
        actions_per_request=account.actions_per_request,
        max_in_flight=account.max_in_flight,
    )


def credentials(account: Account) -> Credentials:
    """Token and secret in the clear, still masked in every repr."""
    return Credentials(token=account.token.get_secret_value(), secret=account.secret.get_secret_value())


def secrets_of(accounts: dict[str, Account]) -> list[str]:
    """What must appear in no log."""
    return [secret.get_secret_value() for account in accounts.values() for secret in (account.token, account.secret)]
