"""NumPy's namespace on tensors: each name that is promised is there, in all its forms, and the suite tests it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
import tinygrad_fc.linalg
from tinygrad_fc.engine.dispatch import FUNCTIONS, UFUNCS
from tinygrad_fc.engine.op import REGISTRY
from tinygrad_fc.ops.derived import DERIVED

DIFFERENTIABLE = """
positive negative absolute fabs sign exp exp2 expm1 log log2 log10 log1p sqrt cbrt square reciprocal sin cos tan
arcsin arccos arctan sinh cosh tanh arcsinh arccosh arctanh sinc deg2rad rad2deg degrees radians floor ceil trunc rint
round add subtract multiply divide true_divide floor_divide mod remainder fmod divmod power float_power maximum
minimum fmax fmin hypot arctan2 logaddexp logaddexp2 copysign heaviside ldexp clip where nan_to_num interp select
choose sum prod mean average var std max amax min amin ptp median quantile percentile nansum nanmean nanmax nanmin
nanvar nanstd nanprod cumsum cumprod cumulative_sum cumulative_prod diff ediff1d gradient trapezoid reshape ravel
transpose permute_dims matrix_transpose swapaxes moveaxis rollaxis expand_dims squeeze broadcast_to broadcast_arrays
concatenate concat stack unstack vstack hstack dstack column_stack block split array_split hsplit vsplit dsplit append
insert delete tile repeat flip fliplr flipud rot90 roll pad atleast_1d atleast_2d atleast_3d diag diagflat diagonal
trace tril triu meshgrid astype copy take take_along_axis compress extract sort partition matmul dot vdot inner outer
tensordot einsum vecdot cross kron linalg.norm linalg.vector_norm linalg.matrix_norm linalg.inv linalg.pinv
linalg.solve linalg.lstsq linalg.det linalg.slogdet linalg.cholesky linalg.eigh linalg.eigvalsh linalg.svd
linalg.svdvals linalg.qr linalg.matrix_power linalg.multi_dot linalg.trace linalg.cond
""".split()

CONSTANT = """
isnan isfinite isinf signbit logical_and logical_or logical_not logical_xor less less_equal greater greater_equal equal
not_equal isclose allclose array_equal argmax argmin any all count_nonzero full_like zeros_like ones_like argsort
argpartition lexsort searchsorted digitize nonzero argwhere einsum_path linalg.matrix_rank
""".split()

# Which give the values a gradient all the same, beside an order that has none.
CONSTANT_OR_NOT = ["unique"]

METHODS = """
sum prod mean var std max min argmax argmin any all cumsum cumprod clip round take compress argsort argpartition
searchsorted nonzero repeat diagonal trace dot reshape ravel flatten transpose swapaxes squeeze astype copy T mT
""".split()


def of(namespace: Any, name: str) -> Any:
    for part in name.split("."):
        namespace = getattr(namespace, part)
    return namespace


def record_of(name: str) -> Any:
    """Return what runs when the NumPy function of that name meets a tensor."""
    function = of(np, name)
    return UFUNCS.get(function) if isinstance(function, np.ufunc) else FUNCTIONS.get(function)


@pytest.mark.parametrize("name", [*DIFFERENTIABLE, *CONSTANT, *CONSTANT_OR_NOT])
def test_reached_from_numpy_and_by_our_name(name: str) -> None:
    record = record_of(name)
    assert record is not None, f"np.{name} does not take tensors"
    assert of(tg, name) is record


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_declared_and_so_tested_at_both_orders(name: str) -> None:
    """What is declared, with a rule or by composition, the suite differentiates twice at the declaration's samples."""
    record = record_of(name)
    composed = [d for d in DERIVED.values() if d.function is record]
    ruled = [o for o in REGISTRY.values() if o.record is record]
    assert [d.differentiable for d in composed] or [bool(o.rules) for o in ruled]
    assert all(d.differentiable for d in composed)
    assert all(o.rules for o in ruled)


@pytest.mark.parametrize("name", METHODS)
def test_methods(name: str) -> None:
    assert hasattr(np.ndarray, name)
    assert hasattr(tg.Tensor, name)


@pytest.mark.parametrize("name", ["zeros", "ones", "full", "empty", "arange", "linspace", "logspace", "eye", "identity",
                                  "tri", "asarray", "from_dlpack"])  # fmt: skip
def test_creation(name: str) -> None:
    assert callable(getattr(tg, name))
    assert name in tg.__all__


@pytest.mark.parametrize("name", ["put_along_axis", "logsumexp", "cummax", "getitem"])
def test_beside_numpys(name: str) -> None:
    assert callable(getattr(tg, name))


@pytest.mark.parametrize("name", ["matvec", "vecmat"])
def test_what_newer_numpys_have(name: str) -> None:
    assert callable(getattr(tg, name))
    if hasattr(np, name):
        assert record_of(name) is getattr(tg, name)
