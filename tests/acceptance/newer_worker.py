"""A worker of a later version: payloads of version 2, one more task. `python -m tests.acceptance.newer_worker`"""

from collections.abc import Mapping
from typing import Any

from config.celery_options import celery_options
from config.settings import load_settings
from gateway.composition import find_urls, runtime_options
from tasks.app import TASKS, make_worker_app
from worker.engine.coroutine_task import CoroutineTask
from worker.engine.envelope import READERS
from worker.engine.runtime import Runtime


class Later(CoroutineTask):
    """No worker of this version knows it."""

    name = "unlinker.test_later"

    async def body(self, runtime: Runtime, request: Mapping[str, Any]) -> object:
        """Nothing."""
        del runtime, request
        return "done"


def main() -> None:
    """Run until SIGTERM."""
    READERS[2] = lambda body: ([], body["job"], {})
    settings = load_settings()
    app = make_worker_app(runtime_options(settings, find_urls(settings)), celery_options(), (*TASKS, Later))
    app.Worker(hostname="newer@test", loglevel="INFO", without_gossip=True, without_mingle=True).start()


if __name__ == "__main__":
    main()
