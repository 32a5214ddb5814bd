"""A worker on a machine whose clock is wrong: `python -m tests.faults.skewed_worker SECONDS worker ...`."""

import sys
import time


def main() -> None:
    """Set the clock of this process, then run the command."""
    seconds, true_time = float(sys.argv[1]), time.time
    time.time = lambda: true_time() + seconds
    from gateway.cli import run

    sys.exit(run(sys.argv[2:]))


if __name__ == "__main__":
    main()
