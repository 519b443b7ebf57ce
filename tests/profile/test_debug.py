"""debug(): the first NaN or infinity, and an overwritten array, raise where they arise, and no number changes."""

from __future__ import annotations

import copy
import re
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.training import Solver


def leaf(values: Any, name: str = "x", dtype: Any = np.float64) -> Any:
    return tg.tensor(values, dtype=dtype, requires_grad=True, name=name)


def twice_out_of_range(x: Any) -> Any:
    return tg.exp(x * 1000.0)


FORWARD: dict[str, tuple[Callable[[Any], Any], str]] = {
    "log of 0": (tg.log, r"log: the first infinity of the forward pass, at index \[1\] \(from 0\)\. Result \(3,\) "
                 r"float64 in \[0, 0.6931\], 1 of 3 infinite; given x \(x\) \(3,\) float64 in \[0, 2\]\. The log"),
    "0 / 0": (lambda x: x / x, r"divide: the first NaN of the forward pass, at index \[1\] \(from 0, 0\).*1 of 3 di"),
    "1 / 0": (lambda x: 1.0 / x, r"divide: the first infinity .*at index \[1\] \(from 1, 0\).*A division by zero"),
    "sqrt": (lambda x: tg.sqrt(x - 1.0), r"sqrt: the first NaN .*at index \[1\] \(from -1\).*smallest is -1\."),
    "exp": (twice_out_of_range, r"exp: the first infinity .*It overflows float64 from 709\.8 on; the largest is 200"),
    "product": (lambda x: (x * 1e200) * (x * 1e200), r"multiply: the first infinity.*went beyond the largest float64"),
    "matrix": (lambda x: tg.matmul(x[None] * 1e200, x[:, None] * 1e200), r"matmul: the first infinity .*\[0, 0\]\. "),
    "sum": (lambda x: tg.sum(x * 1.7e308), r"(multiply|sum): the first infinity"),
    "inf": (lambda x: tg.logsumexp(x * np.inf), r"multiply: the first infinity of .*at index \[0\] \(from 1, inf\)"),
    "fused": (lambda x: tg.affine(x[None] * 1e200, np.full((3, 2), 1e200), np.zeros(2)), "affine: the first infinity"),
}  # fmt: skip


@pytest.mark.parametrize("case", FORWARD)
def test_forward_names_operation_place_and_cause(case: str) -> None:
    function, match = FORWARD[case]
    x = leaf([1.0, 0.0, 2.0])
    with pytest.raises(FloatingPointError, match=match) as caught, tg.debug():
        function(x)
    assert re.search(r"\n  at .*test_debug\.py:\d+: ", str(caught.value))


BACKWARD: dict[str, tuple[Callable[[Any], Any], str]] = {
    "sqrt at 0": (lambda x: tg.sqrt(x).sum(), r"backward of sqrt: its rule for x \(x\) gave the first infinity of the "
                  r"backward pass, at index \[1\]: .*1 of 3 infinite\. Arrived: \(3,\) float64 in \[1, 1\]\. The der"),
    "power": (lambda x: (x**0.5).sum(), r"backward of (power|sqrt): its rule for .* gave the first infinity"),
    "square": (lambda x: ((x + 1e-200) ** -1.0 * 1e-200).sum(), "backward of .*the first infinity"),
    "sum": (lambda x: ((x - x.data) * 1.5e308).sum() + ((x - x.data) * 1.5e308).sum(),
            r"backward: the gradient of a leaf x \(3,\) is the first infinity: its parts were finite, their sum"),
}  # fmt: skip


@pytest.mark.parametrize("case", BACKWARD)
def test_backward_names_rule_and_forward_line(case: str) -> None:
    function, match = BACKWARD[case]
    x = leaf([1.0, 0.0, 0.5])
    with tg.debug():
        loss = function(x)
        with pytest.raises(FloatingPointError, match=match):
            loss.backward()
    with tg.debug():  # a run of backward that ended with an error leaves nothing behind
        leaf([1.0, 2.0]).sum().backward()


def test_a_run_of_backward_inside_another_leaves_its_place() -> None:
    """A checkpointed piece runs backward by itself: what fails in the outer one afterwards is still placed there."""
    x = leaf([1.0, 0.0, 0.5])
    with tg.debug():
        loss = (tg.checkpoint(lambda t: (t * 2.0).sum())(tg.sqrt(x) + 1.0)).sum()
        with pytest.raises(FloatingPointError, match=r"backward of sqrt: .*Arrived: \(3,\) float64 in \[2, 2\]"):
            loss.backward()
        assert leaf([2.0]).sum().item() == 2.0


