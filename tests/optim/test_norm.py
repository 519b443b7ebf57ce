"""The norm of all gradients, at every size of numbers, and clipping by it or by value."""

import math
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc.optim import RULES, Optimizer, global_norm


def make_parameters(sizes, dtype=np.float64):
    return {f"p{i}": tg.tensor(np.zeros(n), dtype=dtype, requires_grad=True) for i, n in enumerate(sizes)}


def step_of(gradients, **clip):
    """Return what is left of gradients after clipping: SGD's step at a rate of 1 from 0."""
    parameters = {name: tg.tensor(np.zeros_like(g), requires_grad=True) for name, g in gradients.items()}
    Optimizer(parameters, "sgd", learning_rate=1.0, **clip).step(gradients)
    return {name: -p.data for name, p in parameters.items()}


GRADIENTS = st.lists(
    st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), max_size=5).map(np.array), min_size=1, max_size=4
).map(lambda arrays: {f"p{i}": array.astype(np.float64) for i, array in enumerate(arrays)})


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1.0, 1e-30, 1e-44, 1e30, 3e38, 1e-160, 1e160])
@pytest.mark.parametrize("policy", ["auto", "numba"])
def test_norm_is_that_of_one_long_vector_at_every_scale(policy, dtype, size, rng):
    tg.use_kernels(policy)
    largest = np.finfo(dtype).max
    with np.errstate(under="ignore"):
        arrays = [(rng.uniform(-1, 1, shape) * min(size, float(largest))).astype(dtype) for shape in [(4, 5), (3,), ()]]
    expected = math.hypot(*(float(x) for array in arrays for x in np.asarray(array).flat))
    assert global_norm(arrays) == pytest.approx(expected, rel=1e-6 if dtype == np.float32 else 1e-14, abs=0.0)
    assert global_norm(array for array in arrays[::-1]) == pytest.approx(global_norm(arrays), rel=1e-15, abs=0.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (17,), (4096,), (4097,), (3, 5), (300, 41), (0, 3), (20, 5, 90)])
