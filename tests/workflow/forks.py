"""Snakemake and stages in forks of this process, which imported what they need: torch, pandas, Snakemake and the like.

A stage on a small study computes for a tenth of a second and imports for three, a dry run is done as soon as Snakemake
is imported. So is brainalign, from LIBRARY; a fork whose checkout a test has edited imports it anew, from there.
`python forks.py FOLDER LIBRARY` writes commands `python` and `snakemake` to FOLDER and serves their calls (arguments,
folder, environment, open files) until the input of this process ends.
"""

import atexit
import gc
import json
import os
import runpy
import select
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import nullcontext, suppress
from glob import glob
from importlib import import_module
from pathlib import Path
from typing import NoReturn

# Also what snakemake imports late, and what every optimiser of torch does.
WARM = ("contourpy", "jinja2", "matplotlib.backends.backend_svg", "matplotlib.pyplot", "mne.epochs", "mne.io.array")
WARM += ("nilearn.maskers", "nilearn.plotting", "pandas", "PIL.ImageFont", "platformdirs", "pyarrow.dataset")
WARM += ("pyarrow.parquet", "pydantic.types", "safetensors.numpy", "safetensors.torch", "scipy.stats", "smart_open")
WARM += ("sklearn.model_selection", "torch._dynamo", "transformers.models.bert.modeling_bert", "yaml")
CALL = """#!{python} -IS
import json, os, socket, sys

name = os.path.basename(sys.argv[0])
if name == "python" and (sys.argv[1:3] != ["-P", "-m"] or not sys.argv[3].startswith("brainalign.")):
    os.execv("{python}", ["python", *sys.argv[1:]])
arguments = ["snakemake", *sys.argv[1:]] if name == "snakemake" else sys.argv[3:]
call = json.dumps(dict(arguments=arguments, folder=os.getcwd(), environment=dict(os.environ)))
server = socket.socket(socket.AF_UNIX)
server.connect("{address}")
socket.send_fds(server, [b"\\n"], [0, 1, 2])
server.sendall(call.encode())
server.shutdown(socket.SHUT_WR)
sys.exit(int(server.recv(8) or 1))
"""


def leave(last: Callable[..., object], call: socket.socket) -> NoReturn:
    """Call a function and exit as Python would after it, but take nothing apart that this process imported."""
    gc.disable()  # a fork lives for seconds
    status: object = None
    try:
        last(call)
    except SystemExit as error:
        status = error.code
    except BaseException:
        traceback.print_exc()
        status = 1
    if not isinstance(status, int | None):
        print(status, file=sys.stderr)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else int(status is not None))


def run(call: socket.socket) -> None:
    """Become the process that was asked for; what it exits with is what this function raises."""
    from drawn import unarranged, watched

    for number, file in enumerate(socket.recv_fds(call, 1, 3)[1]):
        os.dup2(file, number)
    asked = json.loads(b"".join(iter(lambda: call.recv(1 << 16), b"")))
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    libraries = sys.path.pop(0), os.environ["PYTHONPATH"]
    files = (glob(f"{library}/brainalign/**/*.py", recursive=True) for library in libraries)
    if len({max(map(os.path.getmtime, each)) for each in files}) > 1:  # copies keep their ages: this one was edited
        for name in [name for name in sys.modules if name.partition(".")[0] == "brainalign"]:
            del sys.modules[name]
    sys.path.insert(0, libraries[1])
    sys.argv = asked["arguments"]
    if sys.argv[0] == "snakemake":
        from snakemake.cli import main

        main()
    with watched() as problems, nullcontext() if "ARRANGED" in os.environ else unarranged():
        try:
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        except SystemExit as error:
            if error.code:
                raise
    sys.exit("\n".join(problems) or None)


def answer(call: socket.socket) -> None:
    """Run a call in a child of this process, and send what it exited with."""
    if (child := os.fork()) == 0:
        leave(run, call)
    call.sendall(str(abs(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))).encode())


def serve(folder: Path, library: str) -> None:
    sys.path.insert(0, library)
    steps = import_module("brainalign.workflow").STEPS.values()
    for name in (*WARM, *(f"brainalign.pipelines.{step.folder}.{step.name}" for step in steps)):
        import_module(name)
    import pydantic
    import snakemake.cli

    pydantic.TypeAdapter(int)  # finds plugins
    snakemake.cli.get_argument_parser()  # so does this
    gc.freeze()  # else every fork goes through all of these objects, and copies them, when it exits
    for name in ("python", "snakemake"):
        (folder / name).write_text(CALL.format(python=sys.executable, address=folder / "socket"))
        (folder / name).chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
        listener.listen()
        print("ready", flush=True)
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            call = listener.accept()[0]
            if os.fork() == 0:
                leave(answer, call)
            call.close()
            with suppress(ChildProcessError):  # none is left
                while os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG):
                    pass


if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parent.parent))  # of tests
    serve(Path(sys.argv[1]), sys.argv[2])
