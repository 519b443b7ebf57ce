"""The state of a solver: what a checkpoint holds beside the weights, and how a run is made again from it."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..nn import generators
from ..nn.module import Module
from ..optim.rules import RULES
from . import checkpoint

if TYPE_CHECKING:
    from .solver import Solver

# What a checkpoint cannot hold, since it is code: given again to `Solver.resume`.
CODE = ("augment", "callbacks", "criterion", "metrics")
# What is part of the saved state, so that another value would have no effect.
KEPT = ("clip_norm", "clip_value", "optim_config", "seed")
_BIT_GENERATORS = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")


def options(given: Mapping[str, Any], rule: Any) -> dict[str, Any]:
    """Return a solver's arguments as a checkpoint holds them: of code the names."""
    kept = {key: plain(value) for key, value in given.items() if key not in (*CODE, "seed", "update_rule", "schedule")}
    kept["update_rule"] = rule.name
    schedule = given["schedule"]
    kept["schedule"] = schedule.to_config() if hasattr(schedule, "to_config") else plain(schedule)
    kept["code"] = {key: _names(given[key]) for key in CODE if given[key]}
    if RULES.get(rule.name) is not rule:
        kept["code"]["update_rule"] = [rule.name]
    if callable(schedule) and not hasattr(schedule, "to_config"):
        kept["code"]["schedule"], kept["schedule"] = _names(schedule), None
    return kept


def plain(value: Any) -> Any:
    """Return a value in the types that a checkpoint keeps."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    return str(value) if isinstance(value, Path) else value


def read_generator(generator: Any) -> dict[str, Any]:
    """Return the state of a generator, with which kind of generator it is."""
    kind = "RandomState" if isinstance(generator, np.random.RandomState) else "Generator"
    state: dict[str, Any] = generators.read(generator)
    return {"kind": kind, **state}


def make_generator(tree: Any) -> Any:
    """Return a new generator in a state that `read_generator` returned.

    Raises
    ------
    ValueError
        If it is no state of one of NumPy's generators.
    """
    name = tree.get("bit_generator") if isinstance(tree, Mapping) else None
    if name not in _BIT_GENERATORS:
        raise ValueError(f"the generator is {name!r}, expected one of NumPy's: {', '.join(_BIT_GENERATORS)}")
    state = {key: value for key, value in tree.items() if key != "kind"}
    bits = getattr(np.random, name)(0)
    made = np.random.RandomState(bits) if tree.get("kind") == "RandomState" else np.random.Generator(bits)
    try:
        generators.write(made, state)
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"no state of {name} ({type(error).__name__}: {error})") from None
    return made


def module_of(solver: Solver) -> Module | None:
    """Return the module that is trained, or None where the model is none."""
    found = getattr(solver._trained, "module", solver._trained)
    return found if isinstance(found, Module) else None


def weights(solver: Solver) -> dict[str, np.ndarray]:
    """Return the arrays of the model by name: a module's by path, with its buffers."""
    module = module_of(solver)
    if module is not None:
        return module.state_dict()
    return {name: np.array(value) for name, value in solver._trained.params.items()}


def state_dict(solver: Solver) -> dict[str, Any]:
    """Return what the next step depends on, and what was recorded; nothing in it is shared with the solver."""
    module = module_of(solver)
    return {
        "arguments": copy.deepcopy(solver._options),
        "model": _description(solver),
        "data": {"train": solver._train.fingerprint(), "val": solver._val.fingerprint()},
        "optimizer": solver.optimizer.state_dict(),
        "schedule": solver.schedule.state_dict() if hasattr(solver.schedule, "state_dict") else None,
        "generator": read_generator(solver._generator),
        "order": copy.deepcopy(solver._order_state) if solver._order is not None else None,
        "model_generators": {} if module is None else module.generator_state(),
        "history": solver.history.state_dict(),
        "best": {
            "params": {name: value.copy() for name, value in solver.best_params.items()},
            "buffers": [array.copy() for array in solver._best_buffers],
            "value": solver._best_value,
            "val_acc": solver.best_val_acc,
        },
        "callbacks": [callback.state_dict() for callback in solver.callbacks],
        **{name: getattr(solver, attribute) for name, attribute in _NUMBERS.items()},
    }


_NUMBERS = {
    "step": "step", "epoch": "epoch", "position": "_position", "end": "_end", "epochs": "_epochs", "waited": "_waited",
    "seconds": "_seconds", "augment_seed": "_augment_seed",
}  # fmt: skip


