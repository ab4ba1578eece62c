"""What to write instead of what spindl does not compute: plain tables from names to advice."""

from __future__ import annotations

SUPPORTED = (
    "linear, convolution (1-D, 2-D), batch norm, relu, relu6, sigmoid, tanh, softmax, max and average pooling, "
    "dropout, reshape, permute, add, cat"
)
"""The layers that have an integer meaning, for messages."""

NO_MEANING = "it has no exact integer meaning in spindl"
"""The reason given for an operation that is simply not in the table of layer ops."""

_ACTIVATION = "use nn.ReLU, nn.ReLU6, nn.Sigmoid or nn.Tanh"
_NORM = "use nn.BatchNorm1d or nn.BatchNorm2d, the one normalisation with an integer meaning"
_SEQUENCE = "use Linear or Conv1d layers over a fixed window of the sequence"
_UPSAMPLE = "spindl has no layer that enlarges an image; keep the resolution or shrink it"
_ARITHMETIC = "learn the factor as part of the next Linear or Conv layer, or prepare the data before the model"
_LOSS = "return the logits and give the loss to the trainer"
_INDICES = "feed one-hot or numeric features to a Linear layer; index inputs are not supported"
_ATTENTION = "attention is not supported; mix positions with Conv1d, Conv2d or Linear layers"
_VOLUME = "use the 2-D layer over slices, with the depth as channels"
_BILINEAR = "concatenate the two inputs and use a Linear layer"
_RANDOM = "use nn.Dropout, the one random layer with an integer meaning; add other noise when loading the data"
_BRANCH = "write the forward so that the same layers run for every input; a shape may decide, a value may not"
_SPLIT = "use two layers that each make one of the parts, instead of cutting one result up"
_REDUCE = "pool with x.mean((2, 3)) or F.adaptive_avg_pool2d(x, 1), or let a Linear layer combine the features"

_MODULE_GROUPS: tuple[tuple[str, str], ...] = (
    ("LSTM GRU RNN LSTMCell GRUCell RNNCell", _SEQUENCE),
    ("Embedding EmbeddingBag", _INDICES),
    (
        "MultiheadAttention Transformer TransformerEncoder TransformerDecoder "
        "TransformerEncoderLayer TransformerDecoderLayer",
        _ATTENTION,
    ),
    (
        "ConvTranspose1d ConvTranspose2d ConvTranspose3d Upsample UpsamplingNearest2d UpsamplingBilinear2d "
        "PixelShuffle",
        _UPSAMPLE,
    ),
    ("Conv3d BatchNorm3d MaxPool3d AvgPool3d", _VOLUME),
    ("SyncBatchNorm", "use nn.BatchNorm2d: spindl always takes the statistics over the whole global batch"),
    ("GroupNorm LayerNorm RMSNorm InstanceNorm1d InstanceNorm2d InstanceNorm3d LocalResponseNorm", _NORM),
    ("Bilinear", _BILINEAR),
)

MODULES: dict[str, str] = {name: remedy for names, remedy in _MODULE_GROUPS for name in names.split()}
"""Class names of torch.nn modules that expand into many operations: reported once, as the module."""

_GROUPS: tuple[tuple[str, str], ...] = (
    (
        "gelu silu mish elu selu celu softplus leaky_relu prelu rrelu hardswish hardsigmoid hardtanh glu "
        "log_sigmoid hardshrink softshrink threshold clamp clamp_min clamp_max erf exp sin cos",
        _ACTIVATION,
    ),
    ("layer_norm group_norm instance_norm native_layer_norm rms_norm linalg_vector_norm norm", _NORM),
    ("lstm gru rnn_tanh rnn_relu lstm_cell gru_cell", _SEQUENCE),
    ("embedding embedding_bag one_hot", _INDICES),
    ("scaled_dot_product_attention", _ATTENTION),
    (
        "conv_transpose1d conv_transpose2d conv_transpose3d upsample_nearest1d upsample_nearest2d upsample_linear1d "
        "upsample_bilinear2d upsample_bicubic2d pixel_shuffle repeat repeat_interleave grid_sampler",
        _UPSAMPLE,
    ),
    ("conv3d", _VOLUME),
    ("max_pool3d avg_pool3d adaptive_avg_pool3d adaptive_max_pool3d", _VOLUME),
    ("bilinear", _BILINEAR),
    ("mul div sub rsub neg pow sqrt rsqrt reciprocal abs addcmul square", _ARITHMETIC),
    ("matmul mm bmm addmm baddbmm einsum dot mv", "use nn.Linear or F.linear with a parameter"),
    (
        "log_softmax nll_loss nll_loss_nd cross_entropy_loss mse_loss binary_cross_entropy_with_logits log kl_div",
        _LOSS,
    ),
    (
        "rand randn rand_like randn_like randint randperm bernoulli normal uniform multinomial "
        "feature_dropout alpha_dropout feature_alpha_dropout native_dropout",
        _RANDOM,
    ),
    (
        "item _local_scalar_dense nonzero masked_select where masked_fill _assert_scalar _unique2 bincount cond index",
        _BRANCH,
    ),
    ("chunk split split_with_sizes slice select index_select gather unbind narrow unfold", _SPLIT),
    ("sum max min amax amin mean var std argmax topk prod logsumexp", _REDUCE),
    ("stack", "use torch.cat along an axis that exists"),
    ("detach set_grad_enabled", "leave it out; freeze parameters with requires_grad_(False) instead"),
    ("autocast", "remove torch.autocast; spindl decides the number formats itself"),
    ("fractional_max_pool2d", "use nn.MaxPool2d or nn.AvgPool2d"),
    ("max_pool1d_with_indices max_pool2d_with_indices", "leave return_indices=False; the positions are not kept"),
    ("expand", "give both operands the same shape; broadcasting is not supported"),
    ("pad constant_pad_nd", "pad with zeros directly before a convolution, or use the padding argument of the layer"),
)

OPERATIONS: dict[str, str] = {name: remedy for names, remedy in _GROUPS for name in names.split()}
"""Names of operations without namespace and overload, as PyTorch's operator library spells them."""

DATA_DEPENDENT = frozenset(
    {"item", "_local_scalar_dense", "nonzero", "masked_select", "_assert_scalar", "_unique2", "index"}
)
"""Operations whose shape or control effect depends on the values of a tensor."""


def remedy_for(operation: str) -> str:
    """What to write instead of an operation; a list of what is supported if there is no better advice."""
    return OPERATIONS.get(operation) or OPERATIONS.get(operation.rstrip("_")) or f"build it from {SUPPORTED}"
