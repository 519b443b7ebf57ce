"""The team: its threads come, share, sleep and leave without a crash, a hang, a leak or a trace in the user's program.

Most of it happens in processes of their own, which a time limit ends. They keep compiled code where this one does.
"""

import ast
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import tinygrad_fc
from tinygrad_fc.kernels import compiling, jobs, machine, team

LIMIT = 20  # seconds, after which a process hangs; most of them may go into compiling
START = """
import ctypes, os, signal, sys, threading, time
import numpy as np
from tinygrad_fc.kernels import jobs, team as module
from tinygrad_fc.kernels.instructions import Instructions
from tinygrad_fc.kernels.team import Team, team

def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("tinygrad_fc")]

def blas(threads=None):
    get, put = module._blas()[2:]
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


def run(code, *options, size=None, code_expected=0, before="", **environment):
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


@pytest.mark.parametrize("options", [("-W", "error"), ("-X", "dev", "-W", "error")])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_interpreter_ends_while_helpers_spin_or_sleep(size, options):
    for pause in (0.0, 0.05):
        out = run(f"""
            work = Work()
            work.check()
            assert len(threads()) == team().size - 1 == {size - 1}
            time.sleep({pause})
            print("done")
        """, *options, size=size)  # fmt: skip
        assert out == "done\n"


def test_an_exception_at_the_end_is_the_users():
    out = run("Work().check()\nraise KeyError('mine')", size=2, code_expected=1)
    assert out.endswith("KeyError: 'mine'\n")


def test_the_interpreter_ends_while_other_threads_launch():
    for size in (1, 2):
        out = run("""
            def forever():
                work = Work()
                while True:
                    work.run.run()
                    ready.set()
            Work().check()
            ready = threading.Event()
            for _ in range(2):
                threading.Thread(target=forever, daemon=True).start()
            ready.wait()
            time.sleep(0.05)
            print("done")
        """, size=size)  # fmt: skip
        assert out == "done\n"


def test_what_runs_after_the_end_runs_alone():
    out = run("""
        import atexit
        def last():
            work.bits = None  # inner sums are shared no more
            work.check()
            print("last", len(threads()))
        atexit._ncallbacks()
        work = Work()
        work.check()
        module.Team.close(team())
        last()
        atexit.register(last)
    """, size=2)  # fmt: skip
    assert out == "last 0\nlast 0\n"


def test_fork_gives_the_child_a_team_of_its_own():
    """Instructions that were made before go on in the child, whether the team had begun or not."""
    out = run("""
        import multiprocessing
        def child(begun):
            assert not threads()
            work.check()
            Work(seed=1).check()
            assert len(threads()) == 2 and blas() == begun
        work = Work()
        for _ in range(3):
            before = blas()
            if pid := os.fork():
                assert os.waitpid(pid, 0)[1] == 0
                work.check()
            else:
                child(before)
                sys.stdout.flush()
                os._exit(0)
        process = multiprocessing.get_context("fork").Process(target=child, args=(blas(),))
        process.start()
        process.join()
        assert process.exitcode == 0
        print("done")
    """, size=3)  # fmt: skip
    assert out == "done\n"


def test_fork_while_other_threads_launch():
    """In one team, in another, and alone. None multiplies by NumPy, which OpenBLAS's threads do not survive."""
    out = run("""
        def forever(work):
            while not enough.is_set():
                work.check()
            good.append(work)
        def alone():
            while not enough.is_set():
                small.run()
            good.append(small)
        mine, other = Work(), Team(3, module._blas())
        mine.check()
        x = np.ones(1000, np.float32)
        small = Instructions(team(), np.dtype(np.float32))
        for _ in range(1000):
            small.relu(x, x)
        enough, good, before = threading.Event(), [], blas()
        workers = [threading.Thread(target=forever, args=(Work(crew),)) for crew in (team(), team(), other)]
        workers.append(threading.Thread(target=alone))
        for worker in workers:
            worker.start()
        for _ in range(8):
            if pid := os.fork():
                assert os.waitpid(pid, 0)[1] == 0
            else:
                assert blas() == before
                mine.check()
                small.run()
                os._exit(0)
        enough.set()
        for worker in workers:
            worker.join()
        assert blas() == before
        print(len(good))
    """, size=2)  # fmt: skip
    assert out == "4\n"


