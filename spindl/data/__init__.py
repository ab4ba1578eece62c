"""Data sets, decoding, augmentation and streaming: from a name or a path to batches of integers.

    dataset = open_dataset("mnist", "train")
    for batch in batches(dataset, batch_size=64, seed=1, epoch=0):
        batch.images, batch.labels, batch.positions

Images leave as uint8 (normalised on the cores), features as int32 with 16 fraction bits.
"""

from spindl.data.augment import Augmentation, for_evaluation, for_training
from spindl.data.dataset import Batch, Dataset, Normalisation, from_arrays
from spindl.data.decode import decoder_version
from spindl.data.errors import (
    AugmentationError,
    BatchSizeError,
    ChecksumError,
    CorruptArchiveError,
    CorruptFileError,
    CorruptImageError,
    CountMismatchError,
    DataError,
    EmptyDatasetError,
    FeatureRangeError,
    ImageSizeError,
    LabelRangeError,
    MissingFileError,
    MissingLibraryError,
    MissingSplitError,
    NoClassesError,
    NotAnImageError,
    PositionError,
    UnknownDatasetError,
)
from spindl.data.fixed import FRACTION_BITS, features_to_fixed
from spindl.data.loader import Last, batches, steps_per_epoch
from spindl.data.order import epoch_order
from spindl.data.registry import KNOWN, NORMALISATION, open_dataset

__all__ = [
    "FRACTION_BITS",
    "KNOWN",
    "NORMALISATION",
    "Augmentation",
    "AugmentationError",
    "Batch",
    "BatchSizeError",
    "ChecksumError",
    "CorruptArchiveError",
    "CorruptFileError",
    "CorruptImageError",
    "CountMismatchError",
    "DataError",
    "Dataset",
    "EmptyDatasetError",
    "FeatureRangeError",
    "ImageSizeError",
    "LabelRangeError",
    "Last",
    "MissingFileError",
    "MissingLibraryError",
    "MissingSplitError",
    "NoClassesError",
    "Normalisation",
    "NotAnImageError",
    "PositionError",
    "UnknownDatasetError",
    "batches",
    "decoder_version",
    "epoch_order",
    "features_to_fixed",
    "for_evaluation",
    "for_training",
    "from_arrays",
    "open_dataset",
    "steps_per_epoch",
]
