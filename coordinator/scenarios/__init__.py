"""Scenarios: what they are, how they are read, planned, played and judged."""
