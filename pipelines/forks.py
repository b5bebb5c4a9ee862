"""Jobs in forks of one process that imported what they need: to import takes three seconds, a small job takes one.

A run starts that process, and sets BRAINALIGN_FORKS to where it listens; it ends with the run. A job that finds none
there, that is to have several threads, or whose library was edited meanwhile, runs in a process of its own. With
BRAINALIGN_FORKS empty every job does, and where there is a GPU: CUDA works in no fork of a process that looked for one,
and any import may look.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any

VARIABLE = "BRAINALIGN_FORKS"
MOST_BYTES = 2**18  # of a question: more than a socket takes at once
ELSE = "else"  # the answer to a job that is to run in a process of its own
# What steps and their libraries import late: every optimiser of torch imports torch._dynamo.
LATE = ("matplotlib.backends.backend_svg", "nilearn.maskers", "nilearn.plotting", "pyarrow.dataset", "torch._dynamo")


def start_forks() -> None:
    """Start the process whose forks are jobs, for as long as this one lives."""
    from brainalign.devices import visible_gpus

    if sys.platform == "linux" and VARIABLE not in os.environ and not visible_gpus():
        os.environ[VARIABLE] = f".snakemake/forks-{os.getpid()}"
        # Not -m: the package has imported this module, and runpy would say so in every run.
        command = [sys.executable, "-P", "-c", f"from {__name__} import main; main()"]
        alive, _ = os.pipe()  # whose other end nothing closes but the end of this process
        threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
        subprocess.Popen(command, stdin=alive, env=os.environ | threads, start_new_session=True)


def ask(job: str) -> int | None:
    """Have the job of a file run in a fork; return its exit status, or None where none can be had."""
    if not os.environ.get(VARIABLE) or os.environ.get("OMP_NUM_THREADS") != "1":
        return None
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        try:
            server.connect(os.environ[VARIABLE])
            asked = {"job": job, "environment": dict(os.environ)}
            socket.send_fds(server, [json.dumps(asked).encode()], [0, 1, 2])
            answer = server.recv(16).decode()
        except OSError:
            return None
    return None if answer == ELSE else int(answer or 1)  # no answer: the server was killed


def serve(run: Callable[[dict[str, Any]], object]) -> None:
    """Run what is asked for in forks, with its files and environment, until the input of this process ends."""
    import gc
    from contextlib import suppress
    from multiprocessing import connection, get_context

    edited = _last_edit()
    gc.freeze()  # else every fork goes through all of these objects, and copies them
    gc.set_threshold(10_000)
    running: dict[socket.socket, Any] = {}
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        try:
            listener.bind(os.environ[VARIABLE])
        except OSError:  # on a file system without sockets; jobs run alone
            return
        listener.listen()
        sources: list[Any] = [sys.stdin, listener]
        while sources or running:
            ready = connection.wait([*sources, *running, *(process.sentinel for process in running.values())])
            if sys.stdin in ready:
                sources = []
                Path(os.environ[VARIABLE]).unlink()
            elif listener in ready:
                call = listener.accept()[0]
                asked, files, _, _ = socket.recv_fds(call, MOST_BYTES, 3)
                if edited == _last_edit():
                    running[call] = get_context("fork").Process(target=_answer, args=(run, asked, files))
                    running[call].start()
                else:
                    call.send(ELSE.encode())
                for file in files:
                    os.close(file)
            for call, process in list(running.items()):
                if process.is_alive() and call in ready:
                    process.terminate()  # who asked is gone
                elif not process.is_alive():
                    with suppress(OSError):
                        call.send(str(abs(process.exitcode)).encode())
                    running.pop(call).close()
                    call.close()


def _answer(run: Callable[[dict[str, Any]], object], asked: bytes, files: list[int]) -> None:
    for number, file in enumerate(files):
        os.dup2(file, number)
    content = json.loads(asked)
    os.environ.clear()
    os.environ.update(content["environment"])
    run(content)


def run_job_of(asked: dict[str, Any]) -> None:
    """Run the job that was asked for, and exit with its status."""
    from brainalign.pipelines import run_file

    sys.exit(run_file(asked["job"]))


def _last_edit() -> float:
    """Return when a file of the library that was imported was last written."""
    files = [module.__file__ for name, module in list(sys.modules.items()) if name.startswith("brainalign")]
    try:
        return max(os.path.getmtime(file) for file in files if file)
    except OSError:  # it is gone
        return inf


def main() -> None:
    """Import what steps import, and serve."""
    from importlib import import_module

    from brainalign.workflow import STEPS

    for name in (*LATE, *(f"brainalign.pipelines.{step.folder}.{step.name}" for step in STEPS.values())):
        import_module(name)
    serve(run_job_of)
