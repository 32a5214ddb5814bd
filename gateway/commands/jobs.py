"""`unlinker unlink`, `job`, `cancel`: single jobs from the shell."""

import time
import uuid
from typing import Annotated, Any

import typer

from config.accounts import load_accounts
from config.settings import load_settings
from gateway import operator
from gateway.composition import Doors, open_doors
from gateway.exits import CommandError, Exit
from gateway.interrupting import uninterrupted
from gateway.output import note, print_jobs, print_json
from tasks.unlink import NAME
from worker.engine import envelope
from worker.engine.results import celery_result
from worker.stores import keys
from worker.stores.audit import Act
from worker.stores.cancelling import TOO_LATE, Cancelled
from worker.stores.halts import ALL, Halt, HaltedBy, decode
from worker.stores.wishes import Accepted, Wish
from worker.unlinking.errors import UnlinkError
from worker.unlinking.job import DEFAULT_ACCOUNT, Job
from worker.unlinking.outcome import CANCELLED, SUCCESSES, Kind

POLL = 0.05  # seconds between looks at a job that is waited for
LASTING_HALTS = (HaltedBy.OPERATOR, HaltedBy.CREDENTIALS)  # nothing to wait for: somebody has to mend something

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else on stdout.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until the job has ended.")]
Timeout = Annotated[float, typer.Option("--timeout", min=0, help="Seconds to wait at the most.")]


def unlink(
    relationtype: Annotated[str, typer.Argument(metavar="TYPE", help="Short form (calendar:address) or full URN.")],
    parentid: Annotated[int, typer.Argument(metavar="PARENT", help="Record id of the parent.")],
    childid: Annotated[int, typer.Argument(metavar="CHILD", help="Record id of the child.")],
    account: Annotated[str, typer.Option(help="Whose relation.")] = DEFAULT_ACCOUNT,
    requested_by: Annotated[str | None, typer.Option(help="Who asks; kept with the job.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why; kept with the job.")] = None,
    not_after: Annotated[str | None, typer.Option(help="Deadline, ISO 8601 with time zone.")] = None,
    wait: Wait = False,
    timeout: Timeout = 60.0,
    json_: Json = False,
) -> None:
    """Enqueue one job: this relation shall be gone.

    Example: unlinker unlink calendar:address 671 153 --wait
    """
    arguments = {
        "relationtype": relationtype,
        "parentid": parentid,
        "childid": childid,
        "account": account,
        "requested_by": requested_by,
        "reason": reason,
        "not_after": not_after,
    }
    try:
        job = Job.from_arguments(str(uuid.uuid4()), {name: v for name, v in arguments.items() if v is not None})
    except UnlinkError as error:
        raise CommandError(Exit.BAD_INPUT, error.text) from None
    settings = load_settings()
    _warn_of_unknown_account(account, list(load_accounts(settings)))
    doors = open_doors(settings)
    message = envelope.write(NAME, job.id, job.as_arguments())
    try:
        with uninterrupted():
            accepted = doors.wishes.enqueue(Wish(job, message))
        if accepted is Accepted.JOINED:
            note("another job waits for the same relation; this one joins it")
        _report(doors, job.id, wait=wait, timeout=timeout, json_=json_)
    except KeyboardInterrupt:
        note(f"the job stays; ask again with `unlinker job {job.id} --wait`, or take it back with `cancel`")
        raise typer.Exit(Exit.NOT_ALL_SUCCEEDED) from None


def _warn_of_unknown_account(account: str, known: list[str]) -> None:
    if known and account not in known:
        note(f"account {account!r} is not set here (known: {', '.join(known)}); workers without it call the job dead")


def job(
    job_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the job, which is its Celery task id.")],
    wait: Wait = False,
    timeout: Timeout = 60.0,
    json_: Json = False,
) -> None:
    """Show one job.

    Example: unlinker job 0b7c6a3e-... --wait
    """
    _report(open_doors(load_settings()), job_id, wait=wait, timeout=timeout, json_=json_)


