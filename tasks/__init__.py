"""What can be asked for? The Celery app and the tasks, whose names are the wire contract."""
