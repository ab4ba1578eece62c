"""`python -m spindl.cli`."""

from spindl.cli.app import main

main()
