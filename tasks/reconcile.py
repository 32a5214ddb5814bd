"""`unlinker.reconcile`: look after the nights of one policy. A scheduler sends it every minute; any number may run."""

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from worker.engine.coroutine_task import CoroutineTask
from worker.engine.runtime import Runtime
from worker.engine.threads import in_thread

NAME = "unlinker.reconcile"
LOOK_EVERY = 0.5  # seconds between looks whether this worker is being stopped


class Reconciler(Protocol):
    """Who does it; blocks."""

    def look_after(self, name: str) -> dict[str, object]:
        """What was done. May be killed at any moment: the next look goes on."""


class Reconcile(CoroutineTask):
    """kwargs: policy, the name of one; or `truth:` and an account's name. The result says what was done."""

    name = NAME

    async def body(self, runtime: Runtime, request: Mapping[str, Any]) -> object:
        """In a thread of its own, with a loop of its own. A worker that is stopped does not wait for it."""
        policy = request["kwargs"].get("policy")
        if not isinstance(policy, str) or not policy:
            raise ValueError("policy must be the name of a policy")
        reconciler: Reconciler | None = self.app.reconciler
        if reconciler is None:
            raise RuntimeError("this worker was started without what nights need; use `unlinker worker`")
        work = asyncio.ensure_future(in_thread(lambda: reconciler.look_after(policy)))
        while not work.done():
            await asyncio.wait({work}, timeout=LOOK_EVERY)
            if runtime.is_draining and not work.done():
                work.cancel()
                return {"policy": policy, "stopped": True}
        return work.result()
