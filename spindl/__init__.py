"""spindl: train and run deep networks on SpiNNaker in all-integer arithmetic."""
