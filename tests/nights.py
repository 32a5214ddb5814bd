"""Nights for tests: policies written as an operator would, a clock that is turned, and onOffice in the sandbox."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from config.accounts import Account
from config.notices import Notices
from config.settings import Settings
from gateway.composition import desk_options, find_urls
from gateway.reconciling.night_work import NightWork
from gateway.reconciling.notifying import Notice, Notifier
from gateway.reconciling.parts import NightParts, open_night_parts
from gateway.reconciling.policy_file import load_policies
from sandbox import DEFAULT_SECRET, DEFAULT_TOKEN
from worker.engine.reading_desk import ReadingDesk
from worker.stores.nights import Nights
from worker.unlinking.night import Night
from worker.unlinking.policies import ReconcilePolicy

KIND = "estate:address:interested"
HOUR, DAY = 3600.0, 86400.0
POLICY = """
[policies.sold]
relationtype = "estate:address:interested"
because = "sold"
schedule = "30 2 * * *"
timezone = "Europe/Berlin"
catch_up = "2h"
mode = "{mode}"
on_resurrected = "{on_resurrected}"
[policies.sold.scope]
{scope}
[policies.sold.keep]
{keep}
[policies.sold.brakes]
{brakes}
"""


class Told(Notifier):
    """Remembers what is told, and tells it."""

    def __init__(self, notices: Notices) -> None:
        super().__init__(notices, pauses=())
        self.titles: list[str] = []

    async def tell(self, notice: Notice) -> list[str]:
        self.titles.append(notice.title)
        return await super().tell(notice)


@dataclass
class Clock:
    """A clock that is turned."""

    now: float

    def __call__(self) -> float:
        return self.now

    def turn_to(self, wall: str) -> None:
        """To a time in Berlin."""
        self.now = berlin(wall)


def berlin(wall: str) -> float:
    return datetime.fromisoformat(wall).replace(tzinfo=ZoneInfo("Europe/Berlin")).timestamp()


@dataclass
class Office:
    """Everything a night needs, in this process."""

    folder: Path
    settings: Settings
    clock: Clock = field(default_factory=lambda: Clock(berlin("2026-06-01T12:00:00")))
    environ: dict[str, str] = field(default_factory=dict)
    notices: Notices = field(default_factory=Notices)

    def __post_init__(self) -> None:
        self.told = Told(self.notices)
        self.parts = self.opened()
        self.work = NightWork(self.parts)
        self.write()

    def opened(self) -> NightParts:
        """The parts, by this clock."""
        parts = open_night_parts(self.settings)
        nights = Nights(parts.doors.client, self.clock)
        return replace(parts, nights=nights, environ=self.environ, notifier=self.told)

    def impatient(self) -> NightParts:
        """The parts with a desk that gives an API up that is away after a second."""

        def desk(account: Account) -> ReadingDesk:
            return ReadingDesk(replace(desk_options(self.settings, find_urls(self.settings), account), patience=1.0))

        return replace(self.parts, desk=desk)

    def write(self, **said: Any) -> ReconcilePolicy:
        """The policy as it stands in the file from here on."""
        texts = {
            "scope": "ids = [1, 2, 3]",
            "keep": "nothing = true",
            "brakes": "max_share = 1.0",
            "mode": "plan",
            "on_resurrected": "report",
        }
        path = self.folder / "policies.toml"
        path.write_text(POLICY.format(**(texts | said)))
        self.policy = load_policies(path).by_name["sold"]
        return self.policy

    async def look(self, wall: str | None = None) -> Night | None:
        """One look, at a time in Berlin."""
        if wall is not None:
            self.clock.turn_to(wall)
        return await self.work.look_after(self.policy)

    async def now(self) -> Night:
        """A night by hand; a second has passed since the last one."""
        self.clock.now += 1
        return await self.work.now(self.policy)

    def nights(self) -> list[Night]:
        """All nights of the policy, the latest first."""
        return self.parts.nights.of_policy("sold")


def settings_for(redis_url: str, onoffice_url: str, **rest: Any) -> Settings:
    """As an operator's environment would make them."""
    values: dict[str, Any] = {
        "redis_url": redis_url,
        "onoffice_url": onoffice_url,
        "onoffice_token": DEFAULT_TOKEN,
        "onoffice_secret": DEFAULT_SECRET,
        "requests_per_second": 1000,
        "request_timeout": 5,
    }
    return Settings(**(values | rest))


Setup = Callable[..., Office]
