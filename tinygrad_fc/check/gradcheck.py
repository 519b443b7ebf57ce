"""gradcheck: the gradients of a function against numbers, with a verdict on each input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .arguments import check_options, resolved, twice
from .judge import Check
from .problem import Problem
from .recorded import judge_recorded
from .report import GradcheckReport
from .rounding import jitter_of, judge_rounding
from .rules import find_culprits, judge_by_rules, left_to_say


def gradcheck(
    f: Callable[..., Any],
    *inputs: Any,
    order: int = 1,
    samples: int | None = None,
    exhaustive: bool = False,
    tolerance: float = 1e-6,
    seed: int = 0,
    progress: bool | None = None,
) -> GradcheckReport:
    """Compare the gradients of a function with differences of its values, and give a verdict on each input.

    All numbers are taken in float64, whatever the dtype of an input: by the complex step, where every operation is
    analytic, else by central differences of shrinking steps, which are extrapolated. How far those may be off is
    estimated from how they agree, and from the rounding errors of the function's values, which are measured. Between
    two points of different branches (a relu that turns on, a maximum that changes hands) no difference is taken. Where
    one is too noisy to tell, or a verdict is "wrong", the rule of each operation is checked by itself: those at fault
    are named, and where all are right, so is the gradient.

    Small inputs are moved one coordinate at a time. In larger ones all coordinates are moved at once, in directions
    drawn so that no coordinate is left out and none outweighs the others; when one fails, halves of it are tried until
    the worst coordinate is found.

    Parameters
    ----------
    f : callable or Module
        Returns a tensor; a result that is no scalar is weighted with random numbers. Generators, and the arrays and
        modes of modules, that it reaches (as a module, in a closure, as an argument) are put back before each
        evaluation and afterwards, so dropout drops the same units each time. A module is called with `inputs`
        (``model.loss_tensor(X, y)`` where it has that), and its parameters are checked.
    *inputs : Tensor or array_like
        Floating point. Tensors that need a gradient are checked where they stand; arrays are made tensors. Without any,
        the leaves and parameters that `f` closes over are checked.
    order : {1, 2}
        2 checks second derivatives: the gradient of the gradient, weighted with random numbers.
    samples : int, optional
        Move that many random coordinates of each input, one by one.
    exhaustive : bool
        Move every coordinate of every input, one by one.
    tolerance : float
        Relative difference that holds.
    seed : int
        For the random weights, directions and coordinates.
    progress : bool, optional
        Show a progress bar; by default where many coordinates are moved and the output is a terminal.

    Returns
    -------
    GradcheckReport
        True when all gradients hold.

    Raises
    ------
    TypeError
        If an input is not floating point or a tensor without gradient, or `f` returns no tensor that depends on one.
    ValueError
        If an input or the result is not finite, `f` writes into an input, or an option is out of range.

    Examples
    --------
    >>> import numpy as np, tinygrad_fc as tg
    >>> bool(tg.gradcheck(lambda x: np.exp(x).sum(), np.array([0.0, 1.0])))
    True
    """
    check_options("gradcheck", f, order, samples, tolerance, seed, progress)
    generator = np.random.default_rng(seed)
    f, tensors, arguments = resolved(f, inputs)
    problem = Problem("gradcheck", f if order == 1 else twice(f, tensors, generator), tensors, arguments, generator)
    if not problem.working_out.requires_grad:
        raise TypeError("gradcheck: the result of f does not depend on an input that needs a gradient.")
    report = report_on(problem, generator, tolerance, samples, exhaustive, progress, order)
    if order == 2:
        with Problem("gradcheck", f, tensors, arguments, generator) as first:
            judge_recorded(first, report.inputs)
    report.note = report.note or left_to_say(report, order)
    return report


def report_on(
    problem: Problem, generator: np.random.Generator, tolerance: float, samples: int | None, exhaustive: bool,
    progress: bool | None, order: int = 1,
) -> GradcheckReport:  # fmt: skip
    """Return the report on a problem: what `gradcheck` and the checks of plain functions do alike."""
    try:
        working = [d.data for d in problem.slopes(problem.working_out)]
        jitter = jitter_of(problem, working, generator)
        with problem:
            out = problem.run()
            check = Check(problem, [d.data for d in problem.slopes(out)], tolerance, generator)
            checks = check.all(samples, exhaustive, progress)
            judge_rounding(problem, checks, working, jitter, check.slopes, out, generator)
            found = judge_by_rules(problem, checks, generator)
            wrong = any(c.verdict == "wrong" and not c.note.startswith("in its own dtype") for c in checks)
            if wrong and order == 1:
                plain = find_culprits(problem, generator)
                found = plain if plain.culprits else found or find_culprits(problem, generator, sharp=True)
            culprits, graph = (found.culprits, found.graph) if wrong and found is not None else ((), None)
    finally:
        problem.restore()
    report = GradcheckReport(tuple(checks), culprits, problem.evaluations, check.order, check.note)
    report._keep(graph if culprits else None)
    return report
