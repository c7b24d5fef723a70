"""What acrfleet costs, measured against the lab: `make bench` (docs/benchmarks.md)."""
