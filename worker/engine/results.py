"""Celery's result of an outcome, as Celery's own Redis backend would have stored it (JSON).

The id stands as @ID@: the script that ends a job fills it in, for the job and for each wish that had joined it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from worker.unlinking.outcome import Kind, Outcome

ID = "@ID@"


def celery_result(outcome: Outcome, now: float) -> dict[str, Any]:
    """SUCCESS with the result, FAILURE with the exception, or REVOKED. `now`: Unix seconds."""
    state, result = _state_and_result(outcome)
    return _meta(state, result, now)


def success(result: Mapping[str, object], now: float) -> dict[str, Any]:
    """SUCCESS with this result. `now`: Unix seconds."""
    return _meta("SUCCESS", result, now)


def _meta(state: str, result: Mapping[str, object], now: float) -> dict[str, Any]:
    return {
        "status": state,
        "result": result,
        "traceback": None,
        "children": [],
        "date_done": datetime.fromtimestamp(now, UTC).isoformat(),
        "task_id": ID,
    }


def _state_and_result(outcome: Outcome) -> tuple[str, dict[str, Any]]:
    if outcome.kind is Kind.CANCELLED:
        return "REVOKED", _exception("TaskRevokedError", "celery.exceptions", ["cancelled"])
    if outcome.succeeded:
        return "SUCCESS", outcome.as_result()
    error = outcome.as_error()
    return "FAILURE", _exception(type(error).__name__, type(error).__module__, list(error.args))


def _exception(name: str, module: str, args: list[Any]) -> dict[str, Any]:
    return {"exc_type": name, "exc_message": args, "exc_module": module}
