"""The same faults against stock Celery 5.7: each scenario must be one that stock Celery fails, or it shows nothing."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from celery import Celery

from config.embedded_valkey import ensure_running, stop
from tests.harness import ROOT, Process, eventually


class Stock:
    """A Valkey, and stock workers on it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir()
        self.url = ensure_running(home)
        self.client = redis.Redis.from_url(self.url)
        self.app = Celery(broker=self.url, backend=self.url)
        self.processes: list[Process] = []

    def start_worker(self, pool: str = "threads") -> Process:
        log = self.home / f"stock-{len(self.processes)}.log"
        command = [sys.executable, "-m", "celery", "-A", "tests.faults.stock_app", "worker"]
        options = [
            "-P",
            pool,
            "-c",
            "1",
            "-l",
            "INFO",
            "-n",
            f"{log.stem}@test",
        ]
        with log.open("wb") as file:
            popen = subprocess.Popen(
                command + options,
                cwd=ROOT,
                env={**os.environ, "STOCK_URL": self.url, "PYTHONPATH": str(ROOT)},
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        process = Process(popen, log)
        self.processes.append(process)
        process.wait_for("ready")
        return process

    def close(self) -> None:
        for process in self.processes:
            if process.popen.poll() is None:
                os.killpg(process.popen.pid, signal.SIGKILL)
                process.popen.wait(10)
        self.app.close()
        self.client.close()
        stop(self.home)


@pytest.fixture
def stock(tmp_path: Path) -> Iterator[Stock]:
    stock = Stock(tmp_path / "stock")
    yield stock
    stock.close()


def test_stock_loses_a_message_whose_worker_dies_between_pop_and_note(stock: Stock) -> None:
    lost = 0
    for _ in range(4):
        worker = stock.start_worker()
        time.sleep(0.5)  # its BRPOP is out
        worker.popen.send_signal(signal.SIGSTOP)
        stock.app.send_task("stock.sleep", args=[0])
        eventually(lambda: stock.client.llen("celery") == 0 or None, timeout=5)
        worker.kill()
        lost += stock.client.llen("celery") == 0 and stock.client.hlen("unacked") == 0
    assert lost >= 1, "then the test of ours that does the same shows nothing"


def test_stock_dies_of_junk(stock: Stock) -> None:
    worker = stock.start_worker()
    stock.client.lpush("celery", b"\xff\x00 no json")
    eventually(lambda: worker.popen.poll() is not None, timeout=30)


def test_stock_runs_poison_for_ever(stock: Stock) -> None:
    worker = stock.start_worker("prefork")
    stock.app.send_task("stock.die")
    eventually(lambda: int(stock.client.get("stock:deaths") or 0) >= 5, timeout=60)
    assert worker.popen.poll() is None