def test_fork_while_another_thread_compiles():
    """The child would wait for Numba's lock for ever, for who holds it is not there."""
    out = run("""
        from numba.core.compiler_lock import global_compiler_lock
        def compile_long():
            with global_compiler_lock:
                begun.set()
                time.sleep(0.3)
        work, begun = Work(), threading.Event()
        work.check()
        compiler = threading.Thread(target=compile_long)
        compiler.start()
        begun.wait()
        if pid := os.fork():
            assert os.waitpid(pid, 0)[1] == 0
            compiler.join()
            work.check()
            print("done")
        else:
            work.check()
            os._exit(0)
    """, size=2)  # fmt: skip
    assert out == "done\n"


def test_what_else_happens_at_a_fork_may_launch_and_make_teams():
    """As the user's own hooks do, or the handlers of signals; ours run before one of these, and after the others."""
    out = run("""
        seen, teams = [], []
        def hook():
            work.check()
            seen.append(1)
            teams.append(Team(2, module._blas()))
        hooks.append(hook)
        work = Work()
        work.check()
        for _ in range(3):
            if pid := os.fork():
                assert os.waitpid(pid, 0)[1] == 0
                thread = threading.Thread(target=work.check)
                thread.start()
                thread.join()
            else:
                Work(teams[-1]).check()
                work.check()
                os._exit(0)
        print(len(seen))
    """, size=2, before="""
        import os
        hooks = []
        def all_hooks():
            for hook in hooks:
                hook()
        os.register_at_fork(before=all_hooks, after_in_parent=all_hooks, after_in_child=all_hooks)
    """)  # fmt: skip
    assert out == "6\n"


def test_a_launch_between_two_lines_of_a_stop_or_of_a_start():
    """The handler of a signal may come there: the team that it leaves behind has all its helpers."""
    out = run("""
        def amid(function):
            def call(*arguments, **options):
                amidst.append(1)
                if len(amidst) == 1:
                    work.check()
                return function(*arguments, **options)
            return call
        amidst, work = [], Work()
        work.check()
        jobs.dismiss = amid(jobs.dismiss)
        team().stop()
        work.check()
        print(len(threads()), len(amidst))
        team().stop()
        amidst.clear()
        threading.Thread = amid(threading.Thread)
        work.check()
        work.check()
        while len(threads()) > 2:
            time.sleep(0.01)
        print(len(threads()))
    """, size=3)  # fmt: skip
    assert out == "2 1\n2\n"


@pytest.mark.parametrize("size", [1, 2, 3])
def test_many_python_threads_launch_at_once(size):
    """Also for the first time, and also without the main thread: none waits for another for ever."""
    out = run("""
        def several(number):
            work = Work(seed=number)
            gate.wait()
            for _ in range(100):
                work.check()
            good.append(number)
        for count in (2, 8):
            gate, good = threading.Barrier(count), []
            workers = [threading.Thread(target=several, args=(n,)) for n in range(count)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            assert sorted(good) == list(range(count))
        print(len(threads()), len(module._TEAMS))
    """, size=size)  # fmt: skip
    assert out == f"{size - 1} 1\n"


def test_helpers_wake_from_any_sleep():
    out = run("""
        work = Work()
        for pause in (0, 1e-4, 2e-4, 3e-4, 1e-3, 0.1, 2.0):
            for _ in range(1 if pause > 0.01 else 300):
                work.check()
                time.sleep(pause)
        helper = f"/proc/self/task/{threads()[0].native_id}/stat"
        if os.path.exists(helper):  # it sleeps, and costs nothing
            assert open(helper).read().split()[2] == "S"
        print("done")
    """, "-W", "error", "-W", "ignore::ResourceWarning", size=2)  # fmt: skip
    assert out == "done\n"


