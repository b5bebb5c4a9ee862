"""Snakemake and stages in forks of this process, which imported what they need: torch, pandas, Snakemake and the like.

A stage on a small study computes for a tenth of a second and imports for three, a dry run is done as soon as Snakemake
is imported. So is brainalign, from LIBRARY; a fork whose checkout a test has edited imports it anew, from there.
`python forks.py FOLDER LIBRARY` writes commands `python` and `snakemake` to FOLDER and serves their calls (arguments,
folder, environment, open files) until the input of this process ends.
"""

import os
import runpy
import sys
from contextlib import nullcontext
from glob import glob
from importlib import import_module
from pathlib import Path
from typing import Any

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
server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
server.connect("{address}")
socket.send_fds(server, [call.encode()], [0, 1, 2])
sys.exit(int(server.recv(16) or 1))
"""


def run(asked: dict[str, Any]) -> None:
    """Become the process that was asked for; what it exits with is what this function raises."""
    from drawn import unarranged, watched

    os.chdir(asked["folder"])
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


def main(folder: Path, library: str) -> None:
    sys.path.insert(0, library)
    steps = import_module("brainalign.workflow").STEPS.values()
    for name in (*WARM, *(f"brainalign.pipelines.{step.folder}.{step.name}" for step in steps)):
        import_module(name)
    import pydantic
    import snakemake.cli

    pydantic.TypeAdapter(int)  # finds plugins
    snakemake.cli.get_argument_parser()  # so does this
    os.environ["BRAINALIGN_FORKS"] = address = str(folder / "socket")
    for name in ("python", "snakemake"):
        (folder / name).write_text(CALL.format(python=sys.executable, address=address))
        (folder / name).chmod(0o755)
    import_module("brainalign.pipelines.forks").serve(run)


if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parent.parent))  # of tests
    main(Path(sys.argv[1]), sys.argv[2])
