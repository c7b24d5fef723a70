"""One thin adapter per outside system. No decisions, no Prefect."""