def test_ctrl_c_during_a_launch_leaves_the_team_usable():
    out = run("""
        work = Work()
        work.check()
        interrupted = 0
        for number in range(40):
            try:
                timer = threading.Timer(0.002 * (number % 5), os.kill, (os.getpid(), signal.SIGINT))
                timer.start()
                while True:
                    work.check()
            except KeyboardInterrupt:
                interrupted += 1
            timer.join()
        work.check()
        print(interrupted, len(threads()))
    """, size=3)  # fmt: skip
    assert out == "40 2\n"


def test_a_signals_handler_may_launch_too():
    out = run("""
        other = Work(seed=1)
        def handle(*_):
            other.check()
            seen.append(1)
            if len(seen) < 50:
                signal.setitimer(signal.ITIMER_REAL, 1e-4 * (len(seen) % 7 + 1))
        seen = []
        signal.signal(signal.SIGALRM, handle)
        work = Work()
        signal.setitimer(signal.ITIMER_REAL, 1e-6)
        while len(seen) < 50:
            work.check()
        print("done")
    """, size=2)  # fmt: skip
    assert out == "done\n"


def test_more_threads_than_cores_and_a_busy_neighbour():
    out = run("""
        import subprocess
        busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        try:
            work = Work()
            for _ in range(200):
                work.check()
        finally:
            busy.kill()
            busy.wait()
        print(team().size)
    """, size=3)  # fmt: skip
    assert out == "3\n"


def test_memory_stays_as_it_is_over_many_launches():
    out = run("""
        import resource
        x, slope, normal, d = np.ones((4, 4, 8), np.float32)
        gamma, rate, along, total = np.ones((4, 8), np.float32)
        loss, y = np.ones((), np.float32), np.zeros(4, np.int64)
        alone, together = (Instructions(team(), np.dtype(np.float32)) for _ in range(2))
        for each in (alone, together):
            each.half_squares(x, 1.0, loss)
            each.batch_norm_gradient(x, gamma, normal, rate, d, along, total)
            each.softmax_loss(x, y, slope, loss)
        large = np.ones(20_000, np.float32)
        together.relu(large, large)
        def launch(times):
            for _ in range(times):
                for _ in range(9):
                    alone.run()
                together.run()
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        before = launch(500)
        grown = launch(10_000) - before
        print(grown < 1024 * (1 if sys.platform == "linux" else 1024), grown)  # 1 MiB: 10 bytes a launch
    """, size=2)  # fmt: skip
    assert out.startswith("True"), out


def test_the_threads_of_blas_stay_the_users():
    """Whatever ends a run, and whoever else is in one; what the user sets meanwhile counts."""
    out = run("""
        work = Work()
        for number in (1, 2, 3):
            blas(number)
            work.check()
            assert blas() == number
        try:
            work.run.team.run(None, None, np.dtype(np.float32), True)
        except Exception as error:
            print(type(error).__name__)
        assert blas() == 3
        work.check()

        def several():
            mine, run = Work(seed=1), Instructions(team(), np.dtype(np.float32))
            x = np.ones(1000, np.float32)
            for _ in range(100):
                run.relu(x, x)
            for _ in range(200):
                mine.check()
                run.run()
        workers = [threading.Thread(target=several) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert blas() == 3
    """, size=2)  # fmt: skip
    assert out == "TypingError\n"


def test_a_blas_that_is_not_found_is_done_without():
    out = run("""
        import tinygrad_fc as tg
        module._blas = lambda: None
        from tinygrad_fc import kernels
        assert team() is None and kernels.machine_for(10**6, ()) is None
        model = tg.models.TwoLayerNet(200, 100, 10, seed=0)
        optimizer = tg.optim.Optimizer(model, "adam", learning_rate=0.01)
        @tg.compile
        def step(X, y):
            optimizer.zero_grad()
            loss = model.loss_tensor(X, y)
            loss.backward()
            optimizer.step()
            return loss
        rng = np.random.default_rng(0)
        X, y = rng.standard_normal((50, 200)), rng.integers(10, size=50)
        losses = [step(X, y).item() for _ in range(20)]
        print(step.replays, step.reason)
        assert losses[-1] < 0.1 * losses[0]
        a = rng.standard_normal((300, 300))
        assert np.allclose(kernels.compiled().product(a, a), a @ a)
    """)  # fmt: skip
    assert out == "0 NumPy has another BLAS than OpenBLAS\n"


