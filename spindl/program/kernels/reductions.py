"""Kernels that add partial results, update parameters, and keep exponents.

A *scalar* (learning rate, decay, momentum, a LARS rate) lies in memory as a pair {int32 mantissa, int32 exponent}.
The exponent of the exact result of an update is that of its site.
"""

from spindl.program.kernels.kernel import Kernel
from spindl.program.kernels.words import addresses, integers, numbers, values
from spindl.program.records import Field, RecordType

_COUNT = numbers(count="elements")
_SITE = numbers(site="site of the momentum (for the direction of LARS: of the direction)")

SITE_STATE = RecordType(
    "spindl_site_state",
    (
        Field("exponent", "h", "in use"),
        Field("lowest", "h", "the exponent never falls below"),
        Field("bits", "H", "of the rounded values including the sign"),
        Field("headroom", "H", "free bits above the largest extent"),
        *(Field(f"extent_{i}", "h", f"of {i + 1} steps ago" if i else "of the last step") for i in range(16)),
    ),
)
"""A site in the State: what `next_sites` turns into the State of the next step. 40 bytes."""

EXPONENT_RULE = RecordType(
    "spindl_exponent_rule",
    (
        Field("target", "H", "number of the value (or of the word of state) that gets the exponent"),
        Field("rule", "H", "an entry of EXPONENT_RULES, plus 256 if the target is a word of state"),
        Field("a", "H", "first operand"),
        Field("b", "H", "second operand"),
        Field("constant", "h", "added to the result"),
        Field("unused", "H", "0"),
    ),
)
"""How one exponent follows from others: e[target] = rule(a, b) + constant. 12 bytes."""

EXPONENT_RULES = {
    "constant": 0,  # 0
    "value": 1,  # e[a]
    "site": 2,  # e of site a
    "state": 3,  # word a of the state
    "sum": 4,  # e[a] + e[b]
    "difference": 5,  # e[a] - e[b]
    "minimum": 6,  # min(e[a], e[b])
    "maximum": 7,  # max(e[a], e[b])
    "align": 8,  # max(min(e[a], e[b]), max(e[a], e[b]) - 30)
    "raised": 9,  # e[a] + 1 if word b of the state is not 0, else e[a]
}
EXPONENT_TARGET_STATE = 256

