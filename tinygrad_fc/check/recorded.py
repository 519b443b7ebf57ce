"""Gradients as higher orders compute them, recorded, beside those of backward."""

from __future__ import annotations

import numpy as np

from .problem import Problem, natural
from .report import InputCheck


def judge_recorded(problem: Problem, checks: tuple[InputCheck, ...]) -> None:
    """Compare the gradients as higher orders compute them, recorded, with those of backward, and note a difference."""
    plain = [d.data for d in problem.slopes(problem.run())]
    recorded = [d.data for d in problem.slopes(problem.run(), create_graph=True)]
    for t, check, one, other in zip(problem.tensors, checks, plain, recorded, strict=True):
        gap = np.abs(one - other)
        largest = float(np.max(np.abs(one), initial=0.0))
        scale = float(np.max(np.abs(problem.working_out.data), initial=0.0))
        if check.holds and not np.all(gap <= 1e-6 * largest + 1e-12 * scale / natural(t._array)):
            at = tuple(map(int, np.unravel_index(int(np.argmax(gap)), gap.shape)))
            check.verdict, check.worst, check.error, check.bound = "wrong", at, float(gap[at] / (largest or 1.0)), 0.0
            check.analytic, check.numerical = float(other[at]), float(one[at])
            check.note = (
                "recorded for the second order, the first derivative is another than backward's (here under analytic "
                "and numerical): a compose that is not the function of its kernel, or a rule that depends on being "
                "recorded"
            )
