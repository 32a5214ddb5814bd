"""lua/night_*.lua: a slot is one night, one night of a policy is open, and only who holds the lease writes."""

from dataclasses import replace
from typing import Any

import pytest
import redis

from worker.stores import keys
from worker.stores.nights import KEPT, Handled, KeptPlan, NightLost, Nights, Opened
from worker.unlinking.night import Night, NightStatus, night_id

SLOT = 1_700_000_000.0
ME, OTHER = "me", "other"


def night(number: int = 0, status: NightStatus = NightStatus.PLANNING, policy: str = "p") -> Night:
    slot = SLOT + 86_400 * number
    return Night(
        id=night_id(policy, slot), policy=policy, account="default", slot=slot, started_at=slot + 1, status=status
    )


class Bench:
    """Nights, and who looks after them."""

    def __init__(self, url: str) -> None:
        self.client: Any = redis.Redis.from_url(url)
        self.nights = Nights(self.client)
        assert self.nights.take("p", ME)

    def ids(self) -> list[str]:
        return [each.id for each in self.nights.of_policy("p")]


@pytest.fixture
def bench(redis_url: str) -> Bench:
    return Bench(redis_url)


def test_one_holds_the_lease_until_it_gives_it_back(bench: Bench) -> None:
    nights = bench.nights
    assert not nights.take("p", OTHER)
    assert not nights.renew("p", OTHER)
    nights.give_back("p", OTHER)
    assert nights.renew("p", ME)
    assert nights.take("p", ME), "again, since its reply may have been lost"
    assert nights.take("q", OTHER), "another policy has a lease of its own"
    nights.give_back("p", ME)
    assert not nights.renew("p", ME), "what was let go is not held by renewing it"
    assert nights.take("p", OTHER)
    assert not nights.renew("p", ME)


def test_a_lease_ends_by_itself_and_lasts_as_long_as_was_said(bench: Bench) -> None:
    assert bench.nights.renew("p", ME, 100.0)
    assert 90_000 < bench.client.pttl(keys.night_lease("p")) <= 100_000
    bench.client.pexpire(keys.night_lease("p"), 1)
    while bench.client.exists(keys.night_lease("p")):
        pass
    assert not bench.nights.renew("p", ME)
    assert bench.nights.take("p", OTHER, 50.0)
    assert 40_000 < bench.client.pttl(keys.night_lease("p")) <= 50_000


def test_a_night_is_written_down_once(bench: Bench) -> None:
    assert bench.nights.begin(ME, night(), Handled("30 2 * * * UTC", SLOT)) is Opened.OPENED
    assert bench.nights.get(night().id) == bench.nights.open_night("p") == night()
    assert bench.nights.handled("p") == Handled("30 2 * * * UTC", SLOT)
    assert bench.nights.policies() == ["p"]
    assert bench.client.zscore(keys.nights_of("p"), night().id) == SLOT * 1000
    again = replace(night(), account="another")
    assert bench.nights.begin(ME, again, Handled("30 2 * * * UTC", SLOT + 5)) is Opened.EXISTS
    assert bench.nights.get(night().id) == night()
    assert bench.nights.handled("p") == Handled("30 2 * * * UTC", SLOT + 5), "the slot is dealt with all the same"


def test_a_night_by_hand_deals_with_no_slot(bench: Bench) -> None:
    assert bench.nights.begin(ME, night()) is Opened.OPENED
    assert bench.nights.begin(ME, night()) is Opened.EXISTS
    assert bench.nights.handled("p") is None


def test_one_night_of_a_policy_is_open(bench: Bench) -> None:
    bench.nights.begin(ME, night())
    assert bench.nights.begin(ME, night(1), Handled("x", 1.0)) is Opened.BUSY
    assert bench.nights.get(night(1).id) is None
    assert bench.nights.handled("p") is None
    assert bench.nights.begin(ME, night(1, NightStatus.SKIPPED)) is Opened.OPENED, "to say that it was skipped"
    assert bench.nights.open_night("p") == night()
    assert bench.ids() == [night(1).id, night().id]
    assert bench.nights.take("q", ME)
    assert bench.nights.begin(ME, night(policy="q")) is Opened.OPENED
    assert {each.policy for each in bench.nights.open_nights()} == {"p", "q"}


def test_without_the_lease_nothing_is_begun(bench: Bench) -> None:
    assert bench.nights.begin(OTHER, night(), Handled("x", 1.0)) is Opened.LOST
    bench.nights.give_back("p", ME)
    assert bench.nights.begin(ME, night(), Handled("x", 1.0)) is Opened.LOST
    assert bench.client.keys("unlinker:night*") == []


def test_who_holds_the_lease_writes_what_has_become_of_it(bench: Bench) -> None:
    bench.nights.begin(ME, night())
    running = replace(night(), status=NightStatus.RUNNING)
    bench.nights.save(ME, running)
    assert bench.nights.open_night("p") == running
    done = running.ended(SLOT + 5, NightStatus.DONE, "")
    bench.nights.save(ME, done)
    assert bench.nights.get(done.id) == done
    assert bench.nights.open_night("p") is None


def test_without_the_lease_nothing_is_written(bench: Bench) -> None:
    bench.nights.begin(ME, night())
    for token in (OTHER, ""):
        with pytest.raises(NightLost):
            bench.nights.save(token, night().ended(SLOT, NightStatus.DONE, ""), KeptPlan(b"x", 3600))
    assert bench.nights.plan(night().id) is None
    assert bench.nights.open_night("p") == night()


def test_the_end_of_one_night_closes_no_other(bench: Bench) -> None:
    bench.nights.begin(ME, night())
    bench.nights.save(ME, night(1, NightStatus.SKIPPED))
    assert bench.nights.open_night("p") == night()


def test_the_newest_are_kept_and_an_open_one_for_as_long_as_it_is_open(bench: Bench) -> None:
    bench.nights.begin(ME, night())
    bench.nights.save(ME, night(), KeptPlan(b"x", 3600))
    assert 3500 < bench.client.ttl(keys.night_plan(night().id)) <= 3600
    for number in range(1, KEPT + 1):
        bench.nights.begin(ME, night(number, NightStatus.SKIPPED))
    assert bench.client.zcard(keys.nights_of("p")) == KEPT + 1
    assert bench.nights.open_night("p") == night(), "it is older than those that are kept, and it is open"
    bench.nights.save(ME, night(1, NightStatus.SKIPPED), KeptPlan(b"y", 3600))
    bench.nights.begin(ME, night(KEPT + 1, NightStatus.SKIPPED))
    assert bench.nights.get(night(1).id) is None
    assert bench.nights.plan(night(1).id) is None
    assert bench.nights.plan(night().id) == b"x"
    bench.nights.save(ME, night().ended(SLOT, NightStatus.DONE, ""))
    bench.nights.begin(ME, night(KEPT + 2, NightStatus.SKIPPED))
    assert bench.nights.get(night().id) is None
    assert bench.nights.plan(night().id) is None
    assert bench.ids() == [night(number).id for number in range(KEPT + 2, 2, -1)]
    assert bench.client.zcard(keys.nights_of("p")) == KEPT
