"""What a solver trains: parameters under names, and a loss with its gradients, made of any module."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine.backward import gradients
from ..engine.node import no_grad
from ..engine.tensor import Tensor, constant
from ..kernels import as_one
from ..nn.inputs import real_array
from ..nn.losses import SoftmaxLoss
from ..nn.module import Module
from ..nn.parameter import Parameter, note_change
from ..nn.state import Moving
from ..replay import Compiled
from ..replay.safety import Reads

if TYPE_CHECKING:
    import numpy.typing as npt


class Params(MutableMapping[str, np.ndarray]):
    """The parameters under the course's names, live: read, write in place, or assign; the network sees it at once.

    Read an array from here each time: when an optimizer moves the parameters into its flat buffer, arrays that were
    read before stay behind.

    Attributes
    ----------
    tensors : dict of str to Parameter
        The parameters themselves.
    """

    def __init__(self, tensors: dict[str, Parameter]) -> None:
        self.tensors = tensors

    def __getitem__(self, name: str) -> np.ndarray:
        return self._tensor(name).data

    def __setitem__(self, name: str, value: npt.ArrayLike) -> None:
        self._tensor(name).write_(value)

    def _tensor(self, name: str) -> Parameter:
        if name not in self.tensors:
            raise KeyError(f"no parameter {name!r}; the network has {', '.join(self.tensors)}.")
        return self.tensors[name]

    def write(self, values: Mapping[str, npt.ArrayLike]) -> None:
        """Write the values of all parameters, or, when a name, a shape or a dtype does not fit, of none."""
        if not isinstance(values, Mapping):
            raise TypeError(f"params: given {type(values).__name__}, expected a mapping of names to arrays.")
        if set(values) != set(self.tensors):
            raise ValueError(
                f"params: given {', '.join(map(str, values)) or 'nothing'}, expected all of {', '.join(self.tensors)}."
            )
        checked = {name: np.array(self.tensors[name]._checked(values[name])) for name in self.tensors}
        for name, value in checked.items():
            self.tensors[name].write_(value)

    def update(self, other: Any = (), /, **values: npt.ArrayLike) -> None:
        """Write the values of some parameters, or, when a name, a shape or a dtype does not fit, of none."""
        given = dict(other, **values)
        checked = {name: np.array(self._tensor(name)._checked(value)) for name, value in given.items()}
        for name, value in checked.items():
            self.tensors[name].write_(value)

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"params: {name!r} cannot be deleted: the parameters are the network's.")

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    def __repr__(self) -> str:
        return f"Params({', '.join(f'{name} {tensor.shape}' for name, tensor in self.tensors.items())})"




@contextlib.contextmanager
def in_mode(module: Module, training: bool) -> Iterator[None]:
    """Put a module into training or evaluation mode for a block, and back into the mode of each part afterwards."""
    changed = [part for _, part in module.named_modules() if part.training is not training]
    if changed:
        module.train(training)
    try:
        yield
    finally:
        for part in changed:
            object.__setattr__(part, "training", not training)  # a bool: nothing to be named or refused
        if changed:
            note_change()


def loss_and_gradients(
    make: Callable[[], Tensor], tensors: Mapping[str, Parameter]
) -> tuple[float, dict[str, np.ndarray]]:
    """Return the loss that `make` computes and its gradients by name, without those of parameters that are frozen."""
    with as_one(sum(tensor.size for tensor in tensors.values())):
        loss = make()
        try:
            found = gradients(loss, list(tensors.values()))
        except TypeError:
            trained = {name: tensor for name, tensor in tensors.items() if tensor.requires_grad}
            if len(trained) == len(tensors):
                raise
            tensors, found = trained, gradients(loss, list(trained.values())) if trained else []
    return loss.item(), {name: d.data for name, d in zip(tensors, found, strict=True)}


class ReplayedLoss:
    """The loss of a batch and its gradients, as a model's ``loss`` returns them, replayed where that is safe.

    Parameters
    ----------
    model : Trained or Classifier
        Has ``make_loss(X, y)``, ``params``, and the `dtype` that X is cast to.
    parts : sequence of Module or callable
        What ``make_loss`` runs.
    optimizer : Optimizer
        Whose arrays the gradients are written into: they are the caller's until the next call, and who holds them
        longer makes it take others.
    """

    def __init__(self, model: Any, parts: Sequence[Any], optimizer: Any) -> None:
        self.model, self._parts, self._optimizer = model, parts, optimizer
        self._compiled: Compiled | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_compiled": None}  # a copy records by itself

    def __call__(self, X: Any, y: Any) -> tuple[float, dict[str, np.ndarray]]:
        """Return the loss and the gradients by name, without those of parameters that are frozen."""
        tensors = self.model.params.tensors
        names = [name for name, tensor in tensors.items() if tensor.requires_grad]
        if not names or type(y) is not np.ndarray:
            return loss_and_gradients(lambda: self.model.make_loss(X, y), tensors)
        if self._compiled is None:
            size = sum(tensor.size for tensor in tensors.values())
            self._compiled = Compiled(self._step, lambda: Reads(*self._parts), self._optimizer, size)
        loss, found = self._compiled(real_array("X", X, self.model.dtype), y)
        return loss.item(), {name: d._array for name, d in zip(names, found, strict=True)}

    def _step(self, X: Any, y: Any) -> Any:
        loss = self.model.make_loss(X, y)
        tensors = self.model.params.tensors.values()
        return loss, gradients(loss, [tensor for tensor in tensors if tensor.requires_grad])


class Trained:
    """A module and a criterion as a solver takes them: ``params``, and ``loss`` of a batch.

    Parameters
    ----------
    module : Module
        Any; it is called with the batch as one constant tensor, cast to the dtype of its first parameter.
    criterion : callable, optional
        ``criterion(scores, y)`` returns a scalar tensor; `tinygrad_fc.nn.SoftmaxLoss` by default.

    Attributes
    ----------
    params : Params
        The parameters by path, live.
    dtype : numpy.dtype
        That batches are cast to.

    Raises
    ------
    TypeError
        If `module` is no module, or `criterion` cannot be called.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_fc import models, nn
    >>> model = models.Trained(nn.Sequential(nn.Linear(4, 3, seed=0)))
    >>> model.loss(np.ones((2, 4))).shape
    (2, 3)
    """

    def __init__(self, module: Module, criterion: Callable[[Any, Any], Tensor] | None = None) -> None:
        if not isinstance(module, Module):
            raise TypeError(f"module: given {type(module).__name__}, expected a tinygrad_fc.nn.Module.")
        self.criterion = SoftmaxLoss() if criterion is None else criterion
        if not callable(self.criterion):
            raise TypeError(f"criterion: given {criterion!r}, expected a loss such as tinygrad_fc.nn.MSELoss().")
        self.module = module
        self.params = Params(dict(module.named_parameters()))
        self.dtype = next((tensor.dtype for tensor in self.params.tensors.values()), np.dtype(np.float32))

    def loss(self, X: Any, y: Any = None) -> Any:
        """Return the scores of a batch in evaluation mode, or, with `y`, its loss and gradients in training mode.

        Parameters
        ----------
        X : array, shape (N, ...)
            A batch.
        y : array, shape (N, ...), optional
            Labels or targets, as the criterion takes them.

        Returns
        -------
        scores : ndarray
            Without `y`.
        loss, gradients : float, dict of str to ndarray
            With `y`. When it raises, running statistics and generators are as they were before.
        """
        if y is None:
            x = constant(real_array("X", X, self.dtype), "X")
            with in_mode(self.module, training=False), no_grad():
                return self.module(x).data
        return loss_and_gradients(lambda: self.make_loss(X, y), self.params.tensors)

    def replayed_loss(self, optimizer: Any) -> ReplayedLoss:
        """Return `loss` with labels, replayed where that is safe."""
        return ReplayedLoss(self, [self.module, self.criterion], optimizer)

    def make_loss(self, X: Any, y: Any) -> Tensor:
        """Return the loss of a batch in training mode."""
        x = constant(real_array("X", X, self.dtype), "X")
        with in_mode(self.module, training=True):
            before = Moving([self.module])
            try:
                return self.criterion(self.module(x), y)
            except BaseException:
                before.put_back()
                raise
