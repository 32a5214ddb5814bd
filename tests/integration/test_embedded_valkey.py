"""The embedded Valkey: one for all, found again after a crash, with its data."""

import os
import signal
import threading
from pathlib import Path

import pytest
import redis

from config.embedded_valkey import ensure_running, stop
from config.errors import ConfigurationError
from tests.harness import eventually


def pid_of(url: str) -> int:
    with redis.Redis.from_url(url) as client:
        return int(client.info("server")["process_id"])


def test_one_server_for_all_who_ask_at_once(tmp_path: Path) -> None:
    urls: list[str] = []
    threads = [threading.Thread(target=lambda: urls.append(ensure_running(tmp_path))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        assert len(urls) == 4
        assert len(set(urls)) == 1
        with redis.Redis.from_url(urls[0]) as client:
            assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
            assert client.config_get("appendonly")["appendonly"] == "yes"
    finally:
        stop(tmp_path)


def test_it_is_found_again_after_a_crash_with_its_data(tmp_path: Path) -> None:
    url = ensure_running(tmp_path)
    with redis.Redis.from_url(url) as client:
        client.config_set("appendfsync", "always")
        client.set("kept", "yes")
    pid = pid_of(url)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    again = ensure_running(tmp_path)
    try:
        assert again == url, "clients that run keep their address"
        with redis.Redis.from_url(again) as client:
            assert client.get("kept") == b"yes"
    finally:
        stop(tmp_path)


def test_its_files_are_for_its_owner_only(tmp_path: Path) -> None:
    url = ensure_running(tmp_path)
    try:
        for name in ("server.json", "valkey.conf"):
            assert (tmp_path / "valkey" / name).stat().st_mode & 0o077 == 0
        wrong = redis.Redis(port=int(url.rsplit(":", 1)[1].split("/")[0]), password="wrong")
        with wrong, pytest.raises(redis.exceptions.AuthenticationError):
            wrong.ping()
    finally:
        stop(tmp_path)
        eventually(lambda: not _answers(url))


def _answers(url: str) -> bool:
    try:
        with redis.Redis.from_url(url) as client:
            return bool(client.ping())
    except redis.exceptions.RedisError:
        return False


def test_a_folder_that_cannot_be_used_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot keep its data"):
        ensure_running(tmp_path / "file")
