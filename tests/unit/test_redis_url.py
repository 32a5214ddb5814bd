"""Addresses of Redis: what works with all clients, and which sentence names what does not."""

import ssl
import traceback

import pytest
import redis
from celery import Celery
from hypothesis import given
from hypothesis import strategies as st
from kombu import Connection

from config.errors import ConfigurationError
from config.redis_url import read_redis_url
from config.settings import load_settings

SECRET = "s3cr3t"

WORKS = {
    "redis://h": "redis://h:6379/0",
    "redis://h:6380": "redis://h:6380/0",
    "redis://h/": "redis://h:6379/0",
    "redis://h:6380/15": "redis://h:6380/15",
    "REDIS://h/1": "redis://h:6379/1",
    "valkey://h:6380/1": "redis://h:6380/1",
    "valkeys://h:6380/1": "rediss://h:6380/1?ssl_cert_reqs=required",
    "rediss://h": "rediss://h:6379/0?ssl_cert_reqs=required",
    "rediss://h?ssl_cert_reqs=CERT_NONE": "rediss://h:6379/0?ssl_cert_reqs=none&ssl_check_hostname=false",
    "rediss://h?ssl_cert_reqs=none": "rediss://h:6379/0?ssl_cert_reqs=none&ssl_check_hostname=false",
    "rediss://h/2?ssl_cert_reqs=CERT_REQUIRED&ssl_ca_certs=/a/b.pem": (
        "rediss://h:6379/2?ssl_cert_reqs=required&ssl_ca_certs=/a/b.pem"
    ),
    f"redis://:{SECRET}@h:1/0": f"redis://:{SECRET}@h:1/0",
    f"redis://me:{SECRET}@h:1/0": f"redis://me:{SECRET}@h:1/0",
    f"redis://me:a@{SECRET}@h:1/0": f"redis://me:a%40{SECRET}@h:1/0",
    f"redis://me:a:{SECRET}@h:1/0": f"redis://me:a%3A{SECRET}@h:1/0",
    f"redis://me:50%off{SECRET}@h:1/0": f"redis://me:50%25off{SECRET}@h:1/0",
    "redis://me:%23%2F@h:1/0": "redis://me:%23%2F@h:1/0",
    "redis://[::1]:6380/0": "redis://[::1]:6380/0",
}

FAULTS = {
    "": "must start with",
    "h:6379": "must start with",
    "http://h": "must start with",
    "redis:/h": "must start with",
    "redis://": "no host",
    "redis:///0": "no host",
    f"redis://:{SECRET}@/0": "no host",
    "redis://h:99999/0": "port",
    "redis://h:0/0": "port",
    "redis://h:/0": "port",
    "redis://h:6379x/0": "port",
    f"redis://me:{SECRET}@h:99999": "port 99999",
    "redis://h/x": "database",
    "redis://h/0/1": "database",
    "redis://h/-1": "database",
    "redis://h?foo=1": "'foo'",
    "redis://h?db=3": "'db'",
    "redis://h?ssl_cert_reqs=none": "needs rediss://",
    "rediss://h?ssl_cert_reqs=perhaps": "ssl_cert_reqs",
    "redis://a;redis://b": "several servers",
    "redis://a:1/0;redis://b:1/0": "several servers",
    f"redis://me:a#{SECRET}@h:1/0": "%23",
    f"redis://me:a/{SECRET}@h:1/0": "%2F",
    f"redis://me:a?{SECRET}@h:1/0": "%3F",
    f"redis://me:a[{SECRET}@h:1/0": "%5B",
    f"redis://{SECRET}@h:1/0": "user without a password",
    "redis://h:1/0#": "#",
    f"redis://me:{SECRET} @h:1/0": "space",
    "redis://h:1/0\n": "invisible",
}


@pytest.mark.parametrize("url", WORKS)
def test_what_works_is_written_as_all_clients_understand_it(url: str) -> None:
    read = read_redis_url(url)
    assert read == WORKS[url]
    assert read_redis_url(read) == read
    ours = redis.ConnectionPool.from_url(read).connection_kwargs
    celerys = Connection(read)
    backend = Celery(backend=read, broker=read).backend.connparams
    assert ours["host"] == celerys.hostname == backend["host"]
    assert ours["port"] == celerys.port == backend["port"]
    assert ours.get("password") == celerys.password == backend.get("password")
    assert ours["db"] == int(celerys.virtual_host) == int(backend["db"])
    if read.startswith("rediss"):
        redis.ConnectionPool.from_url(read).make_connection()  # it reads the options
        wanted = {"none": ssl.CERT_NONE, "required": ssl.CERT_REQUIRED}[ours["ssl_cert_reqs"]]
        assert backend["ssl_cert_reqs"] == celerys.ssl["ssl_cert_reqs"] == wanted


@pytest.mark.parametrize("url", FAULTS)
def test_what_does_not_is_one_sentence_that_names_the_part_and_not_the_password(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=r".+") as caught:
        read_redis_url(url)
    assert FAULTS[url] in str(caught.value)
    if not url:
        return  # as unset
    for name in ("UNLINKER_REDIS_URL", "UNLINKER_BROKER_URL"):
        monkeypatch.setenv(name, url)
    with pytest.raises(ConfigurationError) as refused:
        load_settings()
    assert [fault.partition(":")[0] for fault in refused.value.faults] == ["UNLINKER_REDIS_URL", "UNLINKER_BROKER_URL"]
    assert SECRET not in str(refused.value)
    assert SECRET not in "".join(traceback.format_exception(refused.value))


@given(st.text(min_size=1).filter(lambda text: text.isprintable() and not text.isspace()))
def test_whatever_the_password_it_arrives_or_is_refused_without_being_told(password: str) -> None:
    read = told = ""
    try:
        read = read_redis_url(f"redis://me:{password}@host:1/0")
    except ValueError as fault:
        told = str(fault)
    assert bool(read) is not bool(told)
    assert len(password) < 4 or password not in told
    if read:
        found = redis.ConnectionPool.from_url(read).connection_kwargs
        assert (found["host"], found["port"]) == ("host", 1)