def _check(solver: Solver, tree: Mapping[str, Any]) -> None:
    """Raise ValueError where the numbers or the best weights of a state are none that a run of this model has."""
    for name in _NUMBERS:
        kinds: Any = (int, float) if name == "seconds" else int
        value = 0 if name == "end" and tree[name] is None else tree[name]
        if isinstance(value, bool) or not isinstance(value, kinds) or not 0 <= value < math.inf:
            raise ValueError(f"{name}: the state has {tree[name]!r}, expected a number that is not negative")
    # All of them: the state was taken in on_step_end, or an error came there. The next training ends the epoch first.
    if tree["position"] > solver.steps_per_epoch:
        raise ValueError(f"position: the state has {tree['position']} steps of an epoch of {solver.steps_per_epoch}")
    best = tree["best"]
    for name in ("value", "val_acc"):
        if best[name] is not None and type(best[name]) not in (int, float):
            raise ValueError(f"best: {name} is {best[name]!r}, expected a number")
    if not best["params"]:
        return
    for part, own, saved in (
        ("parameters", dict(solver._trained.params), best["params"]),
        ("buffers", dict(enumerate(solver._buffers())), dict(enumerate(best["buffers"]))),
    ):
        if {key: np.shape(array) for key, array in own.items()} != {key: np.shape(a) for key, a in saved.items()}:
            raise ValueError(f"the {part} of the best weights are not those of the model")


def _description(solver: Solver) -> str:
    """Return what tells whether a model computes what another one did: its tree with its options, and its loss."""
    model, module = solver._trained, module_of(solver)
    text = type(model).__name__ if module is None else repr(module)
    criterion = getattr(model, "criterion", None)
    loss = repr(criterion) if isinstance(criterion, Module) else type(criterion).__name__
    return f"{text}\nreg: {getattr(model, 'reg', None)}\ncriterion: {loss}"


def _difference(one: str, other: Any) -> tuple[str, str]:
    """Return the first lines of two descriptions that differ."""
    lines = zip_longest(one.splitlines(), str(other).splitlines(), fillvalue="")
    first = next((pair for pair in lines if pair[0] != pair[1]), ("", ""))
    return first[0].strip(), first[1].strip()


def load_state_dict(solver: Solver, tree: Mapping[str, Any]) -> None:
    """Put a solver into the state that `state_dict` returned; where that fails, all is as it was."""
    before = state_dict(solver)
    try:
        _check_run(solver, tree)
        _put(solver, tree)
    except BaseException as error:  # Ctrl-C, too
        _put(solver, before)
        if isinstance(error, (AttributeError, IndexError, KeyError, TypeError)):
            raise ValueError(f"no state of a solver ({type(error).__name__}: {error})") from error
        raise


def _check_run(solver: Solver, tree: Mapping[str, Any]) -> None:
    """Raise ValueError where a state is of other data, another model or other callbacks than the solver has."""
    for part, feed in (("train", solver._train), ("val", solver._val)):
        found, saved = feed.fingerprint(), tree["data"][part]
        if found != saved:
            raise ValueError(f"data: the {part} part is {_short(found)}, that of the saved run was {_short(saved)}")
    if tree["model"] != _description(solver):
        one, other = _difference(_description(solver), tree["model"])
        raise ValueError(f"model: it has {one!r} where that of the saved run had {other!r}; make it as it was")
    if any(tree["callbacks"]) and len(tree["callbacks"]) != len(solver.callbacks):
        raise ValueError(
            f"callbacks: given {len(solver.callbacks)}, the saved run had {len(tree['callbacks'])}, and some kept a "
            f"state; give all of them in the same order"
        )
    _check(solver, tree)


def _put(solver: Solver, tree: Mapping[str, Any]) -> None:
    kept = tree["callbacks"] if any(tree["callbacks"]) else []  # those without a state may come and go
    generator = make_generator(tree["generator"])
    order_generator = None if tree["order"] is None else make_generator(tree["order"])
    best = tree["best"]
    solver.optimizer.load_state_dict(tree["optimizer"])
    solver.history.load_state_dict(tree["history"])
    if tree["schedule"] is not None:
        solver.schedule.load_state_dict(tree["schedule"])
    module = module_of(solver)
    if module is not None:
        module.load_generator_state(tree["model_generators"])
    for callback, saved in zip(solver.callbacks, kept, strict=bool(kept)):
        callback.load_state_dict(saved)
    for name, attribute in _NUMBERS.items():
        setattr(solver, attribute, tree[name])
    solver.best_params = {name: np.array(value) for name, value in best["params"].items()}
    solver._best_buffers = [np.array(array) for array in best["buffers"]]
    solver._best_value, solver.best_val_acc = best["value"], best["val_acc"]
    solver._order = solver._order_state = None
    if order_generator is not None:
        # The order of an epoch is drawn again from where it was drawn, instead of being kept.
        solver._generator, solver._order_state = order_generator, copy.deepcopy(tree["order"])
        solver._order = solver._draw_order()
    solver._generator = generator