def test_the_cause_is_that_of_the_place() -> None:
    top, bottom = leaf([1e308, 1.0], "top"), leaf([1e-10, 0.0], "bottom")
    match = r"at index \[0\] \(from 1e\+308, 1e-10\).*beyond the largest"
    with pytest.raises(FloatingPointError, match=match), tg.debug():
        top / bottom


def test_a_gradient_that_is_given_is_looked_at_too() -> None:
    with tg.debug():
        y = leaf([1.0, 2.0]) * 2.0
        with pytest.raises(FloatingPointError, match=r"backward: the gradient of the result of multiply \(2,\) is"):
            y.backward(np.array([1.0, np.nan]))


def test_second_order_says_in_whose_rule() -> None:
    x = leaf([1.0, 0.0])
    with pytest.raises(FloatingPointError, match=r"the first infinity of the backward pass, in a rule of sqrt \(.*:\d"):
        with tg.debug():
            tg.gradients(tg.sqrt(x).sum(), [x], create_graph=True)


def test_modules_are_named_by_path() -> None:
    net = tg.models.FullyConnectedNet([4], 2, 3, seed=0)
    net.fc2.W.data[0, 1] = np.inf
    with pytest.raises(FloatingPointError, match=r"^fc2: affine: .*w \(fc2\.W\) \(4, 3\) float32 .*1 of 12 infinite.*"
                       r"It came in with w, which no operation of this block made"), tg.debug():  # fmt: skip
        net.loss(np.ones((5, 2)), np.zeros(5, int))


def test_data_that_is_not_finite_is_blamed_itself() -> None:
    net = tg.models.FullyConnectedNet([4], 2, 3, seed=0)
    X = np.ones((5, 2))
    X[3, 1] = np.nan
    with pytest.raises(FloatingPointError, match=r"^fc1: affine_relu: .*x \(X\) \(5, 2\) float32 in .*1 of 10 NaN"), \
            tg.debug():  # fmt: skip
        net.loss(X, np.zeros(5, int))


def test_operations_of_users_and_checkpoints_are_seen() -> None:
    half_log = tg.op(lambda x: np.log(x) / 2, x=lambda g, x: g / x / 2, name="half_log_debug")
    x = leaf([1.0, 0.0])
    with pytest.raises(FloatingPointError, match="half_log_debug: the first infinity"), tg.debug():
        half_log(x)
    with pytest.raises(FloatingPointError, match="log: the first infinity"), tg.debug():
        tg.checkpoint(lambda t: tg.log(t).sum())(x)
    with pytest.raises(FloatingPointError, match="log"), tg.debug():
        tg.jvp(tg.log, (np.array([0.0]),), (np.array([1.0]),))


def test_what_is_looked_for_can_be_chosen() -> None:
    x = leaf([1.0, 0.0])
    with tg.debug(inf=False):
        assert tg.log(x).data[1] == -np.inf
        with pytest.raises(FloatingPointError, match="the first NaN"):
            x / x
    with tg.debug(nan=False):
        assert np.isnan((x / x).data[1])
        with pytest.raises(FloatingPointError, match="the first infinity"):
            tg.log(x)
    for given, error, match in (
        ({"nan": 1}, TypeError, "debug: nan=1 is int, expected True or False"),
        ({"nan": False, "inf": False}, ValueError, "leave nothing to look for"),
    ):
        with pytest.raises(error, match=match):
            tg.debug(**given)


def test_whole_numbers_booleans_and_empty_arrays_pass() -> None:
    with tg.debug() as watcher:
        tg.sum(leaf(np.zeros((0, 3)))).backward()
        tg.asarray([1, 2]) + tg.asarray([3, 4])
        assert bool(leaf([1.0]) > 0.5)
    assert watcher.count > 3


OVERWRITTEN: dict[str, Callable[[Any, Any], None]] = {
    "a constant": lambda w, a: a.__setitem__((0, 0), 5.0),
    "through a view": lambda w, a: a[:1, :1].fill(5.0),
    "a leaf": lambda w, a: w.data.__setitem__((0, 0), 5.0),
}


