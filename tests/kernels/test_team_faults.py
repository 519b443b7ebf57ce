"""The team where something comes between: a fork, a signal, Ctrl-C, a system that has no thread left."""

from team_programs import run


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
        mine, other = Work(), Team(3, module.openblas())
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
            module.machine.runner(np.dtype(np.float64))  # which nobody has compiled yet
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
            teams.append(Team(2, module.openblas()))
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
        crew = Team(3, module.openblas())
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
