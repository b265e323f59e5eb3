"""How programs end when they are told to."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

PROGRAM = """
import signal, sys, threading
from dss_process.signals import exit_immediately, stop_signal, wait_for_stop

stop = stop_signal()
idle = threading.Event()
other = threading.Thread(target=idle.wait, name="other")
other.start()
print("waiting", flush=True)
if len(sys.argv) > 1:  # as if the kernel had chosen that thread
    threading.Timer(0.3, signal.pthread_kill, (other.ident, signal.SIGTERM)).start()
wait_for_stop(stop)
print("stopped")
exit_immediately()
"""


LOOP = """
import asyncio, signal, threading
from dss_process.signals import stop_event

async def main():
    other = threading.Thread(target=threading.Event().wait, daemon=True)
    other.start()
    stop = stop_event()
    print("waiting", flush=True)
    threading.Timer(0.3, signal.pthread_kill, (other.ident, signal.SIGTERM)).start()
    await stop.wait()
    print("stopped")

asyncio.run(main())
"""


BUSY = """
import signal, threading
from dss_process.signals import stop_signal

main = threading.main_thread().ident
print("waiting", flush=True)
for _ in range(30):
    stop = stop_signal()
    threading.Timer(0.002, signal.pthread_kill, (main, signal.SIGTERM)).start()
    while not stop.wait(0):  # nearly always within the lock of the event
        pass
print("stopped")
"""


class Program(subprocess.Popen[str]):
    def __init__(self, *arguments: str, code: str = PROGRAM) -> None:
        super().__init__(
            [sys.executable, "-c", code, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        assert self.stdout is not None
        assert self.stdout.readline() == "waiting\n"


@pytest.fixture
def program() -> Iterator[Program]:
    with Program() as program:
        yield program
        program.kill()


def test_a_stopped_program_leaves_though_a_thread_of_it_waits_for_ever(program: Program) -> None:
    program.send_signal(signal.SIGTERM)

    assert program.communicate(timeout=20) == ("stopped\n", "")
    assert program.returncode == 0


@pytest.mark.parametrize("code", [PROGRAM, LOOP])
def test_a_signal_that_another_thread_gets_stops_the_program_too(code: str) -> None:
    with Program("to another thread", code=code) as program:
        try:
            assert program.communicate(timeout=20) == ("stopped\n", "")
        finally:
            program.kill()

    assert program.returncode == 0


def test_a_signal_that_meets_the_program_within_the_lock_of_its_event_stops_it_too() -> None:
    with Program(code=BUSY) as program:
        try:
            assert program.communicate(timeout=20) == ("stopped\n", "")
        finally:
            program.kill()


def test_a_program_says_what_its_threads_do_and_goes_on(program: Program) -> None:
    assert program.stderr is not None
    program.send_signal(signal.SIGUSR1)
    for line in program.stderr:
        if " in <module>" in line:
            break  # where the main thread is

    program.send_signal(signal.SIGTERM)

    assert program.communicate(timeout=20)[0] == "stopped\n"
    assert program.returncode == 0
