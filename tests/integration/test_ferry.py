"""The ferry between two servers: what becomes of messages when it dies, or is held up, in the middle."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio
from redis.exceptions import ConnectionError as Disconnected

from worker.engine.ferry import PORTION, Ferry
from worker.stores import keys


class Dying(redis.asyncio.Redis):
    """A connection that breaks before anything can be taken away: as a carrier dies that has put messages there."""

    def pipeline(self, *_: Any, **__: Any) -> Any:
        raise Disconnected("gone")


@pytest.fixture
async def broker(store: "redis.asyncio.Redis", redis_url: str) -> AsyncIterator["redis.asyncio.Redis"]:
    """Another database is another server to the ferry."""
    del store
    client = redis.asyncio.Redis.from_url(f"{redis_url.rpartition('/')[0]}/5")
    await client.flushdb()
    yield client
    await client.aclose()


async def test_messages_keep_their_order_and_are_carried_once_though_the_carrier_dies(
    store: "redis.asyncio.Redis", broker: "redis.asyncio.Redis", redis_url: str
) -> None:
    names = ("unlink", keys.queue_list("unlink", 6), "bulk")
    wanted = {name: [f"{name} {number}".encode() for number in range(PORTION + 50)] for name in names}
    for name, messages in wanted.items():
        await store.lpush(name, *messages)
    dying = Dying.from_url(redis_url)
    for _ in range(3):  # one after the other dies in the middle
        with pytest.raises(Disconnected):
            await Ferry(dying, broker, "dying")._carry()
    await dying.aclose()
    ferry = Ferry(store, broker, "living")
    while await ferry._carry():
        await store.lpush("unlink", b"late") if await store.llen("unlink") == 50 else None
    for name, messages in wanted.items():
        late = [b"late"] if name == "unlink" else []
        assert await broker.lrange(name, 0, -1) == [*late, *reversed(messages)]
        assert await store.llen(name) == 0


async def test_one_carries_at_a_time_and_another_takes_over(
    store: "redis.asyncio.Redis", broker: "redis.asyncio.Redis"
) -> None:
    first, second = Ferry(store, broker, "first"), Ferry(store, broker, "second")
    assert [await each._has_the_turn() for each in (first, second, first)] == [True, False, True]
    assert await store.pttl(keys.FERRY) > 0
    await store.delete(keys.FERRY)  # as when its time has run out
    assert [await each._has_the_turn() for each in (second, first)] == [True, False]


async def test_two_servers_are_told_from_one(store: "redis.asyncio.Redis", broker: "redis.asyncio.Redis") -> None:
    assert await Ferry(store, store, "x")._is_one_server()
    assert not await Ferry(store, broker, "x")._is_one_server()


async def test_a_key_of_another_type_is_no_queue(store: "redis.asyncio.Redis", broker: "redis.asyncio.Redis") -> None:
    await store.set("unlink", "no list")
    await store.lpush("bulk", b"x")
    assert await Ferry(store, broker, "x")._carry() == 1
