"""BLAS: how many threads, where MKL is found, and what is left to it.

A stand-in for MKL counts its calls: the real one is no dependency.
"""

import ctypes
import os
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from stand_in import SIZES, StandIn

from tinygrad_fc.kernels import blas
from tinygrad_fc.kernels.instructions import Instructions
from tinygrad_fc.kernels.team import Team


def product(crew, m, n, k, turned=False):
    """Return a product of a crew, and the same in float64."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((m, k), np.float32), rng.standard_normal((k, n), np.float32)
    if turned:
        a, b = np.asfortranarray(a), np.asfortranarray(b)
    out = np.empty((m, n), np.float32)
    instructions = Instructions(crew, np.dtype(np.float32))
    instructions.product(a, b, out)
    instructions.run()
    return a, b, out, a.astype(float) @ b


@pytest.mark.parametrize("turned", [False, True])
def test_large_products_are_left_to_it_and_small_ones_are_not(turned):
    stand_in = StandIn()
    crew = Team(1, blas.openblas(), stand_in.addresses)
    *_, out, expected = product(crew, 80, 64, 60, turned)  # 307,200 multiplications
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-4)
    assert stand_in.shapes == [(80, 64, 60)]
    a, b, out, _ = product(crew, 64, 64, 64, turned)  # 262,144
    assert stand_in.shapes == [(80, 64, 60)]
    np.testing.assert_array_equal(out, a.dot(b))


def test_it_works_for_each_thread_by_itself_and_the_callers_number_of_threads_comes_back():
    stand_in = StandIn()
    product(Team(1, blas.openblas(), stand_in.addresses), 80, 64, 60)
    assert stand_in.threads == [1, 7]


def test_it_is_found_where_pip_put_it(tmp_path, monkeypatch):
    facts = tmp_path / "mkl-2025.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: mkl\nVersion: 2025.0\n")
    (facts / "RECORD").write_text("lib/libmkl_core.so.2,,\nlib/libmkl_rt.so.2,,\nlib/libmkl_rt.so.txt,,\n")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/libmkl_rt.so.2").write_text("no library")
    monkeypatch.syspath_prepend(tmp_path)
    assert blas._mkl_paths() == [str(tmp_path / "lib/libmkl_rt.so.2")]
    assert blas.mkl() is None  # what cannot be loaded leaves all to OpenBLAS


def test_it_is_found_beside_pythons_own_libraries(tmp_path, monkeypatch):
    def files(name):
        raise blas.metadata.PackageNotFoundError(name)

    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/libmkl_rt.so.2").write_text("")
    monkeypatch.setattr(blas, "metadata", SimpleNamespace(files=files, PackageNotFoundError=ModuleNotFoundError))
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert blas._mkl_paths() == [str(tmp_path / "lib/libmkl_rt.so.2")]


@pytest.mark.parametrize("layer", [None, "INTEL"])
def test_it_gets_no_threads_unless_the_environment_says_so(layer, monkeypatch):
    calls = []
    functions = {name: ctypes.CFUNCTYPE(None)(lambda: None) for name in ("cblas_sgemm_64", "cblas_dgemm_64")}
    functions["MKL_Set_Num_Threads_Local"] = ctypes.CFUNCTYPE(ctypes.c_int, SIZES)(lambda count: 0)
    library = SimpleNamespace(**functions, MKL_Set_Threading_Layer=calls.append)
    monkeypatch.setattr(blas, "_mkl_paths", lambda: ["broken", "here"])
    monkeypatch.setattr(blas.ctypes, "CDLL", lambda path: {"here": library, "broken": SimpleNamespace()}[path])
    if layer:
        monkeypatch.setenv("MKL_THREADING_LAYER", layer)
    else:
        monkeypatch.delenv("MKL_THREADING_LAYER", raising=False)
    assert blas.mkl() == tuple(map(blas.address, functions.values()))
    assert calls == ([] if layer else [1])


@pytest.mark.parametrize(
    ("environment", "threads"),
    [
        ({"OPENBLAS_NUM_THREADS": "3"}, 3), ({"OMP_NUM_THREADS": "4"}, 4), ({"OMP_NUM_THREADS": "5,2"}, 5),
        ({"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "4"}, 1), ({"OPENBLAS_NUM_THREADS": "0"}, None),
        ({"OMP_NUM_THREADS": "many"}, None), ({}, None),
    ],
)  # fmt: skip
def test_threads_are_those_that_the_environment_says(monkeypatch, environment, threads):
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert blas.wanted_threads() == (threads or cores)
