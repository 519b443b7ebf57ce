"""Programs that use the team of threads, each in a process of its own, which a time limit ends.

They keep compiled code where this process does.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import tinygrad_fc

LIMIT = 240  # seconds, after which a process hangs; most of them may go into compiling
START = f"""
import faulthandler
faulthandler.dump_traceback_later({LIMIT - 10}, exit=True)  # a process that hangs says where, and fails
""" """
import ctypes, os, signal, sys, threading, time
import numpy as np
from tinygrad_fc.kernels import jobs, team as module
from tinygrad_fc.kernels.instructions import Instructions
from tinygrad_fc.kernels.team import Team, team

def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("tinygrad_fc")]

def blas(threads=None):
    get, put = module.openblas()[2:]
    if threads is not None:
        ctypes.CFUNCTYPE(None, ctypes.c_int)(put)(threads)
    return ctypes.CFUNCTYPE(ctypes.c_int)(get)()

class Work:
    '''Instructions whose results are known: their bits have to be those of the first run.'''
    def __init__(self, crew=None, seed=0, length=1000):
        rng = np.random.default_rng(seed)
        a, b = rng.standard_normal((2, length, 80)).astype(np.float32)
        self.out, self.w, dw = np.empty((3, 80, 80), np.float32)
        dw[...] = 1
        self.run = Instructions(crew or team(), np.dtype(np.float32))
        self.run.product(a.T, b, self.out)  # shared by inner sums
        self.run.relu(self.out, self.out)
        x = rng.standard_normal(20_000).astype(np.float32)
        self.run.relu(x, x)
        self.expected = np.maximum(a.T.astype(np.float64) @ b, 0)
        self.bits = None

    def check(self):
        self.out[...] = np.nan
        self.run.run()
        assert np.abs(self.out - self.expected).max() < 1e-3, "wrong"
        bits = self.out.tobytes()
        assert self.bits in (None, bits), "other bits"
        self.bits = bits
"""


def run(
    code: str, *options: str, size: int | None = None, code_expected: int = 0, before: str = "", **environment: str
) -> str:
    """Run a program with a team of some size; return what it printed. It must end by itself, and quietly."""
    environment = {**os.environ, "PYTHONPATH": str(Path(tinygrad_fc.__file__).parents[1]), **environment}
    if size is not None:
        environment["OPENBLAS_NUM_THREADS"] = str(size)
    whole = textwrap.dedent(before) + START + textwrap.dedent(code)
    command = [sys.executable, *(options or ("-W", "error")), "-c", whole]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == code_expected, done.stderr
    if not code_expected:
        assert done.stderr == ""
    return done.stdout + done.stderr
