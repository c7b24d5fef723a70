"""One retryable step each: retries, time limits, run log. No rules."""
