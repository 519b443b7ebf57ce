"""The team: its threads come, share, sleep and leave without a crash, a hang, a leak or a trace in the user's work."""

import ast
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from team_programs import LIMIT, run

import tinygrad_fc
from tinygrad_fc.kernels import compiling, jobs, machine


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
        module.openblas = lambda: None
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


def test_without_compiling_numpy_does_it_all():
    code = """
        import numpy as np
        import tinygrad_fc as tg
        from tinygrad_fc import kernels
        assert kernels.kernels(np.zeros(10**6)) is kernels.numpy_
        assert kernels.machine_for(10**6, ()).__name__ == "Passes"
        model = tg.models.TwoLayerNet(200, 1000, 10, seed=0)  # its update goes by several blocks
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
        assert (step.replays, step.reason) == (18, None)
        assert losses[-1] < 0.1 * losses[0]
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
