"""A job's record as users see it. Pure."""

import json
from collections.abc import Mapping

RELATION = ("relationtype", "parentid", "childid")
NUMBERS = ("parentid", "childid", "row", "rows", "first_row", "attempts", "deaths", "replays", "redrives")
MOMENTS = (  # ms in the record, seconds outside
    "first_seen",
    "sent_at",
    "ended_at",
    "not_after",
    "deadline",
    "replayed_at",
    "discarded_at",
    "dropped_at",
)
SHOWN = (
    "run",
    "row",
    "rows",
    "first_row",
    "requested_by",
    "attempts",
    "why",
    "joined",
    "first_seen",
    "sent_at",
    "ended_at",
    "not_after",
    "sent",
)
LINKS = (
    "reused_of",
    "reused_by",
    "replay_of",
    "replays",
    "redrives",
    "replayed_as",
    "replayed_at",
    "discarded_at",
    "dropped_at",
)


def job_document(job_id: str, record: Mapping[str, str], status: str) -> dict[str, object]:
    """The document. `status`: of the job that answers for it, as long as it has no outcome of its own."""
    document: dict[str, object] = {"id": job_id}
    if "rows" not in record:  # a chunk names no relation, it has rows
        document |= {name: _value(name, record.get(name)) for name in RELATION}
    document |= {"account": record.get("account"), "status": "ended" if "outcome" in record else status}
    if "restore" in record:
        document["action"] = "restore"
    evidence = json.loads(record.get("evidence", "{}"))
    if "outcome" in record:
        document["outcome"] = record["outcome"]
    document |= evidence
    document |= {name: _value(name, record[name]) for name in (*SHOWN, *LINKS) if name in record}
    if "reason" in record and "reason" not in evidence:
        document["wish_reason"] = record["reason"]
    return document


def _value(name: str, text: str | None) -> object:
    if text is None:
        return None
    if name in NUMBERS:
        return int(text)
    if name in MOMENTS:
        return int(float(text)) / 1000
    return text
