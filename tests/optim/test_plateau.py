"""The schedule that lowers the learning rate when a figure stops getting better."""

import math

import numpy as np
import pytest

from tinygrad_fc.optim import CosineAnnealing, ReduceOnPlateau, Warmup


def factors(schedule, figures):
    """Return the factor after each figure."""
    found = []
    for figure in figures:
        schedule.observe(figure)
        found.append(schedule(0.0))
    return found


def test_larger_is_better():
    schedule = ReduceOnPlateau(factor=0.5, patience=2, threshold=0.01)
    # 0.505 is not better than 0.5 by more than the threshold; 0.7 is, and the count begins again.
    figures = [0.5, 0.505, 0.4, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7]
    assert factors(schedule, figures) == [1, 1, 1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25]
    assert schedule.state_dict() == {"current": 0.25, "best": 0.7, "waited": 0}
    assert schedule(0.0) == schedule(1e6) == 0.25


def test_smaller_is_better():
    schedule = ReduceOnPlateau(factor=0.1, patience=0, threshold=0.0, lowest=0.05, larger=False)
    assert factors(schedule, [3.0, 2.0, 2.0, 1.9, 2.5, 2.5]) == [1, 1, 0.1, 0.1, 0.05, 0.05]


def test_what_is_not_finite_is_no_gain():
    rising = ReduceOnPlateau(patience=0, threshold=0.0)
    assert factors(rising, [math.nan, -math.inf, 0.0, math.inf, math.inf]) == pytest.approx([0.1, 0.1, 0.1, 0.1, 0.01])
    falling = ReduceOnPlateau(patience=0, larger=False)
    assert factors(falling, [math.inf, 5.0, math.inf, math.nan]) == pytest.approx([1, 1, 0.1, 0.01])


@pytest.mark.parametrize("wrap", [lambda schedule: schedule, lambda schedule: Warmup(2.0, 0.0, schedule)])
def test_a_state_goes_on_where_it_was(wrap):
    figures = np.random.default_rng(3).random(40).tolist()
    straight, first, second = (wrap(ReduceOnPlateau(0.7, 2)) for _ in range(3))
    expected = factors(straight, figures)
    assert factors(first, figures[:17]) == expected[:17]
    second.load_state_dict(first.state_dict())
    first.observe(9.0)  # the state is a copy
    assert factors(second, figures[17:]) == expected[17:]
    assert straight(50.0) < 0.5


def test_a_warmup_listens_when_what_follows_does():
    schedule = Warmup(4.0, 0.0, ReduceOnPlateau(0.5, 0))
    assert [schedule(x) for x in (0.0, 2.0, 4.0)] == [0.0, 0.5, 1.0]
    schedule.observe(1.0)
    schedule.observe(np.float32(0.5))
    assert [schedule(x) for x in (0.0, 2.0, 4.0, 90.0)] == [0.0, 0.25, 0.5, 0.5]
    assert not any(hasattr(other, "observe") for other in (CosineAnnealing(), Warmup(), Warmup(then="cosine")))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"factor": 1.0}, ValueError, r"factor must lie in \[0, 1\)"),
        ({"patience": -1}, ValueError, "patience must be at least 0, got -1"),
        ({"patience": 1.5}, TypeError, r"patience must be an integer, got 1.5 \(float\)"),
        ({"patience": True}, TypeError, "patience must be an integer"),
        ({"threshold": -1e-4}, ValueError, "threshold"),
        ({"lowest": 1.5}, ValueError, "lowest"),
        ({"larger": "yes"}, TypeError, "larger must be True or False"),
    ],
)
def test_options_are_checked(options, error, message):
    with pytest.raises(error, match=f"ReduceOnPlateau: {message}"):
        ReduceOnPlateau(**options)


def test_figures_and_states_are_checked():
    schedule = ReduceOnPlateau(patience=0)
    factors(schedule, [0.5, 0.4])
    before = schedule.state_dict()
    for figure in (None, "0.5", True):
        with pytest.raises(TypeError, match="value: given .*, expected a number; monitor another figure"):
            schedule.observe(figure)
    for change, error, message in [
        ({"current": 2.0}, ValueError, "current"),
        ({"best": "0.5"}, TypeError, "best: given '0.5', expected a number or None"),
        ({"best": math.nan}, TypeError, "best"),
        ({"waited": -1}, ValueError, "waited must be at least 0"),
        ({"more": 1}, ValueError, r"state: given \[.*'more'\], expected current, best, waited"),
    ]:
        with pytest.raises(error, match=message):
            schedule.load_state_dict({**before, **change})
        assert schedule.state_dict() == before
    with pytest.raises(ValueError, match=r"state: given \[\], expected current"):
        schedule.load_state_dict({})
