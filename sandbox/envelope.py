"""The shape of an answer (facts 2): what the top level says, and one result per action."""

from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.actions import Result
from sandbox.options import SandboxOptions

OK = {"code": 200, "errorcode": 0, "message": "OK"}
ERROR_IN_ACTION = 97


def answer(options: SandboxOptions, actions: Sequence[Mapping[str, Any]], results: Sequence[Result]) -> dict[str, Any]:
    """The whole body."""
    documents = [_result(action, result) for action, result in zip(actions, results, strict=False)]
    return {"status": _top(options, results), "response": {"results": documents}}


def request_error(code: int, message: str) -> dict[str, Any]:
    """An error answer to the whole request (facts 2.3, shape 3)."""
    return {"status": {"code": 500, "errorcode": code, "message": message}, "response": {"results": []}}


def _top(options: SandboxOptions, results: Sequence[Result]) -> dict[str, Any]:
    failed = [result for result in results if result.errorcode]
    if not failed:
        return OK
    if len(results) == 1 or options.mixed_top == "first":
        return {"code": 500, "errorcode": failed[0].errorcode, "message": failed[0].message}
    if options.mixed_top == "97":
        return {"code": 500, "errorcode": ERROR_IN_ACTION, "message": "Error in action"}
    return OK


def _result(action: Mapping[str, Any], result: Result) -> dict[str, Any]:
    data: object = {"meta": {"cntabsolute": result.total}, "records": result.records} if not result.errorcode else []
    return {
        "actionid": action.get("actionid"),
        "resourceid": action.get("resourceid", ""),
        "resourcetype": action.get("resourcetype"),
        "cacheable": result.cacheable,
        "identifier": action.get("identifier", ""),
        "data": data,
        "status": {"errorcode": result.errorcode, "message": result.message},
    }
