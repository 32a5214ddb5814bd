"""`unlinker.undo`: up to 500 relations of one account in one message shall be there again; the engine of undo runs."""

from tasks.unlink_many import UnlinkMany
from worker.unlinking.job import Job

NAME = "unlinker.undo"


class Undo(UnlinkMany):
    """kwargs as of unlink_many; a relation may have a fourth value, the confirmation status that it shall have.

    Each link is looked for first; what is there is left alone, the rest is created, and no create is repeated blindly.
    The result counts the ends: {"outcome": "done", "restored": n, "already_present": n, "dead": n, "expired": n, ...}.
    """

    name = NAME


def arguments_for(job: Job) -> dict[str, object]:
    """The task's kwargs for one link; what is unset is left out."""
    relation = job.relation
    row: list[object] = [relation.relationtype, relation.parentid, relation.childid]
    if job.confirmation is not None:
        row.append(job.confirmation)
    return {"relations": [row], **job.terms.as_arguments()}
