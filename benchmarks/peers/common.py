"""The work: a POST with an action for each job, as a peer's user would write it, on one session per process."""

import os
from collections.abc import Sequence
from typing import Any

import aiohttp

API = os.environ["BENCH_API"]
REDIS = os.environ["BENCH_REDIS"]
ACTION = "urn:onoffice-de-ns:smart:2.5:smartml:action:delete"
TYPE = "urn:onoffice-de-ns:smart:2.5:relationTypes:calendar:address"
_session: list[aiohttp.ClientSession] = []


async def unlink_one(parentid: int, childid: int) -> str:
    """Delete one link; returns what the API says."""
    (word,) = await unlink_many([(parentid, childid)])
    return word


async def unlink_many(links: Sequence[tuple[int, int]]) -> list[str]:
    """Delete links, parents and children, in one request; returns what the API says of each, in their order."""
    if not _session:
        _session.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=500)))
    actions = [_action(*link) for link in links]
    async with _session[0].post(API, json={"token": "x", "request": {"actions": actions}}) as response:
        answer = await response.json()
    return [str(each["data"]["records"][0]["elements"]["success"]) for each in answer["response"]["results"]]


def _action(parentid: int, childid: int) -> dict[str, Any]:
    parameters = {"relationtype": TYPE, "parentid": parentid, "childid": childid}
    return {"actionid": ACTION, "identifier": str(childid), "parameters": parameters}
