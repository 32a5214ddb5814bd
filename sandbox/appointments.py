"""Appointments as the API shows them, as far as participants and their confirmation status go (facts 6.2)."""

from typing import Any

from sandbox.state import State

KIND = "calendar:address"
CONFIRMATIONS = {  # as written by create relation -> as read
    "bestätigt": "confirmed",
    "gesendet": "sent",
    "gecancelt": "canceled",
    "nicht gesetzt": "not-set",
}


def appointment(state: State, number: int, addresses: str) -> dict[str, Any]:
    """The record of one appointment, read by its id. `addresses`: list, map, or missing."""
    children = state.children(KIND, number)
    elements: dict[str, Any] = {
        "description": f"Appointment {number}",
        "status": "active",
        "assignedaddressids": children,
    }
    if addresses != "missing":
        statuses = {child: state.confirmations.get((KIND, number, child), "not-set") for child in children}
        listed = [{"id": child, "confirmationStatus": status} for child, status in statuses.items()]
        elements["addresses"] = listed if addresses == "list" else {str(2 * n): each for n, each in enumerate(listed)}
        elements["confirmationStatus"] = _overall(set(statuses.values()))
    return {"id": number, "type": "calendar", "elements": elements}


def _overall(statuses: set[str]) -> str:
    if {"confirmed", "canceled"} <= statuses:
        return "confirmed and canceled"
    return next((each for each in ("confirmed", "canceled", "sent") if each in statuses), "not-set")
