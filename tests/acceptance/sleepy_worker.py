"""A worker with one more task: `python -m tests.acceptance.sleepy_worker`."""

import asyncio
from collections.abc import Mapping
from typing import Any

from config.celery_options import celery_options
from config.settings import load_settings
from gateway.composition import find_urls, runtime_options
from tasks.app import TASKS, make_worker_app
from worker.engine.coroutine_task import CoroutineTask
from worker.engine.runtime import Runtime


class Sleep(CoroutineTask):
    """Sleeps, and says whether it was woken by its soft limit."""

    name = "unlinker.test_sleep"

    async def body(self, runtime: Runtime, request: Mapping[str, Any]) -> object:
        """Sleep for longer than any limit."""
        del runtime, request
        await asyncio.sleep(30)
        return "slept"


def main() -> None:
    """Run until SIGTERM."""
    settings = load_settings()
    app = make_worker_app(runtime_options(settings, find_urls(settings)), celery_options(), (*TASKS, Sleep))
    app.Worker(loglevel="INFO", without_gossip=True, without_mingle=True).start()


if __name__ == "__main__":
    main()
