"""What single ideas gain: each as it is beside what it took the place of, on the arrays of the course's networks.

Both forms run in one process, in turn, and their results are compared first. Numba is needed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..kernels import compiled, machine_for, numpy_, use_kernels
from . import measure, session

if TYPE_CHECKING:
    from ..kernels import InstructionList

N, D, M = 100, 3072, 100  # the batch, and the first layer of the course's networks
DEAD = 1e-40  # below the smallest normal number of float32


class Idea(NamedTuple):
    """Two ways to the same result.

    Parameters
    ----------
    text : str
        What is done, and what was done before.
    now, before : callable
        Both ways, once.
    same : callable
        Whether the results of the last runs agree.
    """

    text: str
    now: Callable[[], object]
    before: Callable[[], object]
    same: Callable[[], bool]


def _draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape, dtype=np.float32)


def _close(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.allclose(a, b, rtol=1e-3, atol=1e-3))


def make_ideas() -> list[Idea]:
    """Set every comparison up."""
    from ..kernels.codes import Code, Ending

    make, dtype = machine_for(0, ()), np.dtype(np.float32)
    assert make is not None  # `measure_ideas` looked

    def listed(write: Callable[[InstructionList], object]) -> InstructionList:
        instructions = make(dtype)
        write(instructions)
        instructions.seal()
        return instructions

    x, w, b, g = _draw(N, D), _draw(D, M), _draw(M), _draw(N, M)
    out, other, dw, dw_other = np.empty_like(g), np.empty_like(g), np.empty_like(w), np.empty_like(w)
    inner = listed(lambda it: it.product(x, w, out))
    both = [(x, w, other), (x.T, g, dw_other)]

    def layer(instructions: InstructionList) -> None:
        instructions.product(x, w, out)
        instructions.product(x.T, g, dw)

    pair = listed(layer)

    def alone() -> None:
        for a, c, into in both:
            np.dot(a, c, into)

    wide = _draw(D)
    y, y_other = np.empty((N, D), np.float32), np.empty((N, D), np.float32)
    ended = listed(lambda it: it.product(g, w.T, y, Ending.BIAS_RELU, wide))

    def unended() -> None:
        np.dot(g, w.T, y_other)
        np.add(y_other, wide, y_other)
        np.maximum(y_other, 0.0, out=y_other)

    gamma, beta = _draw(M), _draw(M)
    left: tuple[Any, ...] = (np.empty_like(g), *(np.empty_like(b) for _ in range(3)))
    normalized = listed(lambda it: it.batch_norm(g, gamma, beta, 1e-5, out, left))
    norm: list[Any] = [None]

    def plain_norm() -> None:
        norm[0] = numpy_.batch_norm(g, gamma, beta, 1e-5)[0]

    size = D * M
    state = [np.abs(_draw(size)) * np.float32(1e-3) for _ in range(4)]
    copies = [array.copy() for array in state]
    numbers = (0.9, 0.999, 0.0, 1e-8)  # a rate of 0: the arrays stay what they are worth
    update = listed(lambda it: it.update(Code.ADAM, state[0], state[1], (state[2], state[3]), *numbers))
    scratch = np.empty(65_536, np.float32)

    def blocks() -> None:
        for start in range(0, size, len(scratch)):
            part = slice(start, min(start + len(scratch), size))
            w_part, *others = (array[part] for array in copies)
            numpy_.adam(w_part, others[0], others[1], others[2], *numbers, scratch[: part.stop - start])

    few = [np.abs(_draw(4000)) * np.float32(1e-3) for _ in range(2)]
    alive, dead = few[0].copy(), few[0].copy()
    alive[::2], dead[::2] = 0.0, DEAD
    sums = np.zeros(2, np.float32)

    def decay(kept: np.ndarray, place: int) -> Callable[[], None]:
        room = np.empty_like(kept)

        def run() -> None:
            np.multiply(kept, np.float32(0.9), room)
            np.add(room, room, room)
            sums[place] = room[1::2].sum()

        return run

    mask, key = np.empty((N, M), np.bool_), np.array([7], np.uint64)
    kept = listed(lambda it: it.keep(key, mask, int(0.9 * 2**53)))
    generator, share = np.random.default_rng(0), [0.0]

    def drawn() -> None:
        share[0] = float((generator.random((N, M)) < 0.9).mean())

    chosen = np.random.default_rng(1).permutation(5000)[:N]
    samples, buffer = _draw(5000, D), np.empty((N, D), np.float32)
    taken: list[Any] = [None]

    def take() -> None:
        taken[0] = samples.take(chosen, axis=0)

    return [
        Idea("threads share the inner sums of (100, 3072) @ (3072, 100): np.dot", inner.run,
             lambda: np.dot(x, w, other), lambda: _close(out, other)),
        Idea("that and its gradient in one list of instructions: np.dot twice", pair.run, alone,
             lambda: _close(dw, dw_other)),
        Idea("bias and relu at the end of (100, 100) @ (100, 3072), shared: three calls of NumPy", ended.run, unended,
             lambda: _close(y, y_other)),
        Idea("batch normalization of (100, 100) in compiled loops: NumPy's", normalized.run, plain_norm,
             lambda: _close(out, norm[0])),
        Idea(f"Adam on {size:,} parameters in one compiled loop on all threads: NumPy in blocks", update.run, blocks,
             lambda: _close(state[2], copies[2])),
        Idea("zeros for what is below the smallest normal number, in half of 4,000 elements: as they are",
             decay(alive, 0), decay(dead, 1), lambda: bool(np.isclose(sums[0], sums[1]))),
        Idea("a mask of (100, 100) by counter: NumPy's generator", kept.run, drawn,
             lambda: abs(share[0] - mask.mean()) < 0.05),
        Idea("a batch of 100 images gathered into a new array: into a buffer, np.take(out=)", take,
             lambda: np.take(samples, chosen, axis=0, out=buffer, mode="clip"),
             lambda: np.array_equal(taken[0], buffer)),
    ]  # fmt: skip


def measure_ideas(pace: session.Pace) -> Iterator[dict[str, Any]]:
    """Compare and time every pair.

    Parameters
    ----------
    pace : session.Pace
        Its rounds are at least so many.

    Yields
    ------
    dict
        One key of the results: ``environment``, ``ideas``. JSON types only.

    Raises
    ------
    ValueError
        If Numba is not installed, or NumPy's BLAS cannot be called.
    """
    use_kernels("auto" if compiled() is None else "numba")
    if compiled() is None or machine_for(0, ()) is None:
        raise ValueError("--ideas times compiled kernels: install Numba, pip install 'tinygrad_fc[fast]'")
    method = "One process, both forms in turn; medians over the rounds, in brackets the quartiles."
    yield {"environment": {**session.environment([], {}, pace), "method": method}}
    ideas, rows = make_ideas(), []
    with session.progress(len(ideas), "ideas") as bar:
        for idea in ideas:
            rows.append(_time(idea, pace))
            bar.update()
    use_kernels("auto")
    yield {"ideas": {"rounds": pace.rounds, "rows": rows}}


def _time(idea: Idea, pace: session.Pace) -> dict[str, Any]:
    idea.now()
    idea.before()
    if not idea.same():
        return {"idea": idea.text, "problem": "wrong: both ways do not agree"}
    times = measure.interleave(
        {"now": _timer(idea.now, pace.warm), "before": _timer(idea.before, pace.warm)}, pace.rounds, pace.block
    )
    found = {name: asdict(measure.Spread.of(values)) for name, values in times.items()}
    return {"idea": idea.text, **found, "ratio": asdict(measure.ratios(times, "now")["before"])}


def _timer(run: Callable[[], object], warm: float) -> Callable[[int], float]:
    def timed(repeats: int) -> float:
        end = time.perf_counter() + warm  # threads of the other form go to sleep meanwhile
        run()
        while time.perf_counter() < end:
            run()
        start = time.perf_counter()
        for _ in range(repeats):
            run()
        return (time.perf_counter() - start) / repeats

    return timed