def test_threads_that_the_system_refuses_are_done_without():
    """It has no room for a stack as large as all addresses, or it takes the first helper and not the second."""
    for line in ("threading.stack_size(1 << 47)", "start, threading.Thread.start = threading.Thread.start, refuse"):
        out = run(f"""
            def refuse(thread):
                if thread.name.endswith("2"):
                    raise RuntimeError("can't start new thread")
                start(thread)
            work, before = Work(), blas()
            {line}
            work.check()
            work.check()
            for thread in threads():
                thread.join()
            assert blas() == before
            print(team()._closed, len(threads()))
        """, size=3)  # fmt: skip
        assert out == "True 0\n"


def test_an_interruption_of_the_start_leaves_no_helper_behind():
    out = run("""
        def refuse(thread):
            start(thread)
            if thread.name.endswith("2") and not seen:
                seen.append(1)
                raise KeyboardInterrupt
        seen = []
        start, threading.Thread.start = threading.Thread.start, refuse
        work = Work()
        try:
            work.check()
        except KeyboardInterrupt:
            print("stopped")
        for thread in threads():
            thread.join()
        work.check()
        print(len(threads()))
    """, size=3)  # fmt: skip
    assert out == "stopped\n2\n"


def test_a_team_that_stops_begins_again_and_one_that_closes_does_not():
    out = run("""
        crew = Team(3, module._blas())
        work = Work(crew)
        work.check()
        print(len(threads()))
        crew.stop()
        print(len(threads()))
        work.check()
        print(len(threads()))
        crew.close()
        work.bits = None  # inner sums are shared no more
        work.check()
        print(len(threads()))
    """, size=1)  # fmt: skip
    assert out == "2\n0\n2\n0\n"


def test_without_compiling_numpy_does_it_all():
    code = """
        import numpy as np
        import tinygrad_fc as tg
        from tinygrad_fc import kernels
        assert kernels.kernels(np.zeros(10**6)) is kernels.numpy_ and kernels.machine_for(10**6, ()) is None
        try:
            tg.use_kernels("numba")
        except ModuleNotFoundError as error:
            print(error)
    """
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(Path(tinygrad_fc.__file__).parents[1])}
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "NUMBA_DISABLE_JIT" in done.stdout


def test_a_cache_that_cannot_be_written_is_said_and_done_without():
    """Numba refuses at once where it finds no folder, and later where one does not take a file."""
    out = run("""
        import warnings
        from numba.core import caching
        from tinygrad_fc.kernels import compiling
        import numba
        def refuse(*_):
            raise RuntimeError("cannot cache function: no locator available")
        caching.FunctionCache.__init__ = refuse
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            add, multiply = compiling.compile_(lambda x, y: x + y), compiling.compile_(lambda x, y: x * y)
            assert len(said) == 1 and "set NUMBA_CACHE_DIR" in str(said[0].message)
        assert add(1, 2) == 3 and multiply(2, 3) == 6
        print("done")
    """)  # fmt: skip
    assert out == "done\n"


def test_the_stamp_covers_all_that_compiled_functions_are_made_of():
    """Numba looks at one file only, so an edit of another would be served stale."""
    folder = Path(compiling.__file__).parent
    for name in compiling.SOURCES:
        tree = ast.parse((folder / f"{name}.py").read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level == 1:
                found = [node.module] if node.module else [alias.name for alias in node.names]
                assert set(found) <= set(compiling.SOURCES), name
    compiled = [jobs.serve, jobs.launch, jobs.dismiss, machine.loops.relu, machine.rules.adam]
    assert all(function.py_func.__qualname__.endswith(compiling._STAMP) for function in compiled)
    assert machine.run_single.__qualname__.endswith(compiling._STAMP) or not machine._kept


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
    assert team.wanted_threads() == (threads or cores)
