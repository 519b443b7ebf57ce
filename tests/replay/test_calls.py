"""How a compiled step is called, what it says of itself, and when it tries again."""

import copy
import importlib
import pickle
import sys
import threading

import numpy as np
import pytest
from interruptions import interrupted
from replay_twins import World, assert_call_equal, assert_twins, batch, bits, ordinary, writing

import tinygrad_fc as tg
from tinygrad_fc import nn

replay = importlib.import_module("tinygrad_fc.replay.compile")  # the function has its name


@pytest.fixture(autouse=True)
def policy():
    tg.use_kernels("numba")
    yield
    tg.use_kernels("auto")


# ---- arguments


def test_arguments_by_name_are_bound_to_the_signature():
    def make(world):
        plain = ordinary(world)

        def step(X, y, *, weight=None):
            return plain(X, y)

        return step

    compiled, plain = World(make, compiled=True), World(make)
    forms = [
        lambda s, X, y: s(X, y),
        lambda s, X, y: s(y=y, X=X),
        lambda s, X, y: s(X, y=y),
        lambda s, X, y: s(X, y, weight=X + 1),
        lambda s, X, y: s(X, weight=X + 1, y=y),
        lambda s, X, y: s(X, y, weight=None),
    ]
    for n in range(18):
        call, arguments = forms[n % 6], batch(n)
        assert bits(call(compiled.step, *arguments)) == bits(call(plain.step, *arguments))
    assert compiled.state() == plain.state()
    assert (compiled.step.recordings, compiled.step.written) == (3, 3)  # None is no array
    for wrong in ({}, {"Z": 1}, {"X": 1, "y": 2, "z": 3}):
        with pytest.raises(TypeError, match="argument") as error:
            plain.step(**wrong)
        with pytest.raises(TypeError, match="argument") as found:
            compiled.step(**wrong)
        assert str(found.value) == str(error.value)


def locked(X):
    X.setflags(write=False)
    return X


@pytest.mark.parametrize(
    ("asks", "given", "replays"),
    [
        (lambda X, Z: isinstance(X, np.ndarray), lambda n, X: (X if n < 4 else tg.tensor(X), X + 1), 5),
        (lambda X, Z: isinstance(X, tg.Tensor), lambda n, X: (X if n >= 4 else tg.tensor(X), X + 1), 5),
        (lambda X, Z: X.name == "a", lambda n, X: (tg.tensor(X, name="a" if n < 4 else "b"), X + 1), 5),
        (lambda X, Z: X is Z, lambda n, X: (X, X if n >= 4 else X.copy()), 2),
        (lambda X, Z: X is Z, lambda n, X: (X, X), 0),
        (lambda X, Z: X.flags.writeable, lambda n, X: (X if n < 4 else locked(X), X + 1), 0),
        (lambda X, Z: X.flags.owndata, lambda n, X: (X, X + 1), 0),
        (lambda X, Z: Z.strides == (48, 4), lambda n, X: (X, X + 1), 6),
    ],
)
def test_what_a_step_asks_of_its_arguments(asks, given, replays):
    def make(world):
        model, optimizer, criterion = world.model, world.optimizer, world.criterion

        def step(X, Z, y):
            optimizer.zero_grad()
            loss = criterion(model(X), y) + tg.l2_penalty(model[0].W, 0.5 if asks(X, Z) else 0.1)
            loss.backward()
            optimizer.step()
            return loss

        return step

    batches = [(*given(n, batch(n)[0]), batch(n)[1]) for n in range(8)]
    assert assert_twins(make, batches=batches).step.replays == replays


def test_labels_that_are_no_classes_run_as_written_and_are_named():
    def make(world):
        world.criterion = nn.CrossEntropyLoss(ignore_index=-1)
        return ordinary(world)

    X, y = batch(0)
    some = np.where(np.arange(8) == 3, -1, y)
    world = assert_twins(make, count=6, batches=[(X, y)] * 3 + [(X, some)] * 2 + [(X, y)])
    assert (world.step.recordings, world.step.replays, world.step.written) == (2, 2, 2)
    world.step(X, some)
    assert world.step.reason == "some of the labels are no classes: they are ignored, or wrong"


def test_arithmetic_on_an_argument_and_foreign_bytes_are_told_in_plain_words():
    X, y = batch(0)
    world = World(writing, compiled=True)
    world.step(X, y)
    assert world.step.reason.startswith("the values of an argument are looked at in the step: do it outside")
    world.step(X, y.astype(">i8"))
    assert world.step.reason.endswith("expected the machine's byte order: X.astype(np.int64)")


