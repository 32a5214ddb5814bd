"""The other queues' programs. Each runs in a virtual environment without unlinker; the names below are its own."""
