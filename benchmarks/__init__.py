"""How fast is it? Measured against its own floor and against other queues, in the same run."""
