"""Calls that threads share: all of them are done, whoever does them, and whatever comes between."""

import functools
import itertools
import threading
import time

import numpy as np
import pytest
from interruptions import interrupted
from team_programs import run

from tinygrad_fc.kernels import passes, products, sharing
from tinygrad_fc.kernels.codes import Code


@pytest.fixture(autouse=True)
def three(monkeypatch):
    """Three threads share, new ones for each test."""
    monkeypatch.setattr(sharing, "threads", lambda: 3)
    monkeypatch.setattr(sharing, "_crew", sharing._Crew())


def meeting(count):
    """Return calls of which none ends before all have begun, and the threads that did them."""
    barrier, seen = threading.Barrier(count, timeout=60), []

    def call():
        seen.append(threading.get_ident())
        barrier.wait()

    return [call] * count, seen


def test_each_thread_does_a_call_at_the_same_time():
    for _ in range(20):
        calls, seen = meeting(3)
        sharing.share(calls)
        assert len(set(seen)) == 3
        assert threading.get_ident() in seen


def test_all_is_done_once_when_it_returns():
    def note(number, done):
        time.sleep(0.001)
        done.append(number)

    for count in itertools.chain(range(8), [100]):
        done = []
        sharing.share([functools.partial(note, number, done) for number in range(count)])
        assert sorted(done) == list(range(count))


def test_callers_do_not_wait_for_threads_that_are_busy():
    enough, begun = threading.Event(), threading.Barrier(4, timeout=60)

    def busy():
        begun.wait()
        assert enough.wait(60)

    other = threading.Thread(target=sharing.share, args=([busy, busy, busy],))
    other.start()
    begun.wait()
    seen = []
    sharing.share([lambda: seen.append(threading.get_ident())] * 5)
    assert seen == [threading.get_ident()] * 5
    enough.set()
    other.join()


def test_an_interruption_at_any_line_loses_no_thread():
    codes = [function.__code__ for function in (sharing.share, sharing._Job.__init__, sharing._Job.wait)]
    sharing.share(meeting(3)[0])
    for _ in interrupted(codes, lambda: sharing.share([lambda: time.sleep(0.002)] * 3), least=20):
        calls, seen = meeting(3)
        sharing.share(calls)
        assert len(set(seen)) == 3


@pytest.mark.parametrize("where", ["here", "there"])
def test_an_error_is_raised_when_no_call_runs_any_more(where):
    me, ended, both = threading.get_ident(), [], threading.Barrier(2, timeout=60)

    def call():
        both.wait()
        if (threading.get_ident() == me) == (where == "here"):
            raise ZeroDivisionError(where)
        time.sleep(0.05)
        ended.append(1)

    with pytest.raises(ZeroDivisionError, match=where):
        sharing.share([call, call])
    assert ended == [1]


def test_faults_of_numbers_are_treated_as_the_caller_says():
    barrier = threading.Barrier(3, timeout=60)

    def call():
        barrier.wait()
        np.float32(1e30) * np.float32(1e30)

    with np.errstate(over="ignore"):
        sharing.share([call] * 3)
    with np.errstate(over="raise"), pytest.raises(FloatingPointError, match="overflow"):
        sharing.share([call] * 3)


