"""The Celery app of a worker. Producers need none of it: any Celery app can send the tasks by name."""

from collections.abc import Iterable, Mapping
from typing import Any

from celery import Celery
from kombu import Queue

from tasks.reconcile import Reconcile, Reconciler
from tasks.redrive import Redrive, Teller
from tasks.undo import NAME as UNDO
from tasks.undo import Undo
from tasks.unlink import NAME as UNLINK
from tasks.unlink import Unlink
from tasks.unlink_many import NAME as UNLINK_MANY
from tasks.unlink_many import UnlinkMany
from worker.engine.claimer import KnownTasks
from worker.engine.coroutine_task import CoroutineTask
from worker.engine.listening import NoteConsumer, has_hooks
from worker.engine.remote_control import register
from worker.engine.runtime import Runtime, RuntimeOptions
from worker.engine.transport import check_fit
from worker.stores import keys

TRANSPORT = "worker.engine.transport:Transport"
POOL = "worker.engine.pool:AsyncioPool"
BACKEND = "worker.engine.backend:Backend"


class UnlinkerApp(Celery):
    """A Celery app with the loop-side objects of its process."""

    runtime: Runtime
    reconciler: Reconciler | None = None  # who looks after nights; set by who makes the app
    teller: Teller | None = None  # who tells people; as above


def consumed_by(app: Celery) -> tuple[str, ...]:
    """The queues that this app's consumer consumes at this moment: our own in their order, then any others.

    Celery's `cancel_consumer`, `add_consumer` and `-Q` change them.
    """
    order = {name: place for place, name in enumerate(keys.QUEUES)}
    return tuple(sorted(app.amqp.queues.consume_from, key=lambda name: order.get(name, len(order))))


TASKS: tuple[type[CoroutineTask], ...] = (Unlink, UnlinkMany, Undo, Redrive, Reconcile)


def make_worker_app(
    options: RuntimeOptions, celery_options: Mapping[str, Any], tasks: Iterable[type[CoroutineTask]] = TASKS
) -> UnlinkerApp:
    """The app of a worker process. Raises EngineMisfitError when the installed kombu does not fit."""
    check_fit()
    register()
    app = UnlinkerApp("unlinker", set_as_current=True)
    for task in tasks:
        app.register_task(task())
    names = frozenset(name for name in app.tasks if name.startswith("unlinker."))
    hooked = frozenset(name for name in names if has_hooks(app.tasks[name]))
    app.runtime = Runtime(options, KnownTasks(names, UNLINK, UNLINK_MANY, UNDO, hooked), lambda: consumed_by(app))
    app.steps["consumer"].add(NoteConsumer)
    app.conf.update(celery_options)
    app.conf.update(
        broker_url=options.queue_url,
        broker_transport=TRANSPORT,
        result_backend=f"{BACKEND}+{options.records_url}",
        worker_pool=POOL,
        task_queues=[Queue(name) for name in keys.QUEUES],
        task_default_queue=keys.QUEUES[0],
    )
    app.conf.broker_transport_options = {**app.conf.broker_transport_options, "post": app.runtime}
    return app