def resume(cls: Any, folder: str | Path, model: Any, data: Any, given: dict[str, Any]) -> Any:
    """Make a solver from the newest good checkpoint of a folder; `Solver.resume` documents it."""
    from .saving import Saver  # which uses this module

    path, _, arrays, tree = checkpoint.newest(folder)
    saved = _saved_arguments(path, tree)
    arguments = {key: value for key, value in saved.items() if key != "code"}
    for name, what in saved["code"].items():
        if not given.get(name) and (name != "callbacks" or any(tree.get("callbacks", []))):
            raise ValueError(
                f"resume: the saved run had {name} ({', '.join(what)}), which no file can hold; give it again: "
                f"Solver.resume(folder, model=..., data=..., {name}=...)"
            )
    for name in CODE:
        if given.get(name) and name not in saved["code"] and name != "callbacks":
            raise ValueError(f"resume: {name} is given, but the saved run had none")
    for name in KEPT:
        if name in given and plain(given[name]) != saved.get(name):
            raise ValueError(
                f"resume: {name} goes on as it was saved ({saved.get(name)!r}), and {given[name]!r} is given; leave it "
                f"out, and change solver.optimizer afterwards where it has to be another"
            )
    for name in ("batch_size", "replacement"):
        if given.get(name, saved.get(name)) != saved.get(name) and tree.get("position"):
            raise ValueError(
                f"resume: {name} is {given[name]}, and the saved run is in the middle of an epoch with "
                f"{saved.get(name)}; leave it out, or resume a run that was saved after an epoch"
            )
    arguments = {**arguments, "checkpoint_dir": folder, **given}
    # Given to the saver afterwards: a new run would refuse a folder that has checkpoints.
    saving = {name: arguments.pop(name) for name in tuple(arguments) if name.startswith("checkpoint_")}
    before = _remembered(model)
    try:
        solver = cls(model, data, **arguments)
        solver._options |= plain(saving)
        solver._saver = Saver(
            saving["checkpoint_dir"], saving["checkpoint_every"], saving["checkpoint_seconds"],
            saving["checkpoint_keep"], solver.steps_per_epoch, resumed=True,
        )  # fmt: skip
        monitor = saved.get("monitor") or ("val_loss" if solver.classes is None else "val_acc")
        if solver.monitor != monitor:
            raise ValueError(
                f"resume: monitor: given {given['monitor']!r}, but the best weights so far are the best by {monitor}; "
                f"leave it out, or give the resumed solver's model to a new Solver with this monitor"
            )
        _load_weights(solver, arrays)
        solver.load_state_dict(tree)
        _move_end(solver, saved, given)
    except BaseException as error:  # Ctrl-C, and whatever a callback raises, too
        _put_back(model, before)
        error.add_note(f"While resuming from {path}; the model is as it was.")
        raise
    return solver


def _move_end(solver: Solver, saved: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Set the step at which a resumed training ends, where other arguments than the saved ones move it."""
    longer = given.get("num_epochs") not in (None, saved.get("num_epochs"))
    if longer and solver.num_epochs < solver.epoch:
        raise ValueError(f"num_epochs: given {solver.num_epochs}, but {solver.epoch} epochs are done; give more")
    ended, patience = solver._end == solver.step, saved.get("patience")
    # One that patience ended goes on if another patience lets it, and one that is made longer is not ended at once.
    patient = solver.patience is None or solver._waited < solver.patience
    if longer and ended and not patient:
        solver._waited = 0
    patient = patient and ended and isinstance(patience, int) and solver._waited >= patience
    other_steps = solver._end is not None and not ended and solver.batch_size != saved["batch_size"]
    if longer:
        solver._epochs = solver.num_epochs
    if longer or patient or other_steps:
        left = (solver._epochs - solver.epoch) * solver.steps_per_epoch - solver._position
        solver._end = solver.step + left


def _saved_arguments(path: Path, tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments in a state, of the types that `resume` reads; the solver checks all the others."""
    saved = tree.get("arguments")
    code = saved.get("code") if isinstance(saved, dict) else None
    if isinstance(saved, dict) and isinstance(code, dict):
        names = [name for names in code.values() for name in (names if isinstance(names, list) else [None])]
        saving = {f"checkpoint_{name}" for name in ("dir", "every", "seconds", "keep")}
        whole = [saved.get(name) for name in ("batch_size", "replacement")]
        if (
            saved.keys() >= saving and all(isinstance(name, str) for name in names)
            and all(isinstance(value, int) for value in whole)
        ):  # fmt: skip
            return saved
    raise checkpoint.CheckpointError(f"{path}: it holds no arguments of a Solver")


def _remembered(model: Any) -> Any:
    """Return the values of a model's parameters, buffers and generators."""
    if isinstance(model, Module):
        return model.state_dict(), model.generator_state()
    return {name: np.array(value) for name, value in model.params.items()} if hasattr(model, "params") else None


def _put_back(model: Any, before: Any) -> None:
    if isinstance(model, Module):
        model.load_state_dict(before[0])
        model.load_generator_state(before[1])
    elif before is not None:
        model.params.update(before)


def _load_weights(solver: Solver, arrays: Mapping[str, np.ndarray]) -> None:
    module = module_of(solver)
    if module is not None:
        module.load_state_dict(arrays)
        return
    params = solver._trained.params
    if {name: np.shape(value) for name, value in params.items()} != {name: a.shape for name, a in arrays.items()}:
        raise ValueError(f"the checkpoint's parameters are {', '.join(arrays)}, the model's {', '.join(params)}, or "
                         f"their shapes differ")  # fmt: skip
    for name, array in arrays.items():
        params[name] = array


def _names(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [str(key) for key in value]
    if isinstance(value, (list, tuple)):
        return [type(item).__name__ for item in value]
    return [getattr(value, "__name__", type(value).__name__)]


def _short(tree: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in tree.items())
