"""Networks that come with spindl. Each adapts to the size of the images and the number of classes.

Every builder takes `classes` and `input_shape` (one image: channels, height, width) and draws its weights from torch's
global generator: seed it before for weights that can be had again.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spindl.model.errors import ModelError

Shape = tuple[int, ...]


def mlp(classes: int = 2, input_shape: Shape = (2,)) -> nn.Sequential:
    """Fully connected network with hidden layers of 50, 50, 300, 50 and 25 units and ReLU; returns logits."""
    widths = [prod(input_shape), 50, 50, 300, 50, 25]
    layers: list[nn.Module] = [nn.Flatten()] if len(input_shape) > 1 else []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], classes))


class LeNet5(nn.Module):
    """Two 5x5 convolutions of 6 and 16 channels with max pooling, then 120, 84 and `classes` units; ReLU throughout.

    Images below 32 x 32 are padded by 2 (MNIST's 28 x 28 then gives the classic 400 features).
    """

    def __init__(self, classes: int, input_shape: Shape) -> None:
        super().__init__()
        channels, height, width = input_shape
        padding = 2 if min(height, width) < 32 else 0
        rows, columns = (((size + 2 * padding - 4) // 2 - 4) // 2 for size in (height, width))
        if min(rows, columns) < 1:
            raise ModelError(
                f"images of {height} x {width} are too small for lenet5", "lenet5", "use images of at least 12 x 12"
            )
        self.conv1 = nn.Conv2d(channels, 6, 5, padding=padding)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * rows * columns, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) -> logits (N, classes)."""
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc3(F.relu(self.fc2(x)))  # type: ignore[no-any-return]


class Digits(nn.Module):
    """Two convolutions with batch norm, a max pooling between, global average: for the 8 x 8 digits of scikit-learn."""

    def __init__(self, classes: int, input_shape: Shape) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(input_shape[0], 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(32)
        self.fc = nn.Linear(32, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) -> logits (N, classes)."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        x = F.relu(self.bn2(self.conv2(x)))
        return self.fc(x.mean((2, 3)))  # type: ignore[no-any-return]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; where the size changes, the shortcut is a 1x1 convolution (option B)."""

    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = _projection(before, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, H, W) -> (N, channels, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)) + shortcut)  # type: ignore[no-any-return]


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolution and a shortcut; the stride stands in the 3x3 ("v1.5")."""

    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        after = 4 * channels
        self.conv1 = nn.Conv2d(before, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, after, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(after)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _projection(before, after, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, H, W) -> (N, 4 channels, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.relu(self.bn3(self.conv3(x)) + shortcut)  # type: ignore[no-any-return]


class CifarResNet(nn.Module):
    """The residual network of He et al. (arXiv:1512.03385, section 4.2) for small images: 6 n + 2 layers.

    Three stages of n basic blocks with 16, 32 and 64 channels, global average, one linear layer.
    """

    def __init__(self, n: int, classes: int, input_shape: Shape, zero_init_residual: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(input_shape[0], 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = _stage(BasicBlock, 16, 16, n, 1)
        self.layer2 = _stage(BasicBlock, 16, 32, n, 2)
        self.layer3 = _stage(BasicBlock, 32, 64, n, 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(64, classes)
        _initialise(self, zero_init_residual)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) -> logits (N, classes)."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(self.avgpool(x).flatten(1))  # type: ignore[no-any-return]


class ResNet50(nn.Module):
    """ResNet-50 v1.5 with the parameter names that published weights use (layer1.0.conv1.weight and so on)."""

    def __init__(self, classes: int, input_shape: Shape, zero_init_residual: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(input_shape[0], 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        self.layer1 = _stage(Bottleneck, 64, 64, 3, 1)
        self.layer2 = _stage(Bottleneck, 256, 128, 4, 2)
        self.layer3 = _stage(Bottleneck, 512, 256, 6, 2)
        self.layer4 = _stage(Bottleneck, 1024, 512, 3, 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(2048, classes)
        _initialise(self, zero_init_residual)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) -> logits (N, classes)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))  # type: ignore[no-any-return]


def lenet5(classes: int = 10, input_shape: Shape = (1, 28, 28)) -> LeNet5:
    """LeNet-5 with ReLU and max pooling."""
    return LeNet5(classes, input_shape)


def digits(classes: int = 10, input_shape: Shape = (1, 8, 8)) -> Digits:
    """Small convolutional network for 8 x 8 images."""
    return Digits(classes, input_shape)


def resnet8(classes: int = 10, input_shape: Shape = (3, 32, 32), zero_init_residual: bool = False) -> CifarResNet:
    """Residual network of 8 layers for small images."""
    return CifarResNet(1, classes, input_shape, zero_init_residual)


def resnet20(classes: int = 10, input_shape: Shape = (3, 32, 32), zero_init_residual: bool = False) -> CifarResNet:
    """Residual network of 20 layers for small images."""
    return CifarResNet(3, classes, input_shape, zero_init_residual)


def resnet50(classes: int = 1000, input_shape: Shape = (3, 224, 224), zero_init_residual: bool = False) -> ResNet50:
    """ResNet-50 v1.5."""
    return ResNet50(classes, input_shape, zero_init_residual)


BUILTIN: dict[str, tuple[Callable[..., nn.Module], Shape]] = {
    "mlp": (mlp, (2,)),
    "lenet5": (lenet5, (1, 28, 28)),
    "digits": (digits, (1, 8, 8)),
    "resnet8": (resnet8, (3, 32, 32)),
    "resnet20": (resnet20, (3, 32, 32)),
    "resnet50": (resnet50, (3, 224, 224)),
}
"""Name -> builder and the shape of one image it is meant for."""


def _projection(before: int, after: int, stride: int) -> nn.Sequential | None:
    if before == after and stride == 1:
        return None
    return nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))


def _stage(
    block: Callable[[int, int, int], nn.Module], before: int, channels: int, n: int, stride: int
) -> nn.Sequential:
    first = block(before, channels, stride)
    after = 4 * channels if isinstance(first, Bottleneck) else channels
    return nn.Sequential(first, *(block(after, channels, 1) for _ in range(n - 1)))


def _initialise(module: nn.Module, zero_init_residual: bool) -> None:
    """Kaiming normal by fan out for convolutions; with zero_init_residual each block starts as its shortcut."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
        if zero_init_residual and isinstance(part, (BasicBlock, Bottleneck)):
            last = part.bn2 if isinstance(part, BasicBlock) else part.bn3
            with torch.no_grad():
                last.weight.zero_()