@pytest.mark.parametrize("case", OVERWRITTEN)
def test_an_array_that_is_overwritten_is_noticed_before_its_rule_runs(case: str) -> None:
    w, a = leaf(np.eye(2), "w"), np.ones((2, 2))
    batch = tg.asarray(a)
    with tg.debug():
        loss = (w @ batch * w).sum()
        OVERWRITTEN[case](w, batch.data)
        with pytest.raises(RuntimeError, match=r"backward of \w+: \w+, which its rules read, was overwri") as caught:
            loss.backward()
    assert w.grad is None
    assert not getattr(caught.value, "__notes__", [])
    assert re.search(r"\n  at .*test_debug\.py:\d+: loss = \(w @ batch", str(caught.value))


def test_arrays_that_may_be_written_may_be_written() -> None:
    """What no rule reads, and what is read no more."""
    w, a = leaf(np.ones((2, 2)), "w"), np.ones((2, 2))
    with tg.debug():
        loss = (w + tg.asarray(a)).sum()
        a[...] = 7.0
        loss.backward()
        w.data[...] = 3.0
        (w * 2.0).sum().backward()
    assert w.grad.tolist() == [[3.0, 3.0], [3.0, 3.0]]


def test_no_number_changes() -> None:
    def run(watched: bool) -> list[np.ndarray]:
        net = tg.models.FullyConnectedNet([8, 6], 5, 3, normalization="batchnorm", dropout_keep_ratio=0.7, seed=0)
        optimizer = tg.optim.Optimizer(net, "adam")
        generator = np.random.default_rng(1)
        with tg.debug() if watched else tg.observe():
            for _ in range(4):
                X, y = generator.standard_normal((9, 5)), generator.integers(0, 3, 9)
                net.loss_tensor(X, y).backward()
                optimizer.step()
                optimizer.zero_grad()
        return [*net.state_dict().values(), net.loss(np.ones((2, 5)))]

    assert all(a.tobytes() == b.tobytes() for a, b in zip(run(True), run(False), strict=True))


def test_the_block_leaves_nothing_behind() -> None:
    before = np.geterr()
    x = leaf([1.0, 0.0])
    with pytest.raises(FloatingPointError), tg.debug():
        tg.log(x)
    assert np.geterr() == before
    with np.errstate(divide="ignore"):
        assert tg.log(x).data[1] == -np.inf

    @tg.debug()
    def loss(x: Any) -> Any:
        return tg.log(x).sum()

    for _ in range(2):
        with pytest.raises(FloatingPointError, match="the first infinity"):
            loss(x)
    assert np.geterr() == before


def test_blocks_in_one_another_and_threads() -> None:
    x = leaf([1.0, 0.0])
    with tg.debug(), tg.observe(), np.errstate(divide="ignore"):
        tg.log(x)  # the innermost block watches
    with tg.observe(), tg.debug(), pytest.raises(FloatingPointError):
        tg.log(x)
    caught: list[str] = []

    def work() -> None:
        try:
            tg.log(leaf([0.0]))
        except FloatingPointError as error:
            caught.append(str(error))

    with tg.debug():
        context = copy_context()
        thread = threading.Thread(target=context.run, args=(work,))
        thread.start()
        thread.join()
    assert len(caught) == 1


def test_under_a_solver_step_parameter_and_operation_are_named() -> None:
    generator = np.random.default_rng(0)
    X, y = generator.standard_normal((40, 2)), generator.integers(0, 3, 40)
    net = tg.models.FullyConnectedNet([4], 2, 3, seed=0, normalization="batchnorm", dtype=np.float64)

    def spoil(X: Any, y: Any, generator: Any) -> Any:
        spoil.calls += 1  # type: ignore[attr-defined]  # a function may have attributes
        return (X * np.nan if spoil.calls == 7 else X), y  # type: ignore[attr-defined]  # as above

    spoil.calls = 0  # type: ignore[attr-defined]  # as above
    solver = Solver(net, {"X_train": X, "y_train": y, "X_val": X, "y_val": y}, batch_size=10, num_epochs=3,
                    verbose=False, seed=0, augment=spoil)  # fmt: skip
    states = []
    step = solver.optimizer.step
    solver.optimizer.step = lambda *given: (step(*given), states.append(copy.deepcopy(net.state_dict())))
    with tg.debug(), pytest.raises(FloatingPointError, match=r"^fc1: affine: the first NaN .* x \(X\)") as caught:
        solver.train()
    assert "In step 7 of the Solver, epoch 2" in "".join(caught.value.__notes__)
    assert solver.step == len(states) == 6
    assert all(np.array_equal(states[-1][name], value) for name, value in net.state_dict().items())
