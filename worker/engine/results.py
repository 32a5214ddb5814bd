"""Celery's result of an outcome, as Celery's own Redis backend would have stored it (JSON).

Without the id: the script that ends a job adds it, for the job and for each wish that had joined it.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from worker.unlinking.errors import RejectedMessage, UnlinkError
from worker.unlinking.outcome import Evidence, Kind, Outcome


def celery_result(outcome: Outcome, now: float) -> dict[str, Any]:
    """SUCCESS with the result, FAILURE with the exception, or REVOKED. `now`: Unix seconds."""
    state, result = _state_and_result(outcome, now)
    return _meta(state, result, now)


def success(result: Mapping[str, object], now: float) -> dict[str, Any]:
    """SUCCESS with this result. `now`: Unix seconds."""
    return _meta("SUCCESS", {**result, "ended_at": iso(now)}, now)


def rejected(job_id: str, why: str, now: float) -> dict[str, Any]:
    """FAILURE for the producer of a message that is no job. `now`: Unix seconds."""
    error = RejectedMessage(RejectedMessage.__name__, None, why)
    return _meta("FAILURE", _raised(error), now) | {"task_id": job_id}


def again(job_id: str, record: Mapping[str, str]) -> dict[str, Any]:
    """The result of a job that has ended, from its record."""
    evidence = json.loads(record.get("evidence", "{}"))
    ended_at = int(float(record["ended_at"])) / 1000
    if record["outcome"] not in set(Kind):  # of a chunk: it counts its rows
        return success(evidence, ended_at) | {"task_id": job_id}
    known = {name: value for name, value in evidence.items() if name in Outcome.__dataclass_fields__}
    if "evidence" in known:
        known["evidence"] = Evidence(known["evidence"])
    return celery_result(Outcome(kind=Kind(record["outcome"]), **known), ended_at) | {"task_id": job_id}


def iso(moment: float) -> str:
    """ISO 8601, in UTC. `moment`: Unix seconds."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")


def _meta(state: str, result: Mapping[str, object], now: float) -> dict[str, Any]:
    return {
        "status": state,
        "result": result,
        "traceback": None,
        "children": [],
        "date_done": datetime.fromtimestamp(now, UTC).isoformat(),
    }


def _state_and_result(outcome: Outcome, now: float) -> tuple[str, dict[str, Any]]:
    if outcome.kind is Kind.CANCELLED:
        return "REVOKED", _exception("TaskRevokedError", "celery.exceptions", ["cancelled"])
    if outcome.succeeded:
        return "SUCCESS", outcome.as_result() | {"ended_at": iso(now)}
    return "FAILURE", _raised(outcome.as_error())


def _raised(error: UnlinkError | RejectedMessage) -> dict[str, Any]:
    return _exception(type(error).__name__, type(error).__module__, list(error.args))


def _exception(name: str, module: str, args: list[Any]) -> dict[str, Any]:
    return {"exc_type": name, "exc_message": args, "exc_module": module}
