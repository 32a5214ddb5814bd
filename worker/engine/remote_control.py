"""Celery's remote control, where its own commands know only what Celery's consumer has in memory.

A revoke goes to the store: it is as durable as `unlinker cancel`, works for jobs that are queued, delayed, parked or
joined, and is refused where a request may have been carried out.
"""

import os
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any

from celery.utils.functional import maybe_list
from celery.worker import state as worker_state
from celery.worker.control import Panel

from worker.engine.entry import Entry
from worker.engine.runtime import Runtime
from worker.stores.cancelling import TOO_LATE, Cancelled, stamp

PATIENCE = 5.0  # seconds that Celery's main thread waits for the store; the command goes on after them
MAX_ID = 200  # characters; a longer one is no job's


def register() -> None:
    """Replace Celery's commands in this process."""
    ids = {"variadic": "task_id", "signature": "[id1 [id2 [... [idN]]]]"}
    Panel.register(name="revoke", type="control", **ids)(revoke)
    Panel.register(name="terminate", type="control", args=[("signal", str)], **ids)(terminate)
    stamps = {"variadic": "headers", "signature": "[key1=value1 [key2=value2 [... [keyN=valueN]]]]"}
    Panel.register(name="revoke_by_stamped_headers", type="control", **stamps)(revoke_by_stamped_headers)
    Panel.register(name="active", alias="dump_active", type="inspect")(active)
    Panel.register(name="reserved", alias="dump_reserved", type="inspect")(reserved)


def revoke(state: Any, task_id: Any, terminate: bool = False, signal: Any = None, **_: Any) -> dict[str, str]:
    """Cancel jobs by id. A request that is out is never broken off, so `terminate` adds nothing."""
    del terminate, signal
    ids = sorted({each for each in maybe_list(task_id) or [] if isinstance(each, str) and 0 < len(each) <= MAX_ID})
    runtime: Runtime = state.app.runtime
    return _told(runtime, runtime.revoke(ids), _revoked)


def terminate(state: Any, signal: Any, task_id: Any, **_: Any) -> dict[str, str]:
    """As revoke."""
    return revoke(state, task_id, terminate=True, signal=signal)


def revoke_by_stamped_headers(
    state: Any, headers: Any, terminate: bool = False, signal: Any = None, **_: Any
) -> dict[str, str]:
    """Cancel jobs by stamp, when they are claimed or about to be sent."""
    del terminate, signal
    if not isinstance(headers, Mapping):
        headers = dict(str(each).partition("=")[::2] for each in maybe_list(headers) or [])
    stamps = [stamp(str(header), value) for header, values in headers.items() for value in maybe_list(values) or []]
    runtime: Runtime = state.app.runtime
    words = f"jobs stamped {', '.join(stamps)} will be cancelled"
    return _told(runtime, runtime.revoke_stamps(stamps), lambda _: words)


def active(state: Any, safe: bool = False, **_: Any) -> list[dict[str, Any]]:
    """Jobs whose requests are out, and other tasks that run."""
    on_the_wire, _waiting = _at_hand(state)
    others = _others(state.tset(worker_state.active_requests), safe=safe)
    return [*_described(state, on_the_wire), *others]


def reserved(state: Any, **_: Any) -> list[dict[str, Any]]:
    """Jobs at hand that wait for their request, and other tasks that wait."""
    _on_the_wire, waiting = _at_hand(state)
    idle = state.tset(worker_state.reserved_requests) - state.tset(worker_state.active_requests)
    return [*_described(state, waiting), *_others(idle, safe=False)]


def _told(runtime: Runtime, work: Coroutine[Any, Any, Any], words: Any) -> dict[str, str]:
    """Do it on the loop; Redis may be away, then it is done when that is back, as long as this worker lives."""
    future = runtime.on_loop(work)
    try:
        return {"ok": words(future.result(PATIENCE))}
    except TimeoutError:
        return {"error": "Redis does not answer; it will be done when it does, unless this worker ends before"}


def _revoked(answers: Mapping[str, Cancelled]) -> str:
    return "; ".join(
        f"{job_id}: cancelled" if answer is Cancelled.CANCELLED else f"{job_id}: too late: {TOO_LATE[answer]}"
        for job_id, answer in answers.items()
    )


def _at_hand(state: Any) -> tuple[list[Entry], list[Entry]]:
    runtime: Runtime = state.app.runtime
    at_hand: tuple[list[Entry], list[Entry]] = runtime.on_loop(runtime.at_hand()).result(PATIENCE)
    return at_hand


def _others(requests: Iterable[Any], *, safe: bool) -> list[dict[str, Any]]:
    """Tasks that are no jobs: of those the runtime knows better."""
    return [each.info(safe=safe) for each in requests if not getattr(each.task, "stores_own_result", False)]


def _described(state: Any, entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """As Celery describes a request; the rows of a chunk are the chunk's."""
    found: dict[str, dict[str, Any]] = {}
    for entry in entries:
        held = entry if entry.chunk is None else entry.chunk
        if held.id in found:
            continue
        found[held.id] = {
            "id": held.id,
            "name": state.app.runtime.task_of(held),
            "args": [],
            "kwargs": entry.ticket.job.as_arguments() if entry.chunk is None else {"account": entry.account},
            "type": state.app.runtime.task_of(held),
            "hostname": state.hostname,
            "time_start": entry.began,
            "acknowledged": False,
            "delivery_info": {"exchange": "", "routing_key": entry.queue, "priority": None, "redelivered": False},
            "worker_pid": os.getpid(),
        }
    return list(found.values())
