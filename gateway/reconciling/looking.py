"""What a worker does when a scheduler says that it is time to look."""

import asyncio
from html import escape

import structlog

from config.settings import Settings
from gateway.reconciling.faults import PolicyFileError
from gateway.reconciling.night_work import NightWork
from gateway.reconciling.notifying import Notice
from gateway.reconciling.orphans import end_orphans
from gateway.reconciling.parts import NightParts, open_night_parts
from gateway.reconciling.policy_file import load_policies
from gateway.reconciling.truth_work import TruthWork
from worker.engine.threads import in_thread
from worker.unlinking.night import TRUTH, Night
from worker.unlinking.policies import Policies
from worker.unlinking.slots import Timing

log = structlog.get_logger(__name__)
DEFAULT_TRUTH = Timing("0 4 * * *", "UTC", 6 * 3600.0)  # without a policies file
TELL_AGAIN = 6 * 3600.0  # seconds


def policies_of(settings: Settings) -> Policies:
    """As the file says just now. Raises PolicyFileError."""
    if settings.policies_file is None:
        return Policies(truth=DEFAULT_TRUTH)
    return load_policies(settings.policies_file)


class Looker:
    """Looks after nights; blocks, so that a night's work never holds up the worker's loop. Any thread may."""

    def __init__(self, settings: Settings, parts: NightParts | None = None) -> None:
        self._settings = settings
        self._parts = parts or open_night_parts(settings)

    def look_after(self, name: str) -> dict[str, object]:
        """What was done, for the result. `name`: of a policy, or of an account with TRUTH before it.

        Raises redis.exceptions.RedisError and NightLost; then the next look goes on.
        """
        return asyncio.run(self._look_after(name))

    def tell(self, name: str, title: str, text: str) -> None:
        """Tell whoever is to be told that something needs a person, once in a while; `name`: what it is.

        Raises redis.exceptions.RedisError.
        """
        asyncio.run(self._tell_sometimes(name, title, text, {"fault": text}))

    async def _look_after(self, name: str) -> dict[str, object]:
        try:
            policies = await in_thread(lambda: policies_of(self._settings))
        except PolicyFileError as error:
            await self._tell(error)
            return {"policy": name, "faults": len(error.faults)}
        night: Night | None = None
        if name.startswith(TRUTH):
            await end_orphans(self._parts, policies.by_name)
            if policies.truth is not None:
                night = await TruthWork(self._parts).look_after(name.removeprefix(TRUTH), policies.truth)
        elif name in policies.by_name:
            night = await NightWork(self._parts).look_after(policies.by_name[name])
        else:
            log.warning("no such policy; restart the scheduler", policy=name, known=sorted(policies.by_name))
        return {"policy": name, "night": night and night.id, "status": night and str(night.status)}

    async def _tell(self, error: PolicyFileError) -> None:
        """Now and then: no night begins while the file is broken."""
        log.error("no night begins: the policies file has faults", faults=str(error))
        title = f"no night begins: {error.path} has {len(error.faults)} faults"
        document: dict[str, object] = {"faults": [fault.sentence(error.path) for fault in error.faults]}
        await self._tell_sometimes("policies", title, str(error), document)

    async def _tell_sometimes(self, name: str, title: str, text: str, document: dict[str, object]) -> None:
        if await in_thread(lambda: self._parts.nights.first_in(name, TELL_AGAIN)):
            await self._parts.notifier.tell(Notice(title, text, f"<pre>{escape(text)}</pre>", document))
