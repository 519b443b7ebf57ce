"""A run in a folder: what ``python -m tinygrad_fc train`` makes, and ``predict`` and ``evaluate`` read."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..data import (
    FASHION_MNIST_CLASSES,
    Compose,
    RandomHorizontalFlip,
    RandomShift,
    load_arrays,
    load_cifar10,
    load_digits,
    load_fashion_mnist,
)
from ..files import FileError, read_tensors, tensor_bytes, write_atomically
from ..models import FullyConnectedNet
from .checkpoint import checkpoints
from .config import RunConfig
from .feed import fingerprint
from .solver import Solver

CONFIG, MODEL, INPUT, RESULTS = "run.toml", "model.safetensors", "input.safetensors", "results.json"
CHECKPOINTS = "checkpoints"
CURVES, REPLACED = "training.png", ".replaced"
_FILES = (CONFIG, MODEL, INPUT, RESULTS, CURVES, "history.csv", "steps.csv", CHECKPOINTS)
PARTS = ("train", "val", "test")
_ROWS = 1_000
SECONDS = 10.0  # between two checkpoints, where no number of steps is asked for
_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass
class Inputs:
    """How samples are prepared for the network, and what its classes are called.

    Attributes
    ----------
    mean, scale : ndarray, shape (D,)
        Each feature has `mean` subtracted and is divided by `scale`: of the training part. Their dtype is what that is
        computed in.
    shape : list of int
        Of a sample.
    classes : list
        What the labels 0, 1, ... stand for.
    names : list of str
        Of the features; empty where they have none.
    prints : dict
        What tells whether the data are still those of the run, for each part.
    """

    mean: np.ndarray
    scale: np.ndarray
    shape: list[int]
    classes: list[Any]
    names: list[str] = field(default_factory=list)
    prints: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, data: Mapping[str, Any], classes: list[Any], images: bool) -> Inputs:
        """Measure the training samples: images have one scale for all pixels, other features one each."""
        X = data["X_train"]
        flat = X.reshape(len(X), -1)
        mean = flat.mean(axis=0, dtype=np.float64)
        low = flat.min(axis=0)
        constant = low == flat.max(axis=0)
        mean[constant] = low[constant]  # exactly, so that what never changes stays 0
        squares = np.zeros_like(mean)
        for start in range(0, len(flat), _ROWS):  # so that the samples are never all there in float64
            squares += np.square(flat[start : start + _ROWS] - mean).sum(axis=0)
        spread = np.sqrt(squares / len(flat))
        scale = np.full_like(mean, math.sqrt(float(np.mean(spread**2)))) if images else spread
        scale[scale == 0.0] = 1.0
        # Numbers that float32 does not hold may be large beside what they change by, as the seconds of dates are.
        dtype = np.float32 if images or np.can_cast(X.dtype, np.float32) else np.float64
        shape = list(data.get("shape", X.shape[1:]))
        prints = {part: fingerprint(data[f"X_{part}"], data[f"y_{part}"]) for part in PARTS if f"y_{part}" in data}
        return cls(mean.astype(dtype), scale.astype(dtype), shape, classes, list(data.get("names", ())), prints)

    def check_data(self, dataset: str, data: Mapping[str, Any]) -> None:
        """Raise ValueError where data, as they were loaded, are not those that the run was trained on."""
        for part, saved in self.prints.items():
            found = fingerprint(data[f"X_{part}"], data[f"y_{part}"]) if f"y_{part}" in data else None
            if found != saved:
                raise ValueError(
                    f"{dataset}: its {part} part is not that of the run ({found or 'missing'}, it was {saved}): the "
                    f"data have changed, and samples that were trained on would be measured; --dataset FILE measures "
                    f"others"
                )

    def prepare(self, X: np.ndarray, names: Sequence[str] = ()) -> np.ndarray:
        """Return samples as the network takes them, float32 of shape (N, D).

        Parameters
        ----------
        X : ndarray
            Of the shape of the run's samples, or flat.
        names : sequence of str
            Of its columns, where they have some: they are put in the run's order.

        Raises
        ------
        ValueError
            If they have another number of features, another shape or other names, or are not finite.
        """
        flat = np.asarray(X).reshape(len(X), -1)
        if flat.shape[1] != len(self.mean) or flat.dtype.kind not in "biuf":
            raise ValueError(
                f"samples have {flat.shape[1]} features of {flat.dtype}, the network takes {len(self.mean)} numbers"
                f"{self._strange(names)}"
            )
        # Axes of length 1 change no order; without a shape of its own, a run takes any.
        given, own = ([size for size in shape if size != 1] for shape in (np.shape(X)[1:], self.shape))
        if len(own) > 1 and len(given) > 1 and given != own:
            raise ValueError(f"samples have shape {np.shape(X)[1:]}, those of the run {tuple(self.shape)}; move the "
                             f"axes (X.transpose), or give them flat in the run's order")  # fmt: skip
        if names and self.names and list(names) != self.names:
            if self._strange(names) or len(set(names)) < len(names):
                raise ValueError(f"the columns are not the run's{self._strange(names) or ': a name is there twice'}")
            flat = flat[:, [list(names).index(name) for name in self.names]]
        made = np.empty(flat.shape, np.float32)
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused below
            for start in range(0, len(flat), _ROWS):  # so that float64 costs no second array of all samples
                rows = flat[start : start + _ROWS].astype(self.mean.dtype)
                rows -= self.mean
                rows /= self.scale
                made[start : start + _ROWS] = rows
        if not np.isfinite(made).all():
            raise ValueError("samples hold NaN or infinity")
        return made

    def _strange(self, names: Sequence[str]) -> str:
        """Return which names of columns are not the run's, and which of the run's are missing."""
        more = [name for name in names if name not in self.names]
        less = [name for name in self.names if name not in names]
        if not self.names or not names or not (more or less):
            return ""
        said = [f"{', '.join(found)} {word}" for found, word in ((less, "missing"), (more, "not known")) if found]
        return f": {'; '.join(said)}; it was trained on {', '.join(self.names)}"

    def save(self, path: Path) -> None:
        """Write it as safetensors, with everything else as JSON in the header."""
        about = {name: json.dumps(getattr(self, name)) for name in ("shape", "classes", "names", "prints")}
        write_atomically(path, tensor_bytes({"mean": self.mean, "scale": self.scale}, about))

    @classmethod
    def load(cls, path: Path) -> Inputs:
        """Read what `save` wrote.

        Raises
        ------
        FileError
            If it is damaged or of something else.
        OSError
            If it cannot be read.
        """
        arrays, about = read_tensors(path)
        try:
            shape, classes = json.loads(about["shape"]), json.loads(about["classes"])
            # Earlier versions wrote none of these.
            names, prints = json.loads(about.get("names", "[]")), json.loads(about.get("prints", "{}"))
            mean, scale = arrays["mean"], arrays["scale"]
        except (KeyError, ValueError, RecursionError) as error:
            raise FileError(f"{path}: not what a run writes ({type(error).__name__}: {error})") from None
        floats = mean.dtype == scale.dtype and mean.dtype.kind == "f"
        if mean.ndim != 1 or mean.shape != scale.shape or not floats or not isinstance(classes, list) or not classes:
            raise FileError(f"{path}: not what a run writes (mean {mean.shape}, scale {scale.shape})")
        if any(not isinstance(found, list) for found in (shape, names)) or len(names) not in (0, len(mean)):
            raise FileError(f"{path}: not what a run writes (shape {shape!r}, names {names!r})")
        if not isinstance(prints, dict) or not set(prints) <= set(PARTS):
            raise FileError(f"{path}: not what a run writes (prints {prints!r})")
        return cls(mean, scale, shape, classes, names, prints)


def load_data(config: RunConfig) -> tuple[dict[str, Any], list[Any], bool]:
    """Load a run's data set; return it as it is, the names of its classes, and whether its samples are images.

    Where the loader flattens images, ``shape`` in the data is what they had.

    Raises
    ------
    ValueError, OSError
        As the loaders do.
    """
    root = config.data or None
    if config.dataset == "digits":
        return {**load_digits(), "shape": (8, 8)}, list(range(10)), True
    if config.dataset == "cifar10":
        found = load_cifar10(root, num_test=None, flatten=True, subtract_mean=False)
        return {**found, "shape": (3, 32, 32)}, list(_CIFAR10), True
    if config.dataset == "fashion-mnist":
        found = load_fashion_mnist(root, subtract_mean=False)
        return {**found, "shape": (28, 28)}, list(FASHION_MNIST_CLASSES), True
    data = load_arrays(config.dataset, None, seed=config.seed, validation=config.validation)
    labels = np.concatenate([data[name] for name in data if name.startswith("y_")])
    return data, data.get("classes", list(range(int(labels.max()) + 1))), False


def prepare(data: dict[str, Any], inputs: Inputs) -> None:
    """Replace the samples of each part by what the network takes."""
    for part in PARTS:
        if f"X_{part}" in data:
            data[f"X_{part}"] = inputs.prepare(data[f"X_{part}"])


def image_shape(config: RunConfig, inputs: Inputs) -> tuple[int, ...]:
    """Return the shape of the images of a data set, for augmentation.

    Raises
    ------
    ValueError
        If the samples are no images.
    """
    shape = tuple(inputs.shape)
    if len(shape) < 2:
        raise ValueError(f"flip and shift are for images, and samples of {config.dataset} have the shape {shape}")
    return shape


def make_model(config: RunConfig, inputs: Inputs) -> FullyConnectedNet:
    """Make the network of a run."""
    normalization = None if config.normalization == "none" else config.normalization
    return FullyConnectedNet(
        list(config.hidden), len(inputs.mean), len(inputs.classes), reg=config.reg, weight_scale=None, seed=config.seed,
        normalization=normalization, dropout_keep_ratio=1.0 - config.dropout, activation=config.activation,
    )  # fmt: skip


def make_solver(
    config: RunConfig, folder: Path | None, data: dict[str, Any], inputs: Inputs, resume: bool, **options: Any
) -> Solver:
    """Make the solver of a run, or take up the one whose checkpoints are in the folder; without one it writes none.

    Raises
    ------
    ValueError, OSError
        As `Solver` and its ``resume`` do.
    """
    steps: list[Any] = []
    if config.flip:
        steps.append(RandomHorizontalFlip(image_shape(config, inputs)))
    if config.shift:
        steps.append(RandomShift(image_shape(config, inputs), config.shift))
    augment: dict[str, Any] = {"augment": Compose(*steps), "prefetch": 2} if steps else {}
    model, saved = make_model(config, inputs), None if folder is None else folder / CHECKPOINTS
    # What a run that goes on may change, too.
    options |= {
        "num_epochs": config.epochs, "patience": config.patience or None,
        "checkpoint_every": (config.checkpoint_every or None) if saved else None,
        "checkpoint_seconds": SECONDS if saved and not config.checkpoint_every else None,
    }  # fmt: skip
    if resume and saved is not None and saved.is_dir() and checkpoints(saved):
        try:
            return Solver.resume(saved, model, data, **augment, **options)
        except ValueError as error:
            if not str(error).startswith("num_epochs: "):
                raise
            raise ValueError(str(error).removeprefix("num_")) from error  # as the option is called
    return Solver(
        model, data, config.rule, {"learning_rate": config.learning_rate, "weight_decay": config.weight_decay},
        lr_decay=config.lr_decay, batch_size=config.batch_size, seed=config.seed,
        schedule=None if config.schedule == "none" else config.schedule,
        class_weights=None if config.class_weights == "none" else config.class_weights,
        clip_norm=config.clip_norm or None, checkpoint_dir=saved, **augment, **options,
    )  # fmt: skip


def open_run(folder: Path) -> tuple[RunConfig, FullyConnectedNet, Inputs]:
    """Return the configuration, the trained network and the preparation of a finished run.

    Raises
    ------
    FileNotFoundError
        If the folder has no such run; the message says how to make one.
    ValueError
        If a file of it is damaged.
    """
    for name in (CONFIG, INPUT, MODEL):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder}: no finished run, {name} is missing; python -m tinygrad_fc train --out {folder} makes one"
            )
    given = RunConfig.read(folder / CONFIG)
    if "dataset" not in given:
        raise ValueError(f"{folder / CONFIG}: it is not what a run writes: dataset is missing")
    config = RunConfig.of(given, str(folder / CONFIG))
    inputs = Inputs.load(folder / INPUT)
    model = make_model(config, inputs)
    model.load(folder / MODEL)
    return config, model, inputs


def check_resumed(config: RunConfig, folder: Path) -> None:
    """Raise ValueError where a run is to go on with an option that would make it another run."""
    saved = RunConfig.of(RunConfig.read(folder / CONFIG), str(folder / CONFIG))
    for name, value in vars(config).items():
        if value != getattr(saved, name) and name not in ("data", "epochs", "patience", "checkpoint_every"):
            raise ValueError(
                f"--resume goes on with the run in {folder} as it is: its {name} is {getattr(saved, name)!r}, and "
                f"{value!r} is asked for; leave that out, or start another run with --config {folder / CONFIG} --out"
            )


def set_aside(folder: Path) -> None:
    """Move what an earlier run left in a folder, its own files and nothing else, until the new one is finished."""
    aside = folder / REPLACED
    if aside.exists() and (folder / MODEL).exists():  # that one was finished, and is what is replaced now
        shutil.rmtree(aside)
    for name in _FILES:
        if aside.exists() and (aside / name).exists():
            _remove(folder / name)  # of a run that was not finished
        elif (folder / name).exists():
            aside.mkdir(exist_ok=True)
            (folder / name).rename(aside / name)


def put_back(folder: Path) -> None:
    """Undo `set_aside`."""
    aside = folder / REPLACED
    for name in _FILES if aside.exists() else ():
        _remove(folder / name)
        if (aside / name).exists():
            (aside / name).rename(folder / name)
    if aside.exists():
        aside.rmdir()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
