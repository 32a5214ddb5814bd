"""Who removed it: every end says so, undo brings back what was ours, and reads that lag take nothing back."""

import json
from collections.abc import Iterator, Sequence

import pytest

from tests.harness import House

KIND = "estate:address:owner"
Link = tuple[str, int, int]
FAST = {"UNLINKER_REQUESTS_PER_SECOND": "100", "UNLINKER_REQUEST_TIMEOUT": "3", "UNLINKER_READ_LAG": "3"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One worker for all tests here; each has links of its own."""
    house = House(tmp_path_factory.mktemp("attribution") / "house", settings=dict(FAST))
    try:
        house.start_sandbox("--no-seed") if False else house.start_sandbox()
        house.start_worker()
        yield house
    finally:
        house.close()


@pytest.fixture
def home(shared: House) -> Iterator[House]:
    """The shared house, without the faults of the test before."""
    yield shared
    shared.sandbox.call("DELETE", "faults")
    shared.sandbox.call("PATCH", "options", {"read_lag_s": 0})


_parents = iter(range(1000, 9000))


def some(house: House, count: int, *, there: bool = True) -> list[Link]:
    """New links of one parent, and one beside them that stays, so that this account is seen to see such links."""
    parent = next(_parents)
    links = [(KIND, parent, child) for child in range(1, count + 1)]
    house.sandbox.add_links([*(links if there else []), (KIND, parent, 999)])
    return links


def planned(house: House, links: Sequence[Link], name: str) -> str:
    """A plan of these links, made while they are there."""
    source = house.home / f"{name}.csv"
    rows = "".join(f"{kind},{parent},{child}\n" for kind, parent, child in links)
    source.write_text("relationtype,parentid,childid\n" + rows)
    plan = house.home / f"{name}.plan"
    made = house.here("bulk", "plan", str(source), "--out", str(plan))
    assert made.returncode == 0, made.stderr
    return str(plan)


def applied(house: House, plan: str) -> str:
    """The run of a plan, over."""
    house.here("bulk", "apply", plan, "--yes", "--because", "test", "--max-failure-rate", "1", "--canary", "0")
    return str(json.loads(open(plan).readline())["id"])


def test_a_503_after_the_work_is_undone_as_unknown(home: House) -> None:
    links = some(home, 6)
    home.sandbox.fault("unavailable_503", params={"done": True}, match={"parentid": links[0][1], "action": "delete"})
    ids = [home.unlink(*link) for link in links]
    documents = home.all_ended(ids)
    print(documents)
    assert {(each["outcome"], each["by"]) for each in documents.values()} <= {
        ("unlinked", "unknown"),
        ("unlinked", "us"),
    }
