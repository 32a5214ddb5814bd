"""lua/dead_*.lua, discard, drop and close: letters are found by all they have, counted right, and taken out once."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis

from tests.ends import die
from worker.stores import keys
from worker.stores.dead_letters import AT_ONCE, DeadLetters
from worker.stores.letter import Filter, Letter
from worker.stores.records import Retention
from worker.unlinking.outcome import EXPIRED, Evidence, dead

SEGMENT = 8192  # serial numbers of one bitmap, as dead_index.lua has it
SEED = 20  # letters of each group
REFUSED = dead("NotDeletable", 168, "no", Evidence.READ_BACK)
RIGHT = dead("MissingRight", 149, "no", None)
GROUPS = (
    ("a", REFUSED, "calendar:address", "default"),
    ("b", RIGHT, "calendar:address", "berlin"),
    ("c", EXPIRED, "estate:address:owner", "default"),
    ("d", REFUSED, "estate:address:owner", "berlin"),
)
FILTERS = [
    Filter(),
    Filter(reason="NotDeletable"),
    Filter(reason="Expired"),
    Filter(code=149),
    Filter(account="berlin"),
    Filter(account="nobody"),
    Filter(relationtype="calendar:address", account="default"),
    Filter(relationtype="calendar:address", account="berlin", code=168),
    Filter(redrives=0),
    Filter(redrives=1),
    Filter(parentid=7),
    Filter(parentid=7, childid=5),
    Filter(parentid=7, childid=6),
    Filter(childid=5),
    Filter(childid=5, account="berlin"),
    Filter(parentid=7, account="berlin", reason="NotDeletable"),
    Filter(parentid=SEED, relationtype="estate:address:owner"),
    Filter(parentid=10**15),
]


def _fits(letter: Letter, wanted: Filter) -> bool:
    """Said anew, without any index."""
    evidence, relation = letter.evidence, letter.relation
    has = {
        "reason": evidence.get("reason"),
        "code": evidence.get("code"),
        "relationtype": relation.relationtype,
        "account": letter.record["account"],
        "run": None,
        "parentid": relation.parentid,
        "childid": relation.childid,
        "redrives": letter.redrives,
    }
    return all(has[name] == value for name, value in wanted.document().items())


class Office:
    """Dead letters on both sides of the edge of a bitmap."""

    def __init__(self, url: str, before_the_edge: int = 2 * SEED + 10) -> None:
        self.client: Any = redis.Redis.from_url(url)
        self.letters = DeadLetters(self.client)
        self.client.set(f"{keys.DEAD}:serial", SEGMENT - before_the_edge)
        for name, how, kind, account in GROUPS:
            die(url, [f"{name}{number:03}" for number in range(SEED)], how, kind, account)

    @property
    def ids(self) -> list[str]:
        """Newest first."""
        return [name.decode() for name in self.client.zrevrange(keys.DEAD, 0, -1)]

    def found(self, wanted: Filter, size: int = AT_ONCE) -> list[str]:
        """As pages show them."""
        return [letter.id for page in self.pages(wanted, size) for letter in page]

    def pages(self, wanted: Filter, size: int) -> Iterator[tuple[Letter, ...]]:
        cursor = ""
        while True:
            page = self.letters.page(wanted, cursor, size)
            yield page.letters
            if not page.cursor:
                return
            assert not cursor or int(page.cursor) < int(cursor), "it goes on"
            cursor = page.cursor

    def assert_index_agrees(self) -> None:
        """With what the letters say."""
        letters = self.letters.read(self.ids)
        for wanted in FILTERS:
            expected = [letter.id for letter in letters if _fits(letter, wanted)]
            assert self.found(wanted) == expected, wanted
            assert self.letters.count(wanted) == len(expected), wanted
        assert self.letters.totals().get("all", {}).get("", 0) == len(letters) == self.letters.number()


@pytest.fixture
def office(redis_url: str) -> Office:
    return Office(redis_url)


def test_every_filter_finds_and_counts_just_what_fits(office: Office) -> None:
    assert len(office.ids) == 4 * SEED
    office.assert_index_agrees()
    assert not office.client.exists(f"{keys.DEAD}:work"), "nothing is left of the search"


def test_pages_of_any_size_meet_each_letter_once(office: Office) -> None:
    filters = (Filter(), Filter(account="berlin"), Filter(parentid=7), Filter(code=1))
    for wanted, size in itertools.product(filters, (1, 7, 4 * SEED, 4 * SEED + 1)):
        expected = [letter.id for letter in office.letters.read(office.ids) if _fits(letter, wanted)]
        pages = list(office.pages(wanted, size))
        assert [letter.id for page in pages for letter in page] == expected
        assert all(len(page) == size for page in pages[:-1])


def test_a_walk_meets_nothing_that_ended_since(office: Office, redis_url: str) -> None:
    cursor = office.letters.now()
    before = office.ids
    die(redis_url, ["later"], REFUSED)
    walked = [letter.id for page in office.letters.walk(Filter(), cursor) for letter in page]
    assert walked == before
    assert office.letters.count(Filter(), cursor) == len(before)
    assert office.letters.count(Filter()) == len(before) + 1


def test_totals_by_every_dimension(office: Office) -> None:
    totals = office.letters.totals()
    assert totals["account"] == {"default": 2 * SEED, "berlin": 2 * SEED}
    assert totals["reason"] == {"NotDeletable": 2 * SEED, "MissingRight": SEED, "Expired": SEED}
    assert totals["code"] == {"168": 2 * SEED, "149": SEED}
    assert totals["relationtype"] == {"calendar:address": 2 * SEED, "estate:address:owner": 2 * SEED}
    assert totals["redrives"] == {"0": 4 * SEED}


def test_what_is_taken_out_is_in_no_index_any_more(office: Office) -> None:
    """Every second one, then the rest: at the end nothing at all is kept of the index."""
    taken = office.ids[::2]
    assert office.letters.discard(taken) == taken
    office.assert_index_agrees()
    rest = office.ids
    assert set(rest).isdisjoint(taken)
    assert office.letters.discard([*taken, *rest]) == rest, "each once"
    left = {name.decode() for name in office.client.keys(f"{keys.DEAD}*")}
    assert left == {f"{keys.DEAD}:serial"}
    assert office.letters.page(Filter()).letters == ()
    assert office.letters.count(Filter()) == 0


def test_a_discarded_letter_is_kept_for_some_days_with_the_time(office: Office) -> None:
    (one, other) = office.ids[:2]
    office.letters.discard([one])
    kept = Retention().records
    assert kept - 60 < office.client.ttl(keys.job(one)) <= kept
    stored = int(office.client.hget(keys.job(one), "discarded_at"))
    assert abs(stored / 1000 - office.client.time()[0]) < 60
    assert office.letters.discard([other, "nobody"], forget=True) == [other]
    assert not office.client.exists(keys.job(other), keys.job("nobody"))


def test_what_is_dropped_is_counted_and_its_record_outlives_any_redelivery(office: Office) -> None:
    old, new, last = office.ids[:3]
    day, now = 86_400_000, office.client.time()[0] * 1000
    office.client.hset(keys.job(old), "ended_at", now - 100 * day)
    office.client.hset(keys.job(new), "ended_at", now - 3 * day)
    assert office.letters.drop([old, new, "nobody"]) == 2
    assert office.letters.drop([old, new]) == 0
    assert int(office.client.hget(keys.COUNTERS, "letters_dropped")) == 2
    assert office.client.pttl(keys.job(old)) <= 1, "its time is over"
    days = Retention().records / 86400 - 3
    assert days - 0.01 < office.client.ttl(keys.job(new)) / 86400 <= days
    assert abs(int(office.client.hget(keys.job(new), "dropped_at")) - now) < 60_000
    assert office.ids[0] == last
    office.assert_index_agrees()
    assert not office.client.exists(keys.job("nobody"))


def test_letters_of_a_time(office: Office) -> None:
    """Their times rise with their numbers; a moment lies before the letters of that very millisecond."""
    oldest_first = office.ids[::-1]
    for second, name in enumerate(oldest_first, start=1000):
        office.client.hset(keys.job(name), "ended_at", second * 1000)
    count = len(oldest_first)
    for first, last in itertools.combinations((0, 999, 1000, 1001, 1000 + count // 2, 999 + count, 1000 + count), 2):
        expected = [name for second, name in enumerate(oldest_first, start=1000) if first <= second < last]
        for wanted in (Filter(since=first, before=last), Filter(since=first + 0.0, before=last - 0.5)):
            assert office.found(wanted) == expected[::-1]
            assert office.letters.count(wanted) == len(expected)
    assert office.found(Filter(since=1001)) == oldest_first[1:][::-1]
    assert office.found(Filter(before=1001)) == oldest_first[:1]
    assert office.found(replace(FILTERS[1], since=1000 + count)) == []


def test_none_at_all(redis_url: str) -> None:
    letters = DeadLetters(redis.Redis.from_url(redis_url))
    for wanted in FILTERS:
        assert letters.page(wanted).letters == ()
        assert letters.count(wanted) == 0
    assert letters.now() == "0"


def test_a_letter_of_a_run_is_found_by_it_and_one_of_a_lone_chunk_names_itself(redis_url: str) -> None:
    client: Any = redis.Redis.from_url(redis_url)
    for name, run in (("r.0:1", "r"), ("lone:1", "lone"), ("lone", "lone"), ("lonely:1", "lone"), ("x", "")):
        client.hset(keys.job(name), mapping={"run": run, "relationtype": "calendar:address"})
        die(redis_url, [name], REFUSED)
    letters = DeadLetters(client)
    assert letters.totals()["run"] == {"r": 1, "lone": 1}
    assert [letter.id for letter in letters.page(Filter(run="r")).letters] == ["r.0:1"]
    assert [letter.id for letter in letters.page(Filter(run="lone")).letters] == ["lonely:1"]
