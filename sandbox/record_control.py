"""The control API's half that makes estates and addresses."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from sandbox.api import Api
from sandbox.inputs import BadInput, read_json
from sandbox.records import RESOURCES

MAX_GENERATED = 1_000_000
Handler = Callable[[web.Request], Awaitable[web.Response]]


class RecordControl:
    """Handlers around one Api."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def table(self) -> list[tuple[str, str, Handler]]:
        """Method, path, handler."""
        return [
            ("GET", "records", self.get_records),
            ("PUT", "records", self.put_records),
            ("DELETE", "records", self.delete_records),
            ("POST", "records/generate", self.generate_records),
            ("PUT", "records/hidden", self.put_hidden),
        ]

    async def get_records(self, _: web.Request) -> web.Response:
        """All of them, hidden ones too: resource -> id -> fields."""
        return web.json_response(self._api.state.records.known)

    async def put_records(self, request: web.Request) -> web.Response:
        """Add or replace records: a list of {resource, id, fields?}."""
        documents = await read_json(request)
        if not isinstance(documents, list) or not all(isinstance(each, dict) for each in documents):
            raise BadInput("send a list of records")
        wishes = [(_resource(each), _number(each, "id"), _fields(each)) for each in documents]
        for wish in wishes:
            self._api.state.records.put(*wish)
        return self._counts()

    async def delete_records(self, _: web.Request) -> web.Response:
        """Remove all, and what is hidden."""
        self._api.state.records.clear()
        return self._counts()

    async def generate_records(self, request: web.Request) -> web.Response:
        """Many alike: {resource, count, first_id?, fields?}."""
        wish = await read_json(request)
        if not isinstance(wish, dict):
            raise BadInput("send an object")
        resource, fields = _resource(wish), _fields(wish)
        count, first = _number(wish, "count"), _number({"first_id": 1, **wish}, "first_id")
        if count > MAX_GENERATED:
            raise BadInput(f"count may be {MAX_GENERATED} at the most")
        for record_id in range(first, first + count):
            self._api.state.records.put(resource, record_id, fields)
        return self._counts()

    async def put_hidden(self, request: web.Request) -> web.Response:
        """Which records this account may not see: resource -> list of ids."""
        wish = await read_json(request)
        if not isinstance(wish, dict) or not all(isinstance(ids, list) for ids in wish.values()):
            raise BadInput("send resource -> list of ids")
        for name, ids in wish.items():
            self._api.state.records.hidden[_resource({"resource": name})] = set(ids)
        return web.json_response(wish)

    def _counts(self) -> web.Response:
        return web.json_response({name: len(known) for name, known in self._api.state.records.known.items()})


def _resource(document: dict[str, Any]) -> str:
    name = document.get("resource")
    if name not in RESOURCES:
        raise BadInput(f"resource must be one of {', '.join(RESOURCES)}, not {name!r}")
    return str(name)


def _number(document: dict[str, Any], name: str) -> int:
    value = document.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadInput(f"{name} must be a whole number from 1")
    return value


def _fields(document: dict[str, Any]) -> dict[str, Any]:
    fields = document.get("fields", {})
    if not isinstance(fields, dict) or not all(
        isinstance(value, str | int | float) and not isinstance(value, bool) for value in fields.values()
    ):
        raise BadInput("fields must be an object of texts and numbers")
    return fields
