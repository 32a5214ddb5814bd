"""Celery's Redis result backend, silent for tasks whose result is written together with their outcome."""

from typing import Any

from celery._state import get_current_task
from celery.backends.redis import RedisBackend


class Backend(RedisBackend):
    """Used by workers only; producers read the results with Celery's own Redis backend."""

    def store_result(self, task_id: Any, result: Any, state: Any, *args: Any, **kwargs: Any) -> Any:
        """Nothing for `stores_own_result` tasks: the script that ends a job has written its one result."""
        request = kwargs.get("request") or (args[1] if len(args) > 1 else None)
        task = self.app.tasks.get(getattr(request, "task", None))
        running = get_current_task()
        # of a task that comes after this one in a chain, and will never run
        of_another = running is not None and running.request.id != task_id
        if getattr(task, "stores_own_result", False) and not of_another:
            return result
        return super().store_result(task_id, result, state, *args, **kwargs)