def test_norm_is_the_same_compiled_to_rounding(dtype, shape, rng):
    array = rng.standard_normal(shape).astype(dtype)
    found = {}
    for policy in ("numpy", "numba"):
        tg.use_kernels(policy)
        found[policy] = global_norm([array, array.T, array[..., None]])
        assert math.isnan(global_norm([array, np.array(np.nan, dtype)]))
        assert global_norm([array, np.full((2, 2), np.inf, dtype)]) == math.inf
    assert found["numba"] == pytest.approx(found["numpy"], rel=1e-6 if dtype == np.float32 else 1e-14, abs=0.0)
    assert found["numba"] == pytest.approx(math.sqrt(3 * float((array.astype(np.float64) ** 2).sum())), rel=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_norm_of_large_arrays_is_the_same_compiled_to_rounding(dtype, rng):
    """Threads share them; those of one size share instructions, which see the next array and keep none alive."""
    arrays = [rng.standard_normal((700, 800)).astype(dtype) for _ in range(2)]
    tg.use_kernels("numpy")
    norms = [global_norm([array]) for array in arrays]
    tg.use_kernels("auto")
    for _ in range(2):
        for array, value in zip(arrays, norms, strict=True):
            before = sys.getrefcount(array)
            assert global_norm([array]) == pytest.approx(value, rel=1e-6 if dtype == np.float32 else 1e-14, abs=0.0)
            assert sys.getrefcount(array) == before
    largest = np.finfo(dtype).max
    expected = float(largest) * math.sqrt(arrays[0].size)  # infinite in float64
    assert global_norm([np.full_like(arrays[0], largest)]) == pytest.approx(expected, rel=1e-6)
    arrays[0][3, 4] = np.nan
    assert math.isnan(global_norm(arrays))


def test_norm_of_mixed_widths_layouts_and_nothing():
    wide = np.arange(12.0).reshape(3, 4)
    expected = math.sqrt(2 * float((wide**2).sum()) + 25.0)
    assert global_norm([wide.T, wide[:, ::-1].astype(np.float32), np.array(5.0)]) == pytest.approx(expected, rel=1e-7)
    assert global_norm([]) == global_norm([np.zeros((0, 3)), np.zeros(2)]) == 0.0
    # Squares that their own dtypes do not hold.
    assert global_norm([np.full(4, 100, np.int8)]) == 200.0
    assert global_norm([np.full(4, 300, np.float16)]) == 600.0
    assert type(global_norm([np.ones(1, np.float32)])) is float


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("policy", ["auto", "numba"])
def test_norm_passes_on_what_is_not_finite(policy, dtype):
    tg.use_kernels(policy)
    huge = np.finfo(dtype).max
    for others in ([], [1.0], [1e-30], [huge, huge]):
        for bad in (np.inf, -np.inf, np.nan):
            for values in ([*others, bad], [bad, *others]):
                apart = [np.array([value], dtype) for value in values]
                for arrays in (apart, [np.array(values, dtype)]):
                    assert global_norm(arrays) == math.inf if math.isinf(bad) else math.isnan(global_norm(arrays))
    assert math.isnan(global_norm([np.array([np.inf]), np.array([np.nan])]))
    assert global_norm([np.full(9, np.finfo(np.float64).max)]) == math.inf  # three times the largest float


def test_norm_refuses_what_is_not_real():
    with pytest.raises(TypeError, match="dtype complex128, expected real numbers"):
        global_norm([np.ones(2), np.ones(2) * 1j])


@given(GRADIENTS, st.floats(1e-3, 1e7))
def test_clipping_by_norm_shortens_and_keeps_the_direction(gradients, limit):
    with np.errstate(under="ignore"):
        norm = global_norm(gradients.values())
        left = step_of(gradients, clip_norm=limit)
        assert global_norm(left.values()) <= min(norm, limit) * (1 + 1e-12)
        if norm <= limit:
            assert all(np.array_equal(left[name], gradients[name]) for name in left)
        for name, gradient in gradients.items():
            np.testing.assert_allclose(left[name] * norm, gradient * min(norm, limit), rtol=1e-9, atol=1e-300)


@given(GRADIENTS, st.floats(1e-3, 1e7))
def test_clipping_by_value_never_raises_the_norm(gradients, limit):
    left = step_of(gradients, clip_value=limit)
    for name, gradient in gradients.items():
        assert (np.abs(left[name]) <= np.abs(gradient)).all()
        assert np.array_equal(left[name], [min(max(g, -limit), limit) for g in gradient])


@pytest.mark.parametrize("limit", [1e4, 1.0, 1e-3, 1e-6, 1e-12, 1e-30])
def test_gradients_near_the_end_of_float32_are_clipped_as_exactly_as_others(limit):
    """Where the scale, limit / norm, is too small for float32, or has a few bits left there."""
    gradient = np.array([3e38, -1e38, 2e37], np.float32)
    left = step_of({"w": gradient}, clip_norm=limit)["w"]
    expected = gradient.astype(np.float64) * (limit / math.hypot(*gradient.tolist()))
    np.testing.assert_allclose(left, expected, rtol=1e-6)


def test_a_bound_above_the_dtype_is_none():
    gradient = np.array([3e38, -1.0], np.float32)
    assert np.array_equal(step_of({"w": gradient}, clip_value=1e300)["w"], gradient)


def test_a_norm_that_is_known_is_taken():
    parameters = make_parameters([2, 1])
    gradients = {"p0": np.array([3.0, 0.0]), "p1": np.array([4.0])}
    optimizer = Optimizer(parameters, "sgd", learning_rate=1.0, clip_norm=1.0)
    optimizer.step(gradients, norm=global_norm(gradients.values()))
    assert parameters["p0"].data.tolist() == pytest.approx([-0.6, 0.0])
    optimizer.step(gradients, norm=50.0)  # taken at its word
    assert parameters["p1"].data.tolist() == pytest.approx([-0.8 - 4.0 / 50.0])
    with pytest.raises(ValueError, match="norm: given -1.0, expected the global_norm"):
        optimizer.step(gradients, norm=-1.0)
    Optimizer(parameters).step(gradients, norm=float("nan"))  # nothing to clip
    assert np.isfinite(parameters["p0"].data).all()


def test_a_norm_that_is_not_finite_stops_the_step():
    parameters = make_parameters([2, 1])
    optimizer = Optimizer(parameters, "adam", clip_norm=1.0)
    for bad in (np.nan, np.inf):
        with pytest.raises(FloatingPointError, match=f"have the norm {bad}.*no parameter was changed. Not finite: p1;"):
            optimizer.step({"p0": np.ones(2), "p1": np.array([bad])})
    assert not any(p.data.any() for p in parameters.values())
    assert optimizer.config["t"] == 0
    with pytest.raises(FloatingPointError, match="Not finite: none of them, only their norm"):
        optimizer.step({"p0": np.full(2, 1.7e308), "p1": np.zeros(1)})


@pytest.mark.parametrize("key", ["clip_norm", "clip_value"])
def test_clips_are_checked(key):
    w = make_parameters([2])["p0"]
    array = w.data
    for bad, error in [(0.0, ValueError), (-1.0, ValueError), (math.inf, ValueError), (math.nan, ValueError),
                       ("1", TypeError), (True, TypeError)]:  # fmt: skip
        with pytest.raises(error, match=rf"Optimizer: {key} must .* \(0, inf\)"):
            Optimizer([w], **{key: bad})
        optimizer = Optimizer([tg.tensor([1.0], requires_grad=True)], **{key: 2})
        with pytest.raises(error, match=key):
            setattr(optimizer, key, bad)
        assert getattr(optimizer, key) == 2.0
    with pytest.raises(ValueError, match="given both clip_norm and clip_value, expected one"):
        Optimizer([w], clip_norm=1.0, clip_value=1.0)
    assert w.data is array
    setattr(optimizer, key, None)
    assert optimizer.clip_norm is optimizer.clip_value is None


@pytest.mark.parametrize("rule", sorted(set(RULES) - {"adadelta"}))
@pytest.mark.parametrize("clip", [{"clip_norm": 1.0}, {"clip_value": 0.1}])
def test_clipping_and_decay_allocate_nothing_and_write_no_gradient(rule, clip, rng):
    parameters = {"W": tg.tensor(rng.standard_normal((300, 400)), dtype=np.float32, requires_grad=True),
                  "b": tg.tensor(np.zeros(400), dtype=np.float32, requires_grad=True)}  # fmt: skip
    gradients = {name: rng.standard_normal(p.shape).astype(np.float32) for name, p in parameters.items()}
    for gradient in gradients.values():
        gradient.flags.writeable = False
    optimizer = Optimizer(parameters, rule, weight_decay=0.1, groups={"b": {"weight_decay": 0.0}}, **clip)
    optimizer.step(gradients)
    tracemalloc.start()
    try:
        optimizer.step(gradients)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8_000  # bytes, where the parameters take 481,600
