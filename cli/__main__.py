"""`python -m cli` is `acrfleet`."""

from cli.main import main

main(prog_name="acrfleet")
