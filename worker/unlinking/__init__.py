"""What to do with a job: relation types, jobs, outcomes, and the unlinker. Knows no Celery, Redis, aiohttp or clock."""
