"""Configuration and secrets, kept by Prefect; a block makes clients."""
