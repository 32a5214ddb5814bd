"""A worker whose task has hooks of its own: `python -m tests.acceptance.hooked_worker`. They are noted in Redis."""

from typing import Any

import redis

from config.celery_options import celery_options
from config.settings import load_settings
from gateway.composition import find_urls, runtime_options
from tasks.app import TASKS, make_worker_app
from tasks.unlink import Unlink

HOOKS = "test:hooks"  # list: hook, space, id of the job


class Hooked(Unlink):
    """Notes every hook."""

    def _note(self, hook: str, job_id: str) -> None:
        redis.Redis.from_url(self.app.conf.broker_url).rpush(HOOKS, f"{hook} {job_id}")

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Celery's hook."""
        self._note("before_start", task_id)

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        """Celery's hook."""
        self._note("on_success", task_id)

    def on_failure(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Celery's hook."""
        self._note("on_failure", task_id)

    def after_return(self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Celery's hook."""
        self._note(f"after_return:{status}", task_id)


def main() -> None:
    """Run until SIGTERM."""
    settings = load_settings()
    tasks = [Hooked if task is Unlink else task for task in TASKS]
    app = make_worker_app(runtime_options(settings, find_urls(settings)), celery_options(), tasks)
    app.Worker(loglevel="INFO", without_gossip=True, without_mingle=True).start()


if __name__ == "__main__":
    main()
