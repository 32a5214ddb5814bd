"""The Celery configuration that matters for safety. What is about our engine is set by tasks.app."""

from typing import Any

SOCKET_TIMEOUT = 5  # seconds; without one, half-open connections are never noticed


def celery_options() -> dict[str, Any]:
    """Settings for a worker's Celery app."""
    sockets: dict[str, Any] = {
        "socket_timeout": SOCKET_TIMEOUT,
        "socket_connect_timeout": SOCKET_TIMEOUT,
        "socket_keepalive": True,
        "health_check_interval": 5,
    }
    return {
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "timezone": "UTC",
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_send_sent_event": False,
        "worker_send_task_events": False,
        "worker_prefetch_multiplier": 1,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        # jobs outlive a connection: their claims are renewed by the loop, not by the channel
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_enable_prefetch_count_reduction": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_pool_acquire_timeout": SOCKET_TIMEOUT,
        "broker_transport_options": sockets,
        "result_backend_transport_options": sockets,
        "redis_socket_timeout": SOCKET_TIMEOUT,
        "redis_socket_connect_timeout": SOCKET_TIMEOUT,
        "redis_socket_keepalive": True,
        "redis_backend_health_check_interval": SOCKET_TIMEOUT,
    }
