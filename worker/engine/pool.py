"""The asyncio pool: coroutine bodies of tasks run on one loop in one thread of the worker process.

Celery's consumer (main thread) --on_apply--> loop thread: await task.body --> finisher thread: Celery's tracer
and its ack. One finisher, so that Celery's own code never runs on the loop.
"""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from celery.concurrency.base import BasePool, apply_target
from celery.concurrency.prefork import _run_ready_callbacks
from celery.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded
from celery.worker import state
from kombu.asynchronous import get_event_loop

from worker.engine.coroutine_task import COMPLETION, Completion, CoroutineTask
from worker.engine.finisher import Finisher
from worker.engine.runtime import Runtime

START_TIMEOUT = 30.0  # seconds
STOP_MARGIN = 12.0  # seconds a stop may take longer than its grace: Redis is waited for twice, Celery's tracer once
CLOSE_TIMEOUT = 30.0  # seconds; a loop that does not answer any more is left to the end of the process
HUB_TICK = 0.02  # seconds between looks at Celery's hub while the pool is being stopped


class Patience:
    """How long a stop waits. `grace`: seconds for requests on the wire."""

    def __init__(self, grace: float) -> None:
        self._until = time.monotonic() + grace + STOP_MARGIN

    @property
    def is_over(self) -> bool:
        """Whether it goes on now, whatever is not finished."""
        return time.monotonic() >= self._until

    def shorten(self) -> None:
        """Somebody is in a hurry."""
        self._until = min(self._until, time.monotonic() + STOP_MARGIN)


@dataclass(frozen=True, slots=True)
class _Application:
    """What Celery's request asks the pool to run, and whom to tell."""

    target: Callable[..., Any]
    args: tuple[Any, ...]
    callback: Callable[..., Any] | None
    soft_limit: float | None  # seconds; the body may clean up after it
    limit: float | None  # seconds


class AsyncioPool(BasePool):
    """Celery pool; `app.runtime` holds the loop-side objects of the process."""

    body_can_be_buffer = True
    signal_safe = False

    def on_start(self) -> None:
        """Start the loop thread; raises what the runtime raises when it cannot be opened."""
        self._running = 0
        self._idle = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._finisher = Finisher()
        self._runtime: Runtime = self.app.runtime
        self._thread = threading.Thread(target=self._loop.run_forever, name="asyncio-pool", daemon=True)
        self._thread.start()
        self._on_loop(self._runtime.open(), START_TIMEOUT)

    def _on_loop(self, work: Any, timeout: float | None = None) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout)

    def on_apply(
        self,
        target: Callable[..., Any],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        callback: Callable[..., Any] | None = None,
        accept_callback: Callable[..., Any] | None = None,
        **limits: Any,
    ) -> None:
        """Take one delivery; called by Celery in its main thread."""
        if accept_callback is not None:
            accept_callback(os.getpid(), time.monotonic())
        application = _Application(target, args, callback, limits.get("soft_timeout"), limits.get("timeout"))
        with self._idle:
            self._running += 1
        self._loop.call_soon_threadsafe(self._spawn, application)

    def _spawn(self, application: _Application) -> None:
        task = self._loop.create_task(self._run(application))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, application: _Application) -> None:
        name, _task_id, request, *_ = application.args
        task = self.app.tasks[name]
        if isinstance(task, CoroutineTask):
            request[COMPLETION] = await self._complete(task, application)
        self._finisher.put(lambda: self._finish(application))

    async def _complete(self, task: CoroutineTask, application: _Application) -> Completion:
        try:
            return Completion(value=await self._within_limits(task, application))
        except Exception as error:  # noqa: BLE001  # whatever a body raises is its result; Celery's tracer judges it
            return Completion(error=error)

    async def _within_limits(self, task: CoroutineTask, application: _Application) -> object:
        """Celery's time limits. A body that ends jobs knows none: requests and jobs have deadlines of their own."""
        work = task.body(self._runtime, application.args[2])
        if task.stores_own_result:
            return await work
        try:
            async with asyncio.timeout(application.limit):
                return await _within_soft_limit(work, application.soft_limit)
        except TimeoutError:
            raise TimeLimitExceeded(application.limit) from None

    def _finish(self, application: _Application) -> None:
        try:
            apply_target(application.target, application.args, None, application.callback)
        finally:
            with self._idle:
                self._running -= 1
                self._idle.notify_all()

    def on_stop(self) -> None:
        """Warm stop: what is on the wire is finished, everything else goes back to the queue at once.

        Celery stops the pool this way after SIGQUIT too, having set `should_terminate`: then nothing is waited for.
        """
        self._stop(0.0 if state.should_terminate else None)

    def on_terminate(self) -> None:
        """Cold stop: everything goes back at once; what is on the wire is looked at by whoever gets it next."""
        self._stop(0.0)

    def terminate_job(self, pid: int, signal: Any = None) -> None:
        """Called by Celery for every running job before a cold stop, which then gives all of them back."""

    def _stop(self, grace: float | None) -> None:
        if not self._thread.is_alive():
            return
        draining = asyncio.run_coroutine_threadsafe(self._runtime.drain(grace), self._loop)
        hub = get_event_loop()
        patience = Patience(self._runtime.options.grace if grace is None else grace)

        def hurry() -> None:
            patience.shorten()
            self._runtime.hurry()

        with _second_signal(hurry):
            while not (draining.done() and self._is_idle()) and not patience.is_over:
                _run_queued_acks(hub)
                time.sleep(HUB_TICK)
        _run_queued_acks(hub)
        if draining.done():
            draining.result()
        with suppress(TimeoutError):
            self._on_loop(self._close(), CLOSE_TIMEOUT)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSE_TIMEOUT)

    async def _close(self) -> None:
        """Whatever Redis does, this ends: bodies that wait for it are given up, and their jobs' leases run out."""
        for task in self._tasks:
            task.cancel()
        await self._runtime.close()

    def _is_idle(self) -> bool:
        with self._idle:
            return self._running == 0

    def _get_info(self) -> dict[str, Any]:
        return {**super()._get_info(), "running": self._running}


@contextmanager
def _second_signal(hurry: Callable[[], None]) -> Iterator[None]:
    """A second SIGTERM, while a warm stop waits, makes it a cold one; Celery hears the first only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: hurry())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


async def _within_soft_limit(work: Coroutine[Any, Any, object], seconds: float | None) -> object:
    clock = asyncio.timeout(seconds)
    try:
        async with clock:
            return await work
    except TimeoutError:
        if clock.expired():
            raise SoftTimeLimitExceeded(seconds) from None
        raise


def _run_queued_acks(hub: Any) -> None:
    """Celery defers acks to its hub, which does not turn while the pool is stopped (see celery.concurrency.prefork)."""
    if hub is not None:
        _run_ready_callbacks(hub)
