"""The pure domain: what a fleet is and what has to be done to it. No I/O, no Prefect, no SDK."""
