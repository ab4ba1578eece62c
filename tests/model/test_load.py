"""Models by name and from files, weights from files, and every way this can go wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import nn

from spindl.model import BUILTIN, ModelError, WeightsError, capture, load_model, load_weights

PARAMETERS = {
    # By hand: sums of weights and biases of the layers.
    "mlp": 2 * 50 + 50 + 50 * 50 + 50 + 50 * 300 + 300 + 300 * 50 + 50 + 50 * 25 + 25 + 25 * 2 + 2,
    "lenet5": (25 + 1) * 6 + (150 + 1) * 16 + 401 * 120 + 121 * 84 + 85 * 10,
    "digits": 9 * 16 + 32 + 9 * 16 * 32 + 64 + 33 * 10,
    "resnet8": 78042,
    # He et al., table 6: 0.27 M with option A; the two projections and their norms add 2,752.
    "resnet20": 272474,
    # The number that is published with the torchvision weights.
    "resnet50": 25557032,
}


@pytest.mark.parametrize("name", BUILTIN)
def test_builtin(name: str) -> None:
    module, shape = load_model(name)
    assert shape == BUILTIN[name][1]
    assert sum(parameter.numel() for parameter in module.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize(
    ("name", "classes", "shape"),
    [
        ("lenet5", 7, (3, 32, 32)),
        ("lenet5", 2, (1, 12, 20)),
        ("digits", 3, (2, 5, 9)),
        ("mlp", 4, (5,)),
        ("mlp", 4, (1, 8, 8)),
        ("resnet8", 4, (1, 28, 28)),
        ("resnet20", 100, (3, 24, 24)),
    ],
)
def test_builtins_adapt(name: str, classes: int, shape: tuple[int, ...]) -> None:
    module, found = load_model(name, classes=classes, input_shape=shape)
    assert found == shape
    graph = capture(module, shape, training=False)
    assert graph.nodes[graph.outputs["output"]].shape == (1, classes)


def test_lenet5_has_400_features_for_both_usual_sizes() -> None:
    for shape in ((1, 28, 28), (3, 32, 32)):
        module: Any = load_model("lenet5", input_shape=shape)[0]
        assert module.fc1.in_features == 400


def test_resnet50_uses_the_published_names_and_strides() -> None:
    module: Any = load_model("resnet50", classes=5)[0]
    state = module.state_dict()
    assert len(state) == 320
    assert state["layer3.5.conv3.weight"].shape == (1024, 256, 1, 1)
    assert state["layer2.0.downsample.0.weight"].shape == (512, 256, 1, 1)
    assert state["layer4.0.downsample.1.running_var"].shape == (2048,)
    assert module.layer2[0].conv1.stride == (1, 1)
    assert module.layer2[0].conv2.stride == (2, 2)
    assert state["fc.weight"].shape == (5, 2048)


def test_residual_networks_start_as_in_the_papers() -> None:
    torch.manual_seed(0)
    plain: Any = load_model("resnet20")[0]
    fan_out = 64 * 9
    assert float(plain.layer3[1].conv1.weight.detach().std()) == pytest.approx((2 / fan_out) ** 0.5, rel=0.02)
    assert torch.equal(plain.layer1[0].bn2.weight, torch.ones(16))
    zero: Any = load_model("resnet20", zero_init_residual=True)[0]
    assert torch.equal(zero.layer1[0].bn2.weight, torch.zeros(16))
    assert torch.equal(zero.layer1[0].bn1.weight, torch.ones(16))


def write(folder: Path, text: str) -> str:
    file = folder / "mynet.py"
    file.write_text("from torch import nn\n" + text)
    return str(file)


def test_a_function_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("WIDTH = 6\n")
    file = write(tmp_path, "import beside\ndef net(classes=3):\n    return nn.Linear(beside.WIDTH, classes)\n")
    module, shape = load_model(f"{file}:net", classes=4, input_shape=None)
    assert (module.out_features, shape) == (4, None)
    module, shape = load_model(f"{write(tmp_path, 'def net(): return nn.Linear(6, 2), (6,)')}:net")
    assert shape == (6,)


def test_input_shape_reaches_a_function_that_wants_it(tmp_path: Path) -> None:
    file = write(tmp_path, "def net(input_shape, **options): return nn.Linear(input_shape[0], 2)")
    module, shape = load_model(f"{file}:net", input_shape=[6], classes=3)
    assert (module.in_features, shape) == (6, (6,))


@pytest.mark.parametrize(
    ("text", "function", "message"),
    [
        ("def net(): return nn.Linear(1, 1)", "other", "there is no function 'other'.*\n.*the file has net"),
        ("net = 3", "net", "'net' is a int, not a function"),
        ("def net(): return 3", "net", "returns a int"),
        ("def net(): return nn.Linear", "net", "returns the class Linear"),
        ("def net():\n    x = 1\n    return x / 0", "net", "ZeroDivisionError in mynet.py:4: division by zero"),
        ("import no_such_module_at_all", "net", "loading it raises ModuleNotFoundError in mynet.py:2"),
        ("def net(:", "net", "loading it raises SyntaxError in mynet.py:2"),
        ("def net(width): return nn.Linear(1, width)", "net", "TypeError.*width"),
        ("", "net", "the file defines no function"),
    ],
)
def test_errors_of_a_file(tmp_path: Path, text: str, function: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_model(f"{write(tmp_path, text)}:{function}")


def test_errors_of_a_spec(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no file"):
        load_model(f"{tmp_path}/nothing.py:net")
    for spec in ("lenet", "net.py", "folder/net.txt:f", ""):
        with pytest.raises(ModelError, match=r"there is no model.*\n.*lenet5.*file\.py:function"):
            load_model(spec)
    with pytest.raises(ModelError, match="it has no parameter 'classes'"):
        load_model(f"{write(tmp_path, 'def net(): return nn.Linear(1, 1)')}:net", classes=3)
    with pytest.raises(ModelError, match="no parameter 'zero_init_residual'"):
        load_model("lenet5", zero_init_residual=True)


def test_errors_of_sizes() -> None:
    with pytest.raises(ModelError, match="0 classes"):
        load_model("lenet5", classes=0)
    with pytest.raises(ModelError, match="not the shape of one image"):
        load_model("lenet5", input_shape=(1, 0, 28))
    with pytest.raises(ModelError, match="has 2 axes"):
        load_model("lenet5", input_shape=(28, 28))
    with pytest.raises(ModelError, match="too small for lenet5"):
        load_model("lenet5", input_shape=(1, 8, 8))


def small() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth"])
def test_weights_come_back(tmp_path: Path, suffix: str) -> None:
    saved, loaded, file = small(), small(), tmp_path / f"weights{suffix}"
    saved(torch.randn(8, 4))
    if suffix == ".safetensors":
        save_file(saved.state_dict(), file)
    else:
        torch.save(saved.state_dict(), file)
    load_weights(loaded, file)
    assert all(torch.equal(value, saved.state_dict()[key]) for key, value in loaded.state_dict().items())


def test_half_weights_become_float32(tmp_path: Path) -> None:
    saved, loaded = nn.Linear(4, 3).half(), nn.Linear(4, 3)
    torch.save(saved.state_dict(), tmp_path / "w.pt")
    load_weights(loaded, tmp_path / "w.pt")
    assert torch.equal(loaded.weight, saved.weight.float())


def test_tied_weights_may_be_stored_once(tmp_path: Path) -> None:
    def tied() -> nn.Sequential:
        module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
        module[1].weight = module[0].weight
        return module

    saved, loaded = tied(), tied()
    save_model(saved, str(tmp_path / "w.safetensors"))
    load_weights(loaded, tmp_path / "w.safetensors")
    assert torch.equal(loaded[1].weight, saved[0].weight)
    assert loaded[1].weight is loaded[0].weight


def test_old_files_without_step_counters_are_fine(tmp_path: Path) -> None:
    state = {key: value for key, value in small().state_dict().items() if not key.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "w.pt")
    load_weights(small(), tmp_path / "w.pt")


def test_a_mismatch_lists_everything_and_changes_nothing(tmp_path: Path) -> None:
    module = small()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    state = {**module.state_dict(), "0.weight": torch.zeros(5, 4), "2.bias": torch.zeros(1)}
    state["1.bias"] = torch.zeros(3, dtype=torch.float64)
    del state["0.bias"]
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(WeightsError) as caught:
        load_weights(module, tmp_path / "w.pt")
    assert caught.value.missing == ("0.bias",)
    assert caught.value.unexpected == ("2.bias",)
    assert caught.value.different == (
        "0.weight: float32 [5, 4] in the file, float32 [3, 4] in the model",
        "1.bias: float64 [3] in the file, float32 [3] in the model",
    )
    assert "missing in the file (1): 0.bias" in str(caught.value)
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


def test_long_lists_are_cut(tmp_path: Path) -> None:
    torch.save({f"x{i}": torch.zeros(1) for i in range(20)}, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"not in the model \(20\): x0.*, and 12 more"):
        load_weights(small(), tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"state_dict": {"a": torch.zeros(1)}, "epoch": 3}, r"checkpoint with state_dict, epoch.*\n.*\['state_dict'\]"),
        ({"epoch": 3, "optimizer": [1]}, "checkpoint with epoch, optimizer"),
        ([torch.zeros(1)], "holds a list"),
        ({}, "no weights"),
        ({"module.0.weight": torch.zeros(3, 4)}, "DataParallel"),
        ({"weights/0.weight": torch.zeros(3, 4, dtype=torch.int32)}, "checkpoint of spindl"),
        (nn.Linear(1, 1), "cannot be read as plain weights"),
    ],
)
def test_files_that_are_not_a_state_dict(tmp_path: Path, content: Any, message: str) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=message):
        load_weights(small(), tmp_path / "w.pt")


def test_damaged_or_absent_files(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such file"):
        load_weights(small(), tmp_path / "w.pt")
    for name in ("w.pt", "w.safetensors"):
        (tmp_path / name).write_bytes(b"not weights at all")
        with pytest.raises(WeightsError, match=r"cannot be read|damaged"):
            load_weights(small(), tmp_path / name)
