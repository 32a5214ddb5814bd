"""What comes in through the control API."""

import json
from typing import Any

from aiohttp import web


class BadInput(ValueError):
    """What came in cannot be used; the text names the field."""


async def read_json(request: web.Request) -> Any:
    """The body. Raises BadInput."""
    try:
        return json.loads(await request.read())
    except (ValueError, RecursionError):
        raise BadInput("the body is not JSON") from None
