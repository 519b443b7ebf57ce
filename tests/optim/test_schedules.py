"""The schedules: their formulas at points worked out by hand, their edges, and a way through plain dictionaries."""

import copy
import json
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc.optim import (
    SCHEDULES,
    CosineAnnealing,
    ExponentialDecay,
    OneCycle,
    ReduceOnPlateau,
    Schedule,
    StepDecay,
    Warmup,
    get_schedule,
)

BY_HAND = [
    (StepDecay(2.0, 0.5), {0: 1, 1.99: 1, 2: 1 / 2, 3.5: 1 / 2, 4: 1 / 4, 20: 2**-10, 1e300: 0}),
    (StepDecay(0.1, 0.5), {0.3: 1 / 8, 0.6: 1 / 64, 0.7: 1 / 128}),  # 0.3 / 0.1 is 2.9999999999999996
    (StepDecay(1.0, 1.0), {0: 1, 1e300: 1}),
    (StepDecay(1.0, 0.0), {0.5: 1, 1: 0}),
    (ExponentialDecay(0.25), {0: 1, 0.5: 1 / 2, 1: 1 / 4, 2: 1 / 16, 1e300: 0}),
    # cos(pi / 3) = 1/2, cos(pi / 2) = 0, cos(2 pi / 3) = -1/2
    (CosineAnnealing(6.0), {0: 1, 2: 3 / 4, 3: 1 / 2, 4: 1 / 4, 6: 0, 7: 0, 1e300: 0}),
    (CosineAnnealing(6.0, final=0.2), {0: 1, 2: 0.8, 3: 0.6, 4: 0.4, 6: 0.2, 100: 0.2}),
    (CosineAnnealing(6.0, restarts=True), {0: 1, 2: 3 / 4, 5.9999: 0, 6: 1, 9: 1 / 2, 12: 1, 600: 1, 602: 3 / 4}),
    # Descents begin at 0, 3, 9 and 21, and are 3, 6, 12 and 24 long.
    (CosineAnnealing(3.0, 0.2, True, 2.0), {0: 1, 1: 0.8, 3: 1, 5: 0.8, 9: 1, 15: 0.6, 17: 0.4, 21: 1, 29: 0.8}),
    (OneCycle(10.0, rise=0.4, start=4.0, end=2.0), {0: 1 / 4, 2: 5 / 8, 4: 1, 6: 1 - 7 / 32, 7: 9 / 16, 10: 1 / 8,
                                                     11: 1 / 8, 1e300: 1 / 8}),
    (OneCycle(10.0, rise=0.0, start=2.0, end=1.0), {0: 1, 5: 3 / 4, 10: 1 / 2}),
    (Warmup(4.0), {0: 0, 1: 1 / 4, 3: 3 / 4, 4: 1, 1e300: 1}),
    (Warmup(4.0, 0.5), {0: 1 / 2, 2: 3 / 4, 4: 1}),
    (Warmup(4.0, 0.5, CosineAnnealing(6.0)), {0: 1 / 2, 2: 3 / 4, 4: 1, 6: 3 / 4, 7: 1 / 2, 10: 0, 11: 0}),
    # Up to where the next one begins, here at 1/4.
    (Warmup(2.0, 0.0, OneCycle(10.0, 0.4, 4.0, 2.0)), {0: 0, 1: 1 / 8, 2: 1 / 4, 6: 1, 12: 1 / 8}),
]  # fmt: skip
SOME = [*(schedule for schedule, _ in BY_HAND), ReduceOnPlateau(), Warmup(2.0, 0.1, ReduceOnPlateau(patience=1))]


@pytest.mark.parametrize(("schedule", "points"), BY_HAND, ids=lambda value: repr(value) if callable(value) else "")
def test_by_hand(schedule, points):
    for position, factor in points.items():
        assert schedule(position) == pytest.approx(factor, rel=1e-12, abs=1e-8), position
        assert type(schedule(position)) is float


def test_ends_are_exact():
    assert [CosineAnnealing(7.0, 0.1)(x) for x in (0.0, 7.0, 8.0)] == [1.0, 0.1, 0.1]
    assert [OneCycle(7.0)(x) for x in (0.0, 7.0, 1e9)] == [1 / 25, 1 / 25 / 1e4, 1 / 25 / 1e4]
    # A restart is one, also where the division rounds down.
    tenths = CosineAnnealing(0.1, restarts=True)
    assert [tenths(k * 0.1) for k in range(200)] == pytest.approx([1.0] * 200, abs=1e-12)
    for growth in (1.0001, 1.5, 2.0, 3.0):
        schedule, begin, length = CosineAnnealing(0.3, 0.5, True, growth), 0.0, 0.3
        for _ in range(20):
            assert schedule(begin) == pytest.approx(1.0, abs=1e-12)
            assert schedule(begin + length / 2) == pytest.approx(0.75, abs=1e-9)
            begin, length = begin + length, length * growth


@given(
    st.sampled_from(SOME),
    st.one_of(st.floats(0, 50), st.floats(0, 1.7e308), st.just(5e-324), st.just(1.7976931348623157e308)),
)
def test_factors_are_finite_and_none_is_negative_or_above_1(schedule, position):
    with np.errstate(all="ignore"):
        assert 0.0 <= schedule(position) <= 1.0


@given(st.floats(5e-324, 1e308), st.floats(0, 1), st.floats(1, 999_999), st.floats(0, 1.7e308), st.booleans())
def test_cosine_stays_in_its_range_with_any_options(length, final, growth, position, restarts):
    factor = CosineAnnealing(length, final, restarts, growth if restarts else 1.0)(position)
    assert final - 1e-15 <= factor <= 1.0


