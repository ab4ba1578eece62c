"""`python -m spindl`."""

from spindl.cli.app import main

main()
