"""The work of one job: one POST with one action, as a peer's user would write it, on one session per process."""

import os
from typing import Any

import aiohttp

API = os.environ["BENCH_API"]
REDIS = os.environ["BENCH_REDIS"]
ACTION = "urn:onoffice-de-ns:smart:2.5:smartml:action:delete"
TYPE = "urn:onoffice-de-ns:smart:2.5:relationTypes:calendar:address"
_session: list[aiohttp.ClientSession] = []


async def unlink_one(parentid: int, childid: int) -> str:
    """Delete one link; returns what the API says."""
    if not _session:
        _session.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=500)))
    parameters = {"relationtype": TYPE, "parentid": parentid, "childid": childid}
    action: dict[str, Any] = {"actionid": ACTION, "identifier": str(childid), "parameters": parameters}
    async with _session[0].post(API, json={"token": "x", "request": {"actions": [action]}}) as response:
        answer = await response.json()
    return str(answer["response"]["results"][0]["data"]["records"][0]["elements"]["success"])