def small():
    """Return a network of more than 2,048 parameters, some of whose arrays are smaller."""
    sizes = [12, 64, 33, 5]
    return nn.Sequential(*[nn.Linear(*sizes[n : n + 2], "relu", seed=n) for n in range(3)])


def held(world):
    """Return a step that finds its model in an object."""

    def step(X, y):
        world.optimizer.zero_grad()
        loss = world.criterion(world.model(X), y)
        loss.backward()
        world.optimizer.step()
        return loss

    return step


def printing(world):
    plain = ordinary(world)

    def step(X, y):
        print(end="")
        return plain(X, y)

    return step


def test_the_bits_do_not_depend_on_the_form_of_the_call():
    tg.use_kernels("auto")
    forms = [
        (ordinary, lambda s, X, y: s(X, y)),
        (ordinary, lambda s, X, y: s(X=X, y=y)),
        (ordinary, lambda s, X, y: s(X, y.tolist())),
        (ordinary, lambda s, X, y: s(np.asfortranarray(X), y)),
        (ordinary, lambda s, X, y: observed(s, X, y)),
        (printing, lambda s, X, y: s(X, y)),
        (held, lambda s, X, y: s(X, y)),
        (lambda world: [ordinary(world), "in a list"][0], lambda s, X, y: s(X, y)),
    ]
    found = []
    for make, call in forms:
        world = World(make, model=small, compiled=True)
        found.append([[bits(call(world.step, *batch(n))) for n in range(6)], bits(world.model.state_dict())])
    assert all(other == found[0] for other in found)


def observed(step, X, y):
    with tg.observe():
        return step(X, y)


# ---- what it says


def test_a_decorated_method_says_what_to_write():
    class Trainer:
        @tg.compile
        def step(self, X, y):
            return X

    with pytest.raises(TypeError, match=r"t\.step = tg\.compile\(t\.step\)"):
        Trainer().step(1, 2)
    assert Trainer.step.replays == 0


def test_two_optimizers_in_turn_are_named():
    world = World()
    other = tg.optim.Optimizer(world.model, "sgd", learning_rate=0.1)
    first = tg.compile(ordinary(world))
    world.optimizer = other
    second = tg.compile(ordinary(world))
    for n in range(4):
        first(*batch(n))
        second(*batch(n))
    assert first.replays == second.replays == 0
    assert "takes them back" in first.reason
    assert "takes them back" in second.reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda X: X.astype(">f4"), ">f4, expected the machine's byte order"),
        (lambda X: X > 0, "dtype bool, expected floats or integers"),
        (lambda X: X.astype(complex), "dtype complex128, expected floats"),
        (np.asfortranarray, "not contiguous"),
        (lambda X: X.tolist(), "of list, expected an array"),
    ],
)
def test_an_argument_that_is_refused_is_named(change, reason):
    step = tg.compile(lambda X: None)
    step(change(np.ones((2, 3), np.float32)))
    assert reason in step.reason


def test_an_argument_that_is_returned():
    def make(world):
        plain = ordinary(world)

        def step(X, y):
            plain(X, y)
            return X

        return step

    world = World(make, compiled=True)
    X, y = batch(0)
    assert world.step(X, y) is X
    assert world.step.reason.startswith("it returns an array")


def test_its_text_tells_what_it_did():
    world = World(compiled=True)
    for n in range(4):
        world.step(*batch(n))
    assert repr(world.step) == f"<compiled {world.step.__qualname__}: 2 recorded, 2 replayed, 0 as written>"
    world.step(*map(list, batch(0)))
    assert "1 as written; an argument is of list" in repr(world.step)


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_copy_is_refused_with_the_cure(make):
    with pytest.raises(TypeError, match="compile a step of the copies"):
        make(World(compiled=True).step)


# ---- recordings


def test_many_shapes_are_recorded_by_themselves():
    sizes = [*range(2, 16)] * 4 + [16] * 20
    world = assert_twins(count=len(sizes), batches=[batch(n, size) for n, size in enumerate(sizes)])
    assert world.step.recordings == 16  # once each, and once more before there were gradients
    assert world.step.replays == len(sizes) - 16


