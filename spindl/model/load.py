"""Getting a module: by name or from the user's file; and weights into it."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from spindl.model.builtin import BUILTIN
from spindl.model.errors import ModelError, WeightsError
from spindl.model.export import error_line

_LISTED = 8
"""Keys of a kind that an error message lists before it only counts them."""

_EXACT_IN_FLOAT32 = (torch.float32, torch.float16, torch.bfloat16)
_CHECKPOINT_KEYS = {"state_dict", "model", "model_state_dict", "optimizer", "optimizer_state_dict", "epoch"}


def load_model(
    spec: str, *, classes: int | None = None, input_shape: Sequence[int] | None = None, **options: Any
) -> tuple[nn.Module, tuple[int, ...] | None]:
    """Build a model from "lenet5" (or another name in `BUILTIN`) or from "path/to/file.py:function".

    `classes`, `input_shape` (one image) and further options reach the builder if they are given; a function in a file
    must then have parameters of these names. It returns the module, or the module and the shape of one image.

    Returns the module, with weights from torch's global generator, and the shape of one image: as asked for, else the
    builder's own, else None. Raises ModelError.
    """
    shape = tuple(input_shape) if input_shape is not None else None
    arguments = {**options}
    if classes is not None:
        if classes < 1:
            raise ModelError(f"{classes} classes", spec, "give at least one class")
        arguments["classes"] = classes
    if shape is not None:
        if not shape or min(shape) < 1:
            raise ModelError(
                f"{shape} is not the shape of one image", spec, "give (channels, height, width), for example"
            )
        arguments["input_shape"] = shape
    if spec in BUILTIN:
        builder, own_shape = BUILTIN[spec]
        rank = len(own_shape)
        if shape is not None and len(shape) != rank and spec != "mlp":
            raise ModelError(
                f"input_shape {shape} has {len(shape)} axes", spec, f"give {rank}: channels, height, width"
            )
        return _call(builder, arguments, spec), shape or own_shape
    path, separator, name = spec.rpartition(":")
    if not separator or not path.endswith(".py"):
        raise ModelError(
            f"there is no model '{spec}'", "", f"use one of {', '.join(BUILTIN)}, or path/to/file.py:function"
        )
    result = _call(_function(Path(path), name, spec), arguments, spec)
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], nn.Module):
        return result[0], shape or tuple(int(size) for size in result[1])
    if not isinstance(result, nn.Module):
        kind = f"the class {result.__name__}" if isinstance(result, type) else f"a {type(result).__name__}"
        raise ModelError(
            f"it returns {kind}, not a torch.nn.Module", spec, "return the module, or (module, input_shape)"
        )
    return result, shape


def load_weights(module: nn.Module, file: str | Path) -> None:
    """Load a state_dict from a .safetensors file or a .pt / .pth file (read with weights_only=True) into a module.

    All or nothing: every key must be there with the model's shape, and nothing else. float16 and bfloat16 become
    float32; keys of tied weights may appear once; batch norm's step counters may lack. Raises WeightsError.
    """
    path = Path(file)
    given = _read(path)
    own = module.state_dict()
    stored_at = {_place(own[key]) for key in own if key in given}
    missing = [
        key
        for key, tensor in own.items()
        if key not in given and _place(tensor) not in stored_at and not key.endswith("num_batches_tracked")
    ]
    unexpected = [key for key in given if key not in own]
    different = [
        f"{key}: {_shape_text(given[key])} in the file, {_shape_text(own[key])} in the model"
        for key in own
        if key in given and not _fits(given[key], own[key])
    ]
    if missing or unexpected or different:
        parts = [
            _listing("missing in the file", missing),
            _listing("not in the model", unexpected),
            _listing("of another shape or type", different),
        ]
        raise WeightsError(
            "the weights are not those of this model" + "".join(parts),
            str(path),
            _mismatch_remedy(list(own), list(given)),
            missing=missing,
            unexpected=unexpected,
            different=different,
        )
    with torch.no_grad():
        for key, tensor in own.items():
            if key in given:
                tensor.copy_(given[key])


def _function(path: Path, name: str, spec: str) -> Callable[..., Any]:
    if not path.is_file():
        raise ModelError(
            f"there is no file '{path}'", spec, "give the path from the current folder, or an absolute one"
        )
    module_spec = importlib.util.spec_from_file_location(path.stem, path)
    assert module_spec is not None and module_spec.loader is not None
    code = importlib.util.module_from_spec(module_spec)
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        module_spec.loader.exec_module(code)
    except Exception as error:
        raise _user_error(error, path, "loading it", spec) from error
    finally:
        sys.path.remove(folder)
    function = getattr(code, name, None)
    if function is None:
        there = [
            key for key, value in vars(code).items() if inspect.isfunction(value) and value.__module__ == path.stem
        ]
        remedy = f"the file has {', '.join(there)}" if there else "the file defines no function"
        raise ModelError(f"there is no function '{name}' in {path}", spec, remedy)
    if not callable(function):
        raise ModelError(
            f"'{name}' is a {type(function).__name__}, not a function", spec, "give a function without arguments"
        )
    return function  # type: ignore[no-any-return]


def _call(function: Callable[..., Any], arguments: Mapping[str, Any], spec: str) -> Any:
    parameters = inspect.signature(function).parameters
    if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        for key in arguments:
            if key not in parameters:
                raise ModelError(f"it has no parameter '{key}'", spec, f"leave {key} out, or add it to the function")
    try:
        return function(**arguments)
    except ModelError:
        raise
    except Exception as error:
        raise _user_error(error, None, "calling it", spec) from error


def _user_error(error: Exception, path: Path | None, action: str, spec: str) -> ModelError:
    if isinstance(error, SyntaxError):
        line = f"{Path(error.filename or str(path)).name}:{error.lineno}"
    else:
        line = error_line(error)
    place = f" in {line}" if line else ""
    return ModelError(f"{action} raises {type(error).__name__}{place}: {error}", spec, "make it run in Python first")


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise WeightsError("there is no such file", str(path), "give a .safetensors or .pt file with a state_dict")
    try:
        if path.suffix == ".safetensors":
            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise WeightsError(f"it is damaged or no safetensors file: {error}", str(path), "save it again") from error
    except Exception as error:
        raise WeightsError(
            f"it cannot be read as plain weights: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            str(path),
            "save only the weights: torch.save(module.state_dict(), file), or safetensors",
        ) from error
    if not isinstance(content, Mapping):
        raise WeightsError(
            f"it holds a {type(content).__name__}, not a state_dict", str(path), "save module.state_dict()"
        )
    if not content:
        raise WeightsError("it holds no weights", str(path), "save module.state_dict()")
    others = [key for key, value in content.items() if not isinstance(value, Tensor)]
    if others:
        inner = next((key for key in others if key in _CHECKPOINT_KEYS and isinstance(content[key], Mapping)), None)
        remedy = f"save only the weights: torch.save(torch.load(file)['{inner}'], 'weights.pt')" if inner else ""
        raise WeightsError(
            f"it is a checkpoint with {', '.join(map(str, list(content)[:_LISTED]))}, not a state_dict",
            str(path),
            remedy or "save only the weights: torch.save(module.state_dict(), file)",
        )
    return dict(content)


def _fits(given: Tensor, own: Tensor) -> bool:
    same_kind = given.dtype == own.dtype or (own.dtype == torch.float32 and given.dtype in _EXACT_IN_FLOAT32)
    return given.shape == own.shape and same_kind


def _place(tensor: Tensor) -> tuple[int, tuple[int, ...]]:
    return tensor.data_ptr(), tuple(tensor.shape)


def _shape_text(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def _listing(title: str, keys: Sequence[str]) -> str:
    if not keys:
        return ""
    rest = f", and {len(keys) - _LISTED} more" if len(keys) > _LISTED else ""
    return f"\n  {title} ({len(keys)}): {', '.join(keys[:_LISTED])}{rest}"


def _mismatch_remedy(own: Sequence[str], given: Sequence[str]) -> str:
    if given and all(key.startswith("module.") for key in given) and not any(key.startswith("module.") for key in own):
        return "the keys start with 'module.' (nn.DataParallel): save model.module.state_dict() instead"
    if any(key.startswith(("weights/", "running/", "velocity/")) for key in given):
        return "this looks like a checkpoint of spindl: resume from it instead, or save the module's state_dict()"
    return "build the model with the same number of classes and channels as the one that was saved"
