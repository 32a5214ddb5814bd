"""A worker of a later version: it reads payloads of version 2, too. `python -m tests.acceptance.newer_worker`."""

from config.celery_options import celery_options
from config.settings import load_settings
from gateway.composition import find_urls, runtime_options
from tasks.app import TASKS, make_worker_app
from worker.engine.envelope import READERS


def main() -> None:
    """Run until SIGTERM."""
    READERS[2] = lambda body: ([], body["job"], {})
    settings = load_settings()
    app = make_worker_app(runtime_options(settings, find_urls(settings)), celery_options(), TASKS)
    app.Worker(hostname="newer@test", loglevel="INFO", without_gossip=True, without_mingle=True).start()


if __name__ == "__main__":
    main()