def cancel(
    job_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the job.")],
    json_: Json = False,
) -> None:
    """Take a wish back. Works with no worker up, and until the last moment before the request.

    Example: unlinker cancel 0b7c6a3e-...
    """
    doors = open_doors(load_settings())
    result = celery_result(CANCELLED, time.time())
    with uninterrupted():
        answer = doors.wishes.cancel(job_id, result)
        if answer is Cancelled.UNKNOWN:
            answer = doors.wishes.cancel(job_id, result, doors.lookup.unclaimed_fields(job_id))
        if answer is Cancelled.UNKNOWN:
            raise _unknown(doors, job_id)
        if answer is Cancelled.CANCELLED:
            doors.audit.note(Act(action="cancel", by=operator.name(), wanted={"job": job_id}, count=1))
        _print(_found(doors, job_id), json_=json_)
    if answer is not Cancelled.CANCELLED:
        raise CommandError(Exit.NOT_ALL_SUCCEEDED, f"too late: {TOO_LATE[answer]}")


def _report(doors: Doors, job_id: str, *, wait: bool, timeout: float, json_: bool) -> None:
    document = _wait_for_end(doors, job_id, timeout) if wait else _found(doors, job_id)
    _print(document, json_=json_)
    if document["status"] != "ended":
        if wait:
            raise _not_ended(doors, document, timeout)
        return
    if not _succeeded(document):
        raise typer.Exit(Exit.NOT_ALL_SUCCEEDED)


def _succeeded(document: dict[str, Any]) -> bool:
    """Of a chunk: whether all its rows did."""
    if document.get("outcome") == "done":
        return not any(document.get(kind) for kind in (Kind.DEAD, Kind.EXPIRED, Kind.CANCELLED))
    return document.get("outcome") in SUCCESSES


def _wait_for_end(doors: Doors, job_id: str, timeout: float) -> dict[str, Any]:
    deadline = time.monotonic() + timeout
    document = _found(doors, job_id)
    while True:
        halt = _halt_of(doors, document) if document["status"] == "parked" else None
        lasting = halt is not None and halt.by in LASTING_HALTS
        if document["status"] == "ended" or lasting or time.monotonic() >= deadline:
            return document
        time.sleep(POLL)
        document = doors.wishes.document(job_id) or document  # the queue was looked through once


def _found(doors: Doors, job_id: str) -> dict[str, Any]:
    document = doors.lookup.document(job_id)
    if document is None:
        raise _unknown(doors, job_id)
    return document


def _unknown(doors: Doors, job_id: str) -> CommandError:
    message = doors.rejected.of_job(job_id)
    if message is not None:
        text = f"its message was rejected: {message.why}. See `unlinker rejected show {message.number}`"
        return CommandError(Exit.NOT_ALL_SUCCEEDED, text)
    return CommandError(
        Exit.BAD_INPUT, f"no job {job_id!r} is known or queued: a wrong id, or one kept no longer (eight days)"
    )


def _halt_of(doors: Doors, document: dict[str, Any]) -> Halt | None:
    value = doors.client.hget(keys.HALTS, document["account"]) or doors.client.hget(keys.HALTS, ALL)
    return None if value is None else decode(value)


def _not_ended(doors: Doors, document: dict[str, Any], timeout: float) -> CommandError:
    halt = _halt_of(doors, document)
    if halt is not None:
        return CommandError(
            Exit.BRAKE,
            f"account {document['account']} is halted ({halt.by}): {halt.why}; the job waits and is not lost. "
            "See `unlinker accounts list`",
        )
    return CommandError(
        Exit.UNREACHABLE,
        f"not ended after {timeout:g} s, status {document['status']}; the job stays. Does a worker run? "
        "Ask again with `unlinker job ID --wait`",
    )


def _print(document: dict[str, Any], *, json_: bool) -> None:
    if json_:
        print_json(document)
    else:
        print_jobs([document])
