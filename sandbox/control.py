"""The control API under /_sandbox/: state, log, faults and options by HTTP. JSON in and out."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict, fields
from typing import Any

from aiohttp import web

from sandbox.api import Api
from sandbox.appointments import CONFIRMATIONS
from sandbox.faults import BadRule, Faults, Rule
from sandbox.inputs import BadInput, read_json
from sandbox.options import BadOption, changed
from sandbox.record_control import RecordControl
from sandbox.state import ALL_TYPES, PREFIX, Link, State, seeded

RIGHTS = ("hidden_types", "hidden_parents", "undeletable_types", "unknown_records")
Handler = Callable[[web.Request], Awaitable[web.Response]]


class Control:
    """Handlers around one Api."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def routes(self) -> list[web.RouteDef]:
        """All of them."""
        table: list[tuple[str, str, Handler]] = [
            ("GET", "state", self.get_state),
            ("PUT", "links", self.put_links),
            ("DELETE", "links", self.delete_links),
            ("POST", "links/generate", self.generate_links),
            ("PUT", "rights", self.put_rights),
            ("GET", "log", self.get_log),
            ("GET", "log/times", self.get_times),
            ("GET", "stats", self.get_stats),
            ("GET", "faults", self.get_faults),
            ("POST", "faults", self.post_faults),
            ("DELETE", "faults", self.delete_faults),
            ("GET", "options", self.get_options),
            ("PATCH", "options", self.patch_options),
            ("POST", "reset", self.reset),
            *RecordControl(self._api).table(),
        ]
        return [web.route(method, f"/_sandbox/{path}", _guarded(handler)) for method, path, handler in table]

    async def get_state(self, _: web.Request) -> web.Response:
        """Links, and what cannot be deleted."""
        state = self._api.state
        return web.json_response(
            {
                "links": [_link_document(link) for link in sorted(state.links)],
                "undeletable": [_link_document(link) for link in sorted(state.undeletable)],
                "undeletable_types": sorted(state.undeletable_types),
                "confirmations": [
                    {**_link_document(link), "confirmation": status}
                    for link, status in sorted(state.confirmations.items())
                ],
            }
        )

    async def put_links(self, request: web.Request) -> web.Response:
        """Add links: a list of {relationtype, parentid, childid, undeletable?, confirmation?}."""
        documents = await read_json(request)
        if not isinstance(documents, list):
            raise BadInput("send a list of links")
        state = self._api.state
        links = [_link(document) for document in documents]
        statuses = {link: _status(each) for link, each in zip(links, documents, strict=True) if "confirmation" in each}
        state.add(links)
        for link, status in statuses.items():
            state.confirm(link, status)
        state.undeletable |= {
            link for link, document in zip(links, documents, strict=True) if document.get("undeletable")
        }
        return web.json_response({"links": len(state.links)})

    async def delete_links(self, request: web.Request) -> web.Response:
        """Remove all links, or those of a list as `put_links` takes it, without a trace in the counters."""
        state = self._api.state
        chosen = [_link(each) for each in await read_json(request)] if request.can_read_body else list(state.links)
        for link in chosen:
            state.remove(link)
        state.undeletable -= set(chosen)
        return web.json_response({"links": len(state.links)})

    async def generate_links(self, request: web.Request) -> web.Response:
        """Many links: {relationtype, parents, children_per_parent, first_parent?, first_child?}."""
        wish = await read_json(request)
        if not isinstance(wish, dict):
            raise BadInput("send an object")
        kind = _kind(wish)
        numbers = {"first_parent": 1, "first_child": 1, **wish}
        for name in ("parents", "children_per_parent", "first_parent", "first_child"):
            if not isinstance(numbers.get(name), int) or numbers[name] < 1:
                raise BadInput(f"{name} must be a whole number from 1")
        parents = range(numbers["first_parent"], numbers["first_parent"] + numbers["parents"])
        children = range(numbers["first_child"], numbers["first_child"] + numbers["children_per_parent"])
        self._api.state.add((kind, parent, child) for parent in parents for child in children)
        return web.json_response({"links": len(self._api.state.links)})

    async def put_rights(self, request: web.Request) -> web.Response:
        """What cannot be seen, deleted or linked: some of RIGHTS, each a list."""
        wish = await read_json(request)
        if not isinstance(wish, dict) or set(wish) - set(RIGHTS):
            raise BadInput(f"send some of {', '.join(RIGHTS)}")
        for name, values in wish.items():
            if not isinstance(values, list):
                raise BadInput(f"{name} must be a list")
            setattr(self._api.state, name, set(values))
        return web.json_response(wish)

    async def get_log(self, request: web.Request) -> web.Response:
        """Requests after number `since`, at most `limit`."""
        since, limit = _number(request, "since", 0), _number(request, "limit", 1000)
        chosen = [asdict(entry) for entry in self._api.state.log if entry.number > since]
        return web.json_response(chosen[:limit])

    async def get_times(self, request: web.Request) -> web.Response:
        """When each request of `account` arrived, on the sandbox's clock."""
        return web.json_response(self._api.state.times.get(request.query.get("account", "default"), []))

    async def get_stats(self, _: web.Request) -> web.Response:
        """Figures."""
        state = self._api.state
        return web.json_response(
            {
                "requests": state.counts["requests"],
                "most_in_flight": state.most_in_flight,
                "worst_second": {account: state.worst_window(account) for account in state.times},
                "deleted": sum(state.deleted.values()),
                "deleted_twice": [_link_document(link) for link, times in state.deleted.items() if times > 1],
                "created": sum(state.created.values()),
                "created_existing": [_link_document(link) for link in state.created_existing],
                "links": len(state.links),
            }
        )

    async def get_faults(self, _: web.Request) -> web.Response:
        """Rules in force."""
        return web.json_response(self._api.faults.documents())

    async def post_faults(self, request: web.Request) -> web.Response:
        """Add one rule or a list of them."""
        documents = await read_json(request)
        self._api.faults.add(
            [Rule.from_document(each) for each in (documents if isinstance(documents, list) else [documents])]
        )
        return web.json_response(self._api.faults.documents())

    async def delete_faults(self, _: web.Request) -> web.Response:
        """No more faults."""
        self._api.faults.clear()
        return web.json_response([])

    async def get_options(self, _: web.Request) -> web.Response:
        """The options; accounts by name only."""
        return web.json_response(self._options())

    async def patch_options(self, request: web.Request) -> web.Response:
        """Change some options."""
        changes = await read_json(request)
        if not isinstance(changes, dict):
            raise BadInput("send an object of options")
        self._api.options = changed(self._api.options, changes)
        return web.json_response(self._options())

    def _options(self) -> dict[str, Any]:
        options = self._api.options
        shown = {each.name: getattr(options, each.name) for each in fields(options) if each.name != "accounts"}
        return shown | {"accounts": [account.name for account in options.accounts]}

    async def reset(self, _: web.Request) -> web.Response:
        """Everything as at the start, but for the options."""
        self._api.state = fresh_state(self._api)
        self._api.faults = Faults()
        return web.json_response({"links": len(self._api.state.links)})


