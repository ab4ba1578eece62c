"""What is kept and shown of a run: the log (`log`), its folder's lock and signals, progress on the screen."""

from spindl.record.log import (
    LOG,
    EpochRecord,
    Record,
    RecordWriter,
    epoch_records,
    epoch_row,
    read_record,
    read_rows,
    tensorboard_sink,
    truncate_log,
)

__all__ = [
    "LOG",
    "EpochRecord",
    "Record",
    "RecordWriter",
    "epoch_records",
    "epoch_row",
    "read_record",
    "read_rows",
    "tensorboard_sink",
    "truncate_log",
]