def test_without_another_thread_the_caller_does_all(monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    seen = []
    sharing.share([lambda: seen.append(threading.get_ident())] * 4)
    assert seen == [threading.get_ident()] * 4


def test_a_child_has_threads_of_its_own():
    out = run("""
        from tinygrad_fc.kernels import sharing
        def both():
            barrier = threading.Barrier(2, timeout=60)
            sharing.share([barrier.wait, barrier.wait])
        def forever():
            while not enough.is_set():
                both()
        for _ in range(3):
            both()
            if pid := os.fork():
                assert os.waitpid(pid, 0)[1] == 0
            else:
                both()
                sys.stdout.flush()
                os._exit(0)
        enough = threading.Event()
        other = threading.Thread(target=forever)
        other.start()
        for _ in range(8):  # amid calls
            if pid := os.fork():
                assert os.waitpid(pid, 0)[1] == 0
            else:
                both()
                os._exit(0)
        enough.set()
        other.join()
        print("done")
    """, size=2)  # fmt: skip
    assert out == "done\n"


def test_calls_are_done_at_the_end_of_the_interpreter_too():
    out = run("""
        import atexit
        from tinygrad_fc.kernels import sharing
        def end():
            done = []
            sharing.share([lambda: done.append(1)] * 5)
            print(len(done))
        sharing.share([lambda: None] * 2)
        atexit.register(end)
    """, size=2)  # fmt: skip
    assert out == "5\n"


def test_ctrl_c_waits_for_the_other_threads_and_leaves_them_usable():
    out = run("""
        from tinygrad_fc.kernels import sharing
        def call():
            if threading.get_ident() == me:
                time.sleep(0.001)
                return
            running.append(1)
            time.sleep(0.003)
            running.pop()
        me, running, interrupted = threading.get_ident(), [], 0
        sharing.share([call] * 2)
        for number in range(40):
            timer = threading.Timer(0.001 * (number % 7), os.kill, (os.getpid(), signal.SIGINT))
            try:
                timer.start()
                while True:
                    sharing.share([call] * 2)
            except KeyboardInterrupt:
                assert not running
                interrupted += 1
            timer.join()
        barrier = threading.Barrier(2, timeout=60)
        sharing.share([barrier.wait] * 2)
        print(interrupted, len(threads()))
    """, size=2)  # fmt: skip
    assert out == "40 1\n"


def test_a_signals_handler_may_share_and_fork_amid_calls():
    """The threads are there before: a fork amid a thread's start is more than Python itself stands."""
    out = run("""
        from tinygrad_fc.kernels import sharing
        def handle(*_):
            sharing.share([lambda: time.sleep(1e-4)] * 2)
            if pid := os.fork():
                assert os.waitpid(pid, 0)[1] == 0
                seen.append(1)
            else:
                in_child.append(1)
            if len(seen) < 30 and not in_child:
                signal.setitimer(signal.ITIMER_REAL, 1e-4 * (len(seen) % 7 + 1))
        seen, in_child = [], []
        sharing.share([threading.Barrier(3, timeout=60).wait] * 3)
        signal.signal(signal.SIGALRM, handle)
        signal.setitimer(signal.ITIMER_REAL, 1e-4)
        while len(seen) < 30 and not in_child:
            done = []
            sharing.share([lambda: (time.sleep(1e-4), done.append(1))] * 4)
            assert len(done) == 4
        if in_child:
            os._exit(0)
        print("done")
    """, size=3)  # fmt: skip
    assert out == "done\n"


@pytest.fixture
def updates(monkeypatch):
    """Return what updates parameters by Adam in a list of so many threads, after what is done before."""
    shared = []

    def run(count, before=lambda instructions: None, dtype=np.float32):
        monkeypatch.setattr(passes, "threads", lambda: count)
        monkeypatch.setattr(passes, "share", lambda calls: (shared.append(len(calls)), sharing.share(calls)))
        shared.clear()
        w, dw, m, v = np.random.default_rng(0).standard_normal((4, 16 * passes.BLOCK + 5)).astype(dtype)
        instructions = passes.Passes(np.dtype(dtype))
        before(instructions)
        instructions.update(Code.ADAM, w, dw, (m, np.abs(v)), 0.9, 0.999, 0.1, 1e-8)
        instructions.run()
        return w.tobytes(), [*shared]

    monkeypatch.setattr(products, "mkl", lambda: None)
    products._gemms.cache_clear()
    yield run
    products._gemms.cache_clear()


def test_an_update_of_many_parameters_is_shared_and_has_the_bits_of_one_thread(updates):
    alone, shared = updates(1)
    assert shared == []
    assert updates(3) == (alone, [3])


def test_an_update_is_not_shared_where_openblas_threads_have_just_worked(updates):
    """They wait for more, for tens of milliseconds, where the helpers should work."""

    def multiply(instructions):
        instructions.product(np.ones((80, 60), "f"), np.ones((60, 64), "f"), np.empty((80, 64), "f"))

    def penalize(instructions):
        dtype = instructions.dtype
        instructions.half_squares(np.ones(10_000, dtype), 0.1, np.empty((), dtype))

    assert updates(3, multiply)[1] == []
    assert updates(3, penalize, np.float64)[1] == []
    assert updates(3, penalize)[1] == [3]  # which OpenBLAS does on one thread
