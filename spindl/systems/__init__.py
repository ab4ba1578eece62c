"""Systems that train or run deep networks, side by side: others as published, SpiNNaker as modelled."""

from spindl.systems.data import Figure, published
from spindl.systems.errors import SystemsError
from spindl.systems.model import Prediction, machines, predicted, sensitivity
from spindl.systems.table import csv_text, markdown_page, training_rows

__all__ = [
    "Figure",
    "Prediction",
    "SystemsError",
    "csv_text",
    "machines",
    "markdown_page",
    "predicted",
    "published",
    "sensitivity",
    "training_rows",
]
