"""The fault `echo`: an answer that repeats the request, credentials and all, as careless servers and proxies do."""

import base64
import html
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from aiohttp import web

from sandbox.options import SandboxAccount

WRITINGS: Mapping[str, Callable[[str], str]] = {
    "plain": str,
    "json": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "url": lambda text: quote(text, safe=""),
    "html": lambda text: "".join(f"&#{ord(letter)};" if letter.isalnum() else html.escape(letter) for letter in text),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "upper": str.upper,
    "split": lambda text: " ".join(text[start : start + 4] for start in range(0, len(text), 4)),
}


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as it came, and who may have sent it."""

    raw: bytes
    accounts: Sequence[SandboxAccount]

    def text(self, params: Mapping[str, Any]) -> str:
        """What is repeated. params.what: token, hmac, secret or body; params.writing: one of WRITINGS."""
        document = json.loads(self.raw)
        token = document.get("token")
        texts = {
            "token": token,
            "hmac": document["request"]["actions"][0].get("hmac"),
            "secret": next((account.secret for account in self.accounts if account.token == token), ""),
            "body": self.raw.decode(),
        }
        return WRITINGS[params.get("writing", "plain")](str(texts[params.get("what", "body")]))


def echo_instead(params: Mapping[str, Any], sent: Sent) -> web.Response | None:
    """An answer of the web tier; None when the API is to answer. params.where: page, location, or as in `echo_into`."""
    match params.get("where"):
        case "page":
            page = f"<html><body><h1>Bad request</h1><pre>{sent.text(params)}</pre></body></html>"
            return web.Response(status=int(params.get("status", 502)), text=page, content_type="text/html")
        case "location":
            return web.Response(status=302, headers={"Location": f"/elsewhere?{quote(sent.text(params))}"})
    return None


def echo_into(params: Mapping[str, Any], sent: Sent, body: dict[str, Any]) -> None:
    """Into the answer of the API. params.where: message (with params.code), success, or top (with params.code)."""
    code, said = int(params.get("code", 168)), f"cannot be done: {sent.text(params)}"
    match params.get("where", "message"):
        case "message":
            for result in body["response"]["results"]:
                result |= {"status": {"errorcode": code, "message": said}, "data": []}
        case "success":
            for result in body["response"]["results"]:
                result["data"] = {"records": [{"id": 0, "type": "relation", "elements": {"success": said}}]}
        case "top":
            body |= {"status": {"code": 500, "errorcode": code, "message": said}, "response": {"results": []}}
