"""RunConfig: all that a run of the command line is made of, checked, and kept as TOML."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..nn.activations import ACTIVATIONS
from ..optim import RULES, SCHEDULES
from ..optim.rule import closest

DATASETS = ("digits", "cifar10", "fashion-mnist")
NORMALIZATIONS = ("none", "batchnorm", "layernorm")
# What each data set is trained with unless something else is asked for; docs/training.md has what it gives.
RECIPES: dict[str, dict[str, Any]] = {
    "digits": {"hidden": (256, 128), "normalization": "batchnorm", "dropout": 0.3, "learning_rate": 3e-3, "epochs": 60},
    "fashion-mnist": {
        "hidden": (1024, 512), "normalization": "batchnorm", "dropout": 0.4, "learning_rate": 2e-3, "epochs": 30,
        "batch_size": 256,
    },
    "cifar10": {
        "hidden": (1024, 512, 256), "normalization": "batchnorm", "dropout": 0.1, "learning_rate": 1e-3, "epochs": 40,
        "batch_size": 256, "flip": True, "shift": 2,
    },
}  # fmt: skip


@dataclass(frozen=True)
class RunConfig:
    """A run: data, network, rule and length.

    Parameters
    ----------
    dataset : str
        A name of `DATASETS`, or the path of an .npz or .csv.
    data : str
        The folder of the data set's files; "" looks where the loader looks.
    hidden : tuple of int
        Units of each hidden layer.
    normalization : str
        A name of `NORMALIZATIONS`.
    dropout : float
        Share of the hidden units that are dropped, in [0, 1).
    activation : str
        A name of ``nn.ACTIVATIONS``.
    reg : float
        Strength of the L2 penalty on the weights.
    rule, learning_rate, weight_decay : str, float, float
        The update rule and its options.
    schedule : str
        A name of ``optim.SCHEDULES``, over all epochs, or "none".
    lr_decay : float
        The learning rate is multiplied by it after each epoch.
    batch_size, epochs : int
        Samples in a step, and passes over the data.
    patience : int
        Epochs without a better validation accuracy that end the run; 0 is none.
    flip : bool
        Mirror half of the images of each batch.
    shift : int
        Move the images of each batch by up to so many pixels.
    class_weights : str
        "none" or "balanced".
    clip_norm : float
        Bound of the gradients' norm; 0 is none.
    validation : float
        Share of an own data set's samples that validate, where the file has none of its own.
    seed : int
        Of the split of an own data set, the weights and the batches.
    checkpoint_every : int
        Steps between two checkpoints; 0 writes one every ten seconds.

    Raises
    ------
    ValueError, TypeError
        Naming what is out of range.
    """

    dataset: str = "digits"
    data: str = ""
    hidden: tuple[int, ...] = (100, 100)
    normalization: str = "none"
    dropout: float = 0.0
    activation: str = "relu"
    reg: float = 0.0
    rule: str = "adam"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    schedule: str = "cosine"
    lr_decay: float = 1.0
    batch_size: int = 100
    epochs: int = 20
    patience: int = 0
    flip: bool = False
    shift: int = 0
    class_weights: str = "none"
    clip_norm: float = 0.0
    validation: float = 0.2
    seed: int = 0
    checkpoint_every: int = 0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, kind = getattr(self, field.name), type(field.default)
            if kind is float and type(value) is int:
                object.__setattr__(self, field.name, float(value))
            elif kind is tuple and isinstance(value, (list, tuple)):
                object.__setattr__(self, field.name, tuple(value))
            elif type(value) is not kind:
                expected = "a list" if kind is tuple else kind.__name__
                raise TypeError(f"{field.name}: given {value!r}, expected {expected}")
            elif isinstance(value, str) and value.encode(errors="replace").decode() != value:  # bytes that are no UTF-8
                raise ValueError(f"{field.name}: given {value!r}, which no TOML file can hold; rename the file")
        for name, allowed in (
            ("normalization", NORMALIZATIONS), ("activation", tuple(ACTIVATIONS)), ("rule", tuple(RULES)),
            ("schedule", ("none", *SCHEDULES)), ("class_weights", ("none", "balanced")),
        ):  # fmt: skip
            if getattr(self, name) not in allowed:
                given = getattr(self, name)
                raise ValueError(f"{name}: unknown {given!r}{closest(given, allowed)}; expected {', '.join(allowed)}")
        for name, low, high in (
            ("dropout", 0.0, 1.0), ("reg", 0.0, 1e9), ("learning_rate", 0.0, 1e9), ("weight_decay", 0.0, 1e9),
            ("clip_norm", 0.0, 1e9), ("validation", 0.0, 1.0), ("epochs", 1, 10**9), ("batch_size", 1, 10**9),
            ("patience", 0, 10**9), ("shift", 0, 10**4), ("seed", 0, 2**63), ("checkpoint_every", 0, 10**12),
        ):  # fmt: skip
            if not low <= getattr(self, name) < high:  # so NaN is refused, too
                raise ValueError(f"{name}: given {getattr(self, name)!r}, expected a number in [{low:g}, {high:g})")
        if any(type(size) is not int or size < 1 for size in self.hidden):
            raise ValueError(f"hidden: given {list(self.hidden)}, expected sizes of at least 1")
        if self.dataset not in DATASETS and Path(self.dataset).suffix.lower() not in (".npz", ".csv"):
            raise ValueError(
                f"dataset: unknown {self.dataset!r}{closest(self.dataset, DATASETS)}; expected {', '.join(DATASETS)}, "
                f"or a file of your own, .npz or .csv"
            )

    @classmethod
    def of(cls, given: dict[str, Any], where: str) -> RunConfig:
        """Make a configuration of what is given, of the data set's recipe, and of the defaults.

        Another rule than the recipe's has its own default as its learning rate.

        Raises
        ------
        ValueError, TypeError
            As the class does, and for a name that it has not; `where` stands before the message.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        dataset, rule = given.get("dataset", cls.dataset), given.get("rule", cls.rule)
        for key in given:
            if key not in known:
                raise ValueError(f"{where}: unknown option {key!r}{closest(key, known)}; there are {', '.join(known)}")
        recipe = RECIPES.get(dataset, {}) if isinstance(dataset, str) else {}
        if isinstance(rule, str) and rule != cls.rule and rule in RULES:  # the recipes' rates are Adam's
            recipe = {**recipe, "learning_rate": RULES[rule].options["learning_rate"].default}
        try:
            return cls(**{**recipe, **given})
        except (TypeError, ValueError) as error:
            raise type(error)(f"{where}: {error}") from None

    def to_toml(self) -> str:
        """Return it as TOML, one line an option, which `read` reads."""
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()}
        # TOML writes strings, numbers, booleans and lists of them as JSON does, but knows no halves of characters, as
        # JSON's escapes have them beyond 16 bits, and wants DEL escaped.
        lines = (f"{key} = {json.dumps(value, allow_nan=False, ensure_ascii=False)}\n" for key, value in plain.items())
        return "".join(lines).replace("\x7f", "\\u007f")

    @staticmethod
    def read(path: Path) -> dict[str, Any]:
        """Return the options in a TOML file.

        Raises
        ------
        ValueError
            If it is no TOML.
        OSError
            If it cannot be read.
        """
        try:
            return tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: no TOML file ({error})") from None
