"""From an operator's list or rule to a plan."""
