"""Celery's names of workers are unique, whoever starts them how."""

import re

from celery import Celery

from tests.harness import House, Process, eventually

READY = re.compile(r"(\S+) ready\.")


def name_of(worker: Process) -> str:
    found = READY.search(worker.wait_for(" ready."))
    assert found is not None
    return found[1]


def test_workers_on_one_machine_have_names_of_their_own_and_all_answer(house: House) -> None:
    named = ("worker", "--name", "crm@%h")
    workers = [house.start("worker"), house.start("worker"), house.start(*named), house.start(*named)]
    names = [name_of(worker) for worker in workers]
    assert len(set(names)) == 4, names
    hosts = {name.partition("@")[2] for name in names}
    assert len(hosts) == 1
    first, second = sorted(names[2:], key=len)
    assert first.startswith("crm@")
    assert second.startswith("crm-")
    assert any("another worker has this name" in worker.text() for worker in workers[2:])
    control = Celery(broker=house.redis_url).control
    answered: set[str] = set()

    def all_answer() -> bool:
        for reply in control.ping(timeout=2, limit=4) or []:
            answered.update(reply)
        return answered == set(names)

    eventually(all_answer)


def test_a_worker_that_is_started_again_keeps_its_name_however_it_ended(house: House) -> None:
    for end in ("killed", "stopped"):
        worker = house.start("worker", "--name", "crm@test")
        assert name_of(worker) == "crm@test", end
        if end == "killed":
            worker.kill()
        else:
            worker.terminate()
    assert name_of(house.start("worker", "--name", "crm@test")) == "crm@test"