def fresh_state(api: Api) -> State:
    """The state a sandbox with these options begins with."""
    return seeded(api.options.log_size) if api.options.seed_links else State(api.options.log_size)


def _guarded(handler: Handler) -> Handler:
    async def guarded(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except (BadInput, BadRule, BadOption) as error:
            return web.json_response({"error": str(error)}, status=400)

    return guarded


def _kind(document: dict[str, Any]) -> str:
    kind = str(document.get("relationtype", "")).removeprefix(PREFIX)
    if kind not in ALL_TYPES:
        raise BadInput(f"relationtype {kind!r} is unknown here")
    return kind


def _link(document: object) -> Link:
    if not isinstance(document, dict):
        raise BadInput("a link must be an object")
    ids = [document.get("parentid"), document.get("childid")]
    if not all(isinstance(each, int) for each in ids):
        raise BadInput("parentid and childid must be integers")
    return _kind(document), document["parentid"], document["childid"]


def _status(document: dict[str, Any]) -> str:
    status = document["confirmation"]
    if document.get("relationtype") != "calendar:address" or status not in CONFIRMATIONS.values():
        raise BadInput(f"confirmation is for calendar:address, and one of {', '.join(CONFIRMATIONS.values())}")
    return str(status)


def _link_document(link: Link) -> dict[str, object]:
    return {"relationtype": link[0], "parentid": link[1], "childid": link[2]}


def _number(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name, str(default))
    if not text.isascii() or not text.isdigit():
        raise BadInput(f"{name} must be a whole number")
    return int(text)