@given(st.floats(5e-324, 1e308), st.floats(0, 1, exclude_max=True), st.floats(1, 1e308), st.floats(1, 1e308),
       st.floats(0, 1.7e308))  # fmt: skip
def test_one_cycle_stays_in_its_range_with_any_options(length, rise, start, end, position):
    assert 0.0 <= OneCycle(length, rise, start, end)(position) <= 1.0


@pytest.mark.parametrize("schedule", SOME, ids=repr)
def test_there_and_back(schedule):
    config = schedule.to_config()
    again = get_schedule(**json.loads(json.dumps(config)))
    others = [copy.deepcopy(schedule), pickle.loads(pickle.dumps(schedule)), eval(repr(schedule), vars(tg.optim))]
    for other in (again, *others):
        assert other == schedule
        assert type(other) is type(schedule)
        assert other.to_config() == config
        assert [other(x) for x in (0.0, 1.3, 7.0)] == [schedule(x) for x in (0.0, 1.3, 7.0)]
    assert config["name"] in SCHEDULES
    again.load_state_dict(json.loads(json.dumps(schedule.state_dict())))
    assert again.state_dict() == schedule.state_dict()


def test_options_are_frozen_and_repr_can_be_read():
    schedule = CosineAnnealing(length=5, restarts=np.bool_(True))
    assert repr(schedule) == "CosineAnnealing(length=5.0, final=0.0, restarts=True, growth=1.0)"
    with pytest.raises(AttributeError, match="length"):
        schedule.length = 3.0
    assert Warmup(then="cosine") == Warmup(then={"name": "cosine"}) == Warmup(then=CosineAnnealing())
    assert len({CosineAnnealing(5), schedule, CosineAnnealing(5.0)}) == 2


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: StepDecay(0), ValueError, r"StepDecay: every must lie in \(0, inf\), got 0"),
        (lambda: StepDecay(factor=1.5), ValueError, r"factor must lie in \[0, 1\], got 1.5"),
        (lambda: StepDecay(factor=math.nan), ValueError, "factor"),
        (lambda: ExponentialDecay(-0.1), ValueError, "ExponentialDecay: factor"),
        (lambda: ExponentialDecay("0.9"), TypeError, r"factor must be a number in \[0, 1\], got '0.9' \(str\)"),
        (lambda: CosineAnnealing(math.inf), ValueError, "length"),
        (lambda: CosineAnnealing(5, final=1.1), ValueError, "final"),
        (lambda: CosineAnnealing(5, restarts=1), TypeError, "restarts must be True or False, got 1"),
        (lambda: CosineAnnealing(5, restarts=True, growth=0.5), ValueError, "growth"),
        (lambda: CosineAnnealing(5, growth=2), ValueError, "growth is 2 and nothing restarts; set restarts=True"),
        (lambda: OneCycle(5, rise=1.0), ValueError, r"rise must lie in \[0, 1\)"),
        (lambda: OneCycle(5, start=0.5), ValueError, "start"),
        (lambda: OneCycle(5, end=0.5), ValueError, "end"),
        (lambda: Warmup(0), ValueError, "Warmup: length"),
        (lambda: Warmup(start=2), ValueError, "start"),
        (lambda: Warmup(then=abs), TypeError, "Warmup: then: given .*, expected a schedule, its name or its config"),
        (lambda: Warmup(then={"name": "cosinus"}), ValueError, "did you mean 'cosine'"),
        (lambda: Warmup(then={"length": 3}), TypeError, "name"),
        (lambda: get_schedule("cosin"), ValueError, "unknown schedule 'cosin'.*did you mean 'cosine'.*there are step"),
        (lambda: get_schedule("cosine", lenght=3), ValueError, "unknown option 'lenght'.*did you mean 'length'"),
        (lambda: get_schedule("plateau", current=1), ValueError, "it takes factor, patience, threshold, lowest"),
        (lambda: get_schedule(None), TypeError, "given None, expected a name"),
        (lambda: get_schedule(StepDecay), TypeError, "expected a name .* or a schedule"),
        (lambda: get_schedule(StepDecay(), every=3), TypeError, "is made already; give every when it is made"),
    ],
)
def test_what_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("schedule", SOME, ids=repr)
@pytest.mark.parametrize("position", [-1e-9, math.nan, math.inf])
def test_positions_are_checked(schedule, position):
    with pytest.raises(ValueError, match="position: given .*, expected a finite number from 0 on"):
        schedule(position)


def test_get_schedule_takes_what_is_one_already():
    schedule = StepDecay()
    assert get_schedule(schedule) is schedule
    assert get_schedule(abs) is abs
    assert {name: type(get_schedule(name)) for name in SCHEDULES} == SCHEDULES
    assert list(SCHEDULES) == ["step", "exponential", "cosine", "one_cycle", "warmup", "plateau"]


def test_a_schedule_without_a_formula_says_so():
    class Mine(Schedule):
        options = {}

    with pytest.raises(NotImplementedError, match="Mine has no `at`"):
        Mine()(1.0)
    with pytest.raises(ValueError, match=r"StepDecay: state: given \['best'\], expected nothing"):
        StepDecay().load_state_dict({"best": 1.0})


def test_an_optimizer_follows_a_schedule():
    w = tg.tensor(np.zeros(1), requires_grad=True, name="w")
    optimizer, schedule = tg.optim.Optimizer([w], "sgd", learning_rate=8.0), StepDecay(2, 0.5)
    for epoch in range(5):
        optimizer.factor = schedule(epoch)
        optimizer.step({"w": np.ones(1)})
    assert w.data.tolist() == [-(8 + 8 + 4 + 4 + 2)]
    assert optimizer.learning_rate == 8.0