def test_the_recordings_that_are_kept_have_a_bound(monkeypatch):
    monkeypatch.setattr(replay, "MOST", 3)
    monkeypatch.setattr(replay, "FEWEST", 2)
    sizes = [2, 2, 3, 2, 4, 2, 5, 2, 3, 2]  # 3 was used longest ago when 5 comes
    world = assert_twins(count=len(sizes), batches=[batch(n, size) for n, size in enumerate(sizes)])
    assert world.step.recordings == 6
    assert len(world.step._programs) == 3


def test_shapes_that_never_come_again_are_recorded_no_more(monkeypatch):
    monkeypatch.setattr(replay, "MOST", 3)
    monkeypatch.setattr(replay, "FEWEST", 2)
    world = assert_twins(count=30, batches=[batch(n, n + 2) for n in range(30)])
    assert world.step.recordings == 3 + replay.PATIENCE + 1
    assert world.step.written == 30 - world.step.recordings


SCALE = 0.0


def test_what_changes_at_each_call_is_given_up_and_tried_again():
    def make(world):
        model, optimizer, criterion = world.model, world.optimizer, world.criterion

        def step(X, y):
            optimizer.zero_grad()
            loss = criterion(model(X), y) + tg.l2_penalty(model[0].W, SCALE)
            loss.backward()
            optimizer.step()
            return loss

        return step

    compiled, plain = World(make, compiled=True), World(make)
    try:
        for n in range(140):
            if n <= 20:
                globals()["SCALE"] = 0.01 * n
            assert_call_equal(compiled, plain, *batch(n % 7))
            if n == 20:
                recordings = compiled.step.recordings
                assert recordings == replay.PATIENCE + 2
                assert "change each time" in compiled.step.reason
    finally:
        globals()["SCALE"] = 0.0
    assert compiled.step.recordings == recordings + 1
    assert compiled.step.replays > 20
    assert compiled.step.reason is None


def test_arguments_that_are_refused_do_not_make_a_step_give_up():
    world = World(compiled=True)
    for n in range(20):
        world.step(*map(list, batch(n)))
    for n in range(4):
        world.step(*batch(n))
    assert (world.step.written, world.step.replays) == (20, 3)


# ---- what comes between


def test_an_interruption_at_any_line_of_a_call_leaves_the_step_usable():
    """As Ctrl-C, or the handler of a signal: a lock was left taken, and the step ran as it is written for ever."""
    world = World(ordinary, compiled=True)
    step, code = world.step, type(world.step).__call__.__code__
    for n in range(4):
        step(*batch(n))
    given_back = ("if self._turn == {0: turn}:", "del self._turn[0]")
    for _ in interrupted([code], lambda: step(*batch(5)), 5, besides=given_back):
        replays = step.replays
        step(*batch(6))
        assert step.replays == replays + 1, step


def test_a_call_waits_for_no_other_wherever_that_comes_between():
    """One waits for a lock in the step, and the other, which holds that lock, waited for the first."""

    def make(world):
        plain = ordinary(world)

        def step(X, y):
            inside.set()
            with held:
                return plain(X, y)

        return step

    held, inside = threading.RLock(), threading.Event()
    step = World(make, compiled=True).step
    code, lines = type(step).__call__.__code__, set()

    def trace(frame, event, argument):
        if event == "line" and frame.f_lineno not in lines and not others:
            lines.add(frame.f_lineno)
            inside.clear()
            others.append(threading.Thread(target=step, args=batch(1), daemon=True))
            others[0].start()
            inside.wait(10)
        return trace

    def work():
        sys.settrace(lambda frame, event, argument: trace if frame.f_code is code else None)
        with held:
            step(*batch(2))

    while True:
        others, worker = [], threading.Thread(target=work, daemon=True)
        worker.start()
        worker.join(20)
        assert not worker.is_alive(), f"the calls wait for each other, from {max(lines)} of {code.co_filename}"
        if not others:
            break
        others[0].join(20)
        assert not others[0].is_alive()
    assert len(lines) >= 5
    assert not step._turn


def test_a_step_that_rests_says_why_its_recordings_were_of_no_use():
    """And not what the call before it was kept from being recorded by."""
    step = tg.compile(lambda X: X.sum().item())
    for _ in range(2 * replay.PATIENCE):
        step(tg.tensor(np.ones(3)))
    why = step.reason
    with tg.no_grad():
        step(tg.tensor(np.ones(3)))
    assert "recording is off" in step.reason
    step(tg.tensor(np.ones(3)))
    assert step.reason == why
