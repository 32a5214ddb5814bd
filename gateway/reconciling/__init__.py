"""Nightly reconciliation: reading policies and lists, a night's work, its report and who is told of it."""
