"""Group commit: everybody gets their own results, whatever is grouped with them."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.engine.group_commit import GroupCommit


@given(st.lists(st.lists(st.integers(), max_size=5), max_size=20), st.integers(1, 8))
def test_each_caller_gets_the_results_of_its_items(callers: list[list[int]], most: int) -> None:
    batches: list[int] = []

    async def double(items: Sequence[int]) -> list[int]:
        batches.append(len(items))
        await asyncio.sleep(0)
        return [2 * item for item in items]

    async def run() -> list[Sequence[int]]:
        commit = GroupCommit(double, most)
        return await asyncio.gather(*(commit(items) for items in callers))

    assert asyncio.run(run()) == [[2 * item for item in items] for items in callers]
    assert sum(batches) == sum(map(len, callers))
    assert all(size <= max(most, 5) for size in batches)


async def test_what_fails_fails_for_its_batch_only_and_the_next_goes_on() -> None:
    calls: list[list[int]] = []

    async def commit(items: Sequence[int]) -> Sequence[int]:
        calls.append(list(items))
        await asyncio.sleep(0)
        if len(calls) == 2:
            raise ConnectionError("gone")
        return items

    group = GroupCommit(commit, 2)
    found = await asyncio.gather(*(group([number]) for number in range(5)), return_exceptions=True)
    assert calls == [[0], [1, 2], [3, 4]]
    assert [isinstance(each, ConnectionError) for each in found] == [False, True, True, False, False]
    assert await group([9]) == [9]


async def test_a_caller_that_gives_up_leaves_the_others_their_results() -> None:
    gate = asyncio.Event()

    async def commit(items: Sequence[int]) -> Sequence[int]:
        await gate.wait()
        return items

    group = GroupCommit(commit, 10)
    callers = [asyncio.create_task(group([number])) for number in range(3)]
    await asyncio.sleep(0)
    callers[0].cancel()
    callers[1].cancel()
    await asyncio.sleep(0)
    gate.set()
    assert await callers[2] == [2]
    with pytest.raises(asyncio.CancelledError):
        await callers[0]
    assert await group([7]) == [7]
