"""The command `spindl`: check, train, infer, compare, doctor.

Exit status: 0 all is well; 1 something was found, or an error that the message explains; 2 the command line or the
settings are wrong; 130 stopped by Ctrl-C or SIGTERM after a checkpoint. SPINDL_DEBUG=1 shows where an error comes from.
"""

from spindl.cli.app import main

__all__ = ["main"]
