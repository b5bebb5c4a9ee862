"""simulate_story: a story with planted truth, as a lab has it: words, features of them, and runs of one subject."""

from brainalign.io import file_digest, write_json
from brainalign.simulation import story, write_story
from brainalign.study import StoryWorld
from brainalign.workflow import Job


def simulate_story(job: Job) -> None:
    """Write every file of a story and what was planted, and last the list of them all."""
    options = job.options("simulate", StoryWorld)
    folder, listing = job.path("folder"), job.outputs["listing"]
    listing.unlink(missing_ok=True)  # readers refuse the folder until it is complete
    told = story(**options.model_dump(exclude={"world"}))
    write_story(told, folder)
    (folder / "truth").mkdir(exist_ok=True)
    told.targets.to_parquet(folder / "truth/targets.parquet", index=False)
    files = sorted(path for kind in ("*.tsv", "*.npy", "truth/*") for path in folder.glob(kind))
    digests = {path.relative_to(folder).as_posix(): {"sha256": file_digest(path)} for path in files}
    write_json(listing, job.provenance.record([], {"n_words": len(told.words)}) | {"files": digests})
