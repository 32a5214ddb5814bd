"""How Celery runs it: the asyncio pool, the coroutine tasks, start and stop."""
