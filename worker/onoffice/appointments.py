"""Appointments: how their participants' confirmation status is read, and how a link made anew gets it back. Pure.

Source: apidoc.onoffice.de, pages kalender-termin (read by resource id) and create relations (`relationinfo`); API
facts 6.2. The same four values are read in English and written in German.
"""

from collections.abc import Mapping

from worker.onoffice.errors import MalformedAppointment
from worker.onoffice.protocol import ACTION_PREFIX, Action
from worker.onoffice.replies import Answer

READ = ACTION_PREFIX + "read"
CALENDAR = "calendar"
CONFIRMATIONS: Mapping[str, str] = {  # as read -> as written
    "confirmed": "bestätigt",
    "sent": "gesendet",
    "canceled": "gecancelt",
    "not-set": "nicht gesetzt",
}
MAX_STATUS = 50  # characters; the known ones have at most nine


def read_confirmations(identifier: str, appointment: int) -> Action:
    """Read one appointment with the confirmation status of each of its addresses.

    Other appointments than those of a period are read one by one, so it is one action each.
    """
    return Action(identifier, READ, CALENDAR, {"showConfirmationStatus": True}, resourceid=str(appointment))


def relationinfo(confirmation: str) -> dict[str, str]:
    """A confirmation status as a create takes it. Raises KeyError for one that is not in CONFIRMATIONS."""
    return {"statusTerminbestaetigung": CONFIRMATIONS[confirmation]}


def confirmations(answer: Answer, appointment: int) -> dict[int, str]:
    """Of a read appointment: address id -> confirmation status; {} if there is no such appointment for this account.

    Raises MalformedAppointment when the shape is not the documented one, so that no status is lost to a misreading.
    """
    if not answer.records:
        return {}
    if len(answer.records) != 1 or _id(answer.records[0].get("id")) != appointment:
        raise MalformedAppointment("another appointment was answered")
    elements = answer.records[0].get("elements")
    addresses = elements.get("addresses") if isinstance(elements, dict) else None
    if isinstance(addresses, dict):  # PHP turns a list with gaps into a map
        addresses = list(addresses.values())
    if not isinstance(addresses, list):
        raise MalformedAppointment("the appointment has no list of addresses")
    found = dict(map(_participant, addresses))
    if len(found) != len(addresses):
        raise MalformedAppointment("an address stands twice in an appointment")
    return found


def _participant(value: object) -> tuple[int, str]:
    address = _id(value.get("id")) if isinstance(value, dict) else None
    status = value.get("confirmationStatus") if isinstance(value, dict) else None
    if address is None or not isinstance(status, str) or not 0 < len(status) <= MAX_STATUS:
        raise MalformedAppointment("an address of an appointment has no id or no confirmation status")
    return address, status


def _id(value: object) -> int | None:
    """Ids are numbers in records of read calls, and text elsewhere (API facts 7.1)."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20 else None
