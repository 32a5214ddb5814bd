"""The claiming transport: kombu's Redis transport with the consuming half taken out.

Stock kombu pops a message and notes it as unacked one round trip later; a death in between loses it, whatever acks_late
says (celery/kombu#305). Here the loop claims messages in one script (worker.stores.deliveries) and leaves them in the
inbox; this transport hands them to Celery's consumer and tells the inbox's owner when Celery acks or rejects. Leases,
sweeping and connections of the queue are none of its business, so a lost connection of Celery's changes nothing for
the jobs that run. Publishing, and the fan-out queues of Celery's remote control, are kombu's own.

It touches private names of kombu 5.7; `check_fit` refuses to start on one that lacks them.
"""

from typing import Any, Protocol

import kombu
import structlog
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual
from redis.exceptions import RedisError

from worker.engine.inbox import Inbox
from worker.stores.refusals import told

log = structlog.get_logger(__name__)
SUPPORTED_KOMBU = "5.7."
PROBE = "unlinker:probe-of-writes"
REMOTE_CONTROL = "celery.pidbox"
PATIENCE = 5.0  # seconds
BINDINGS = ("_kombu.binding.", "_kombu.binding_permanent.")  # where kombu keeps which queues there are


class Post(Protocol):
    """What the transport needs of the loop; comes in as the transport option `post`."""

    inbox: Inbox

    def acked(self, claim: str) -> None:
        """Celery is done with this message."""

    def rejected(self, claim: str) -> None:
        """Celery gives this message back."""


class EngineMisfitError(RuntimeError):
    """This kombu is not the one the claiming transport was written for; install the versions of the lock file."""


def check_fit() -> None:
    """Raises EngineMisfitError when kombu lacks what is overridden here."""
    wanted = [
        (kombu_redis.Channel, ("active_queues", "qos", "_brpop_start", "close")),
        (kombu_redis.Transport, ("register_with_event_loop", "cycle", "_deliver")),
        (virtual.QoS, ("append", "ack", "reject", "can_consume", "restore_unacked_once")),
        (kombu_redis.MultiChannelPoller, ("on_poll_start", "maybe_restore_messages")),
    ]
    missing = [
        f"{owner.__name__}.{name}"
        for owner, names in wanted
        for name in names
        if not hasattr(owner, name) and not (owner is kombu_redis.Transport and name == "cycle")
    ]
    if missing or not kombu.__version__.startswith(SUPPORTED_KOMBU):
        raise EngineMisfitError(
            f"kombu {kombu.__version__} does not fit the claiming transport (wanted {SUPPORTED_KOMBU}x"
            + (f", missing {', '.join(missing)}" if missing else "")
            + "); install from requirements.lock"
        )


class QoS(virtual.QoS):
    """Acks go to the claims; nothing is kept per channel, so nothing is lost or restored with a channel."""

    restore_at_shutdown = False

    def append(self, message: Any, delivery_tag: str) -> None:
        """Claimed already."""

    def ack(self, delivery_tag: str) -> None:
        """Done with."""
        self.channel.post.acked(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Given back, or done with."""
        if requeue:
            self.channel.post.rejected(delivery_tag)
        else:
            self.channel.post.acked(delivery_tag)

    def can_consume(self) -> bool:
        """The claims bound what comes in, not the channel."""
        return True

    def restore_unacked(self, *_: Any) -> None:
        """Leases see to it."""

    def restore_unacked_once(self, *_: Any, **__: Any) -> None:
        """Leases see to it."""

    def restore_visible(self, *_: Any, **__: Any) -> None:
        """Leases see to it."""


class Channel(kombu_redis.Channel):
    """A channel that never pops."""

    QoS = QoS

    def __init__(self, connection: Any, **kwargs: Any) -> None:
        # taken now: acks come in after the channel was closed too, and a closed channel has no connection
        self.post: Post = connection.client.transport_options["post"]
        super().__init__(connection, **kwargs)

    @property
    def active_queues(self) -> list[str]:
        """None, so that kombu's poller sends no BRPOP and sweeps nothing."""
        return []

    def _size(self, queue: str) -> int:
        """Asked for when queues are declared, and used for nothing; a key of another type must not end the worker."""
        return 0


def _try_what_is_needed(client: Any, remote_control: str) -> None:
    """Raises RedisError for whatever Redis would refuse Celery's consumer. Nothing is changed by it."""
    client.set(PROBE, 1, xx=True, px=1)  # it writes nothing, since nobody makes the key
    for prefix in BINDINGS:
        client.srem(prefix + PROBE, "")
    with client.pubsub() as listening:
        listening.psubscribe(remote_control)
        listening.get_message(timeout=PATIENCE)


class Transport(kombu_redis.Transport):
    """Hands the inbox's letters to Celery's consumer."""

    Channel = Channel
    # kombu takes what Redis refuses (a full disk or memory, a replica) for an error of the channel, of which the worker
    # dies; here it is one of the connection: Celery's consumer tries again with growing pauses, for ever
    connection_errors = (*kombu_redis.Transport.connection_errors, RedisError)
    recoverable_connection_errors = connection_errors

    def establish_connection(self) -> Any:
        """As kombu's, and a refusal shows here, where Celery pauses before it tries again, rather than later."""
        connection = super().establish_connection()
        channel = self._avail_channels[-1]
        try:
            with channel.conn_or_acquire() as client:
                _try_what_is_needed(client, channel.keyprefix_fanout + REMOTE_CONTROL)
        except RedisError as error:
            self.close_connection(connection)
            log.warning("remote control waits for Redis", **told(error))
            raise
        return connection

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Called by Celery for every new connection; the inbox goes to the newest."""
        super().register_with_event_loop(connection, loop)
        inbox: Inbox = self.client.transport_options["post"].inbox
        loop.remove_reader(inbox.fileno())
        loop.add_reader(inbox.fileno(), self._hand_over, inbox)

    def _hand_over(self, inbox: Inbox) -> None:
        post: Post = self.client.transport_options["post"]
        for letter in inbox.take_all():
            if letter.queue in self._callbacks:
                self._deliver(letter.payload, letter.queue)
            else:
                post.rejected(letter.payload["properties"]["delivery_tag"])