REDUCTION_KERNELS: tuple[Kernel, ...] = (
    Kernel(
        "sum_rows",
        166,
        (
            *addresses(x="[rows][count] of x_bytes bytes each", y="[count] of y_bytes bytes each"),
            *numbers(
                x_bytes="2: int16, 4: int32, 8: int64",
                y_bytes="4: int32, 8: int64; at least x_bytes",
                rows="rows",
                count="elements of a row",
                x_pitch="bytes from row to row of x, a multiple of min(x_bytes, 4)",
                first="1: y begins at 0; 0: add to it",
            ),
        ),
        "y (+)= sum of the rows of x, exactly: gradient groups, partial sums of cores, losses of images (count 1).",
    ),
    Kernel(
        "begin_sites",
        167,
        (*addresses(states="[count] spindl_site_state"), *numbers(count="sites, the first ones of the table")),
        "Before a step: sites take their exponents from the State; extents become EMPTY, counts of clamped elements 0.",
    ),
    Kernel(
        "merge_sites",
        168,
        (
            *addresses(x="[rows][count] spindl_site", y="[count] spindl_site"),
            *numbers(rows="cores", count="sites", x_pitch="bytes from row to row of x"),
        ),
        "y's extents become the maxima of all, y's counts of clamped elements the sums.",
    ),
    Kernel(
        "next_sites",
        164,
        (
            *addresses(states="[count] spindl_site_state", sites="[count] spindl_site, merged over all cores"),
            *numbers(count="sites"),
        ),
        "After a step: states become those of the next step (docs/numbers.md, delayed scaling).",
    ),
    Kernel(
        "exponents",
        165,
        (
            *addresses(rules="[count] spindl_exponent_rule, applied in order", state="int32 words"),
            *numbers(count="rules", state_count="words of state"),
        ),
        "Fills the exponent table at the start of a step, or the exponents of the State at its end. "
        "SPINDL_ERROR_ARGUMENT for an unknown rule, value, site or word.",
    ),
    Kernel(
        "direction",
        170,
        (
            *addresses(
                master="int32 W; 0: no decay",
                decay="scalar B * wd",
                gradient="int32 or int64; 0: none",
                y="int64 D at e_site",
            ),
            *numbers(
                gradient_bytes="4 or 8",
                first="1: D = terms; 0: D += terms",
                watch="1: D is complete, its extent goes to the site (LARS)",
            ),
            *_COUNT,
            *_SITE,
            *values("master", "gradient"),
        ),
        "D = T(decay * W) + T(gradient), terms at e_site; further gradients by further calls with master 0, first 0. "
        "At most five gradients. y may be an int64 gradient.",
    ),
    Kernel(
        "scale_direction",
        171,
        (
            *addresses(step="int64 D", rate="scalar", y="int64 at e_site; may be D"),
            *_COUNT,
            *_SITE,
            *values("step"),
        ),
        "y = T(rate * clamp(D, 2^46)) at e_site.",
    ),
    Kernel(
        "update",
        172,
        (
            *addresses(
                master="int32 W",
                velocity="int32 V, becomes V'; 0: no momentum",
                gradient="int32 or int64 dW, or int64 D",
                change="int32 U, for `halve`; may be dW; 0: not kept (it is V' without Nesterov)",
                decay="scalar B * wd; 0: no decay",
                factor="scalar mu",
                rate="scalar lr / B (LARS: 1)",
                y="int32; may be W",
                overflow="int32 word that becomes 1 if any |W - T(rate * U)| > 0.98 * 2^31, else is left alone",
            ),
            *numbers(
                gradient_bytes="4 or 8",
                ready="1: gradient is the direction D at e_site, decay included",
                nesterov="1: Nesterov's momentum",
                fixed="1: biases, gamma, beta: y is clamped, e_W stays; overflow is not touched",
            ),
            *_COUNT,
            *_SITE,
            *values("master", "velocity", "gradient"),
        ),
        "direction, momentum, saturate32 (its site watches it) and descend in one pass. Without `fixed` y is the low "
        "32 bits of W - T(rate * U): if any core's overflow word is set, `halve` follows on the whole tensor.",
    ),
    Kernel(
        "halve",
        173,
        (
            *addresses(master="int32: what `update` left", step="int32 U of that call", rate="scalar", y="int32"),
            *_COUNT,
            *_SITE,
            *values("master"),
        ),
        "y = clamp(RSH(W - T(rate * U), 1), 2^31 - 1) at e_W + 1; W is recovered exactly from its wrapped difference. "
        "master_exponent is still the old e_W. y may be master.",
    ),
    Kernel(
        "largest_bits",
        176,
        (
            *addresses(x="[count] of x_bytes bytes each", largest="int32 word"),
            *numbers(x_bytes="2: int16, 4: int32, 8: int64", first="1: the word begins at 0; 0: maximum with it"),
            *_COUNT,
        ),
        "largest = bit_length(max |x|), over several tiles.",
    ),
    Kernel(
        "squared_norm",
        177,
        (
            *addresses(x="[count] of x_bytes bytes each", largest="int32 word: largest_bits of the tensor", y="int64"),
            *numbers(x_bytes="2: int16, 4: int32, 8: int64", first="1: y begins at 0; 0: add to it"),
            *_COUNT,
        ),
        "y (+)= sum of RSH(x, s)^2 with s = max(0, largest - 15); its exponent is 2 (e_x + s).",
    ),
    Kernel(
        "lars_rate",
        178,
        (
            *addresses(
                weight_norm="int64 squared norm of W",
                weight_largest="int32 word: largest_bits of W",
                gradient_norm="int64 squared norm of the summed gradient",
                gradient_largest="int32 word: its largest_bits",
                rate="scalar lr / B",
                decay="scalar B * wd",
                y="scalar",
            ),
            *numbers(batch="B"),
            *integers(
                eta_mantissa="eta, mantissa of a pair",
                eta_exponent="its exponent",
                eps_mantissa="eps of the summed gradient, mantissa of a pair",
                eps_exponent="its exponent",
            ),
            *values("weight", "gradient"),
        ),
        "lr * eta * |W| / (|G| + B*wd * |W| + eps) with 15 bits; lr/B where |W| or |G| is 0.",
    ),
)
"""Numbers from 164; 160 to 163 are the runtime's."""
