"""prepare_rdms: published dissimilarity matrices of subjects, and the images they are of, unpacked."""

from brainalign.arrays import Arrays
from brainalign.datasets import Problem, changed_files, read_rdm_study, stop_on
from brainalign.datasets.formats import rdm_copies, write_stimulus_images
from brainalign.io import write_table
from brainalign.workflow import Job


def prepare_rdms(job: Job) -> None:
    """Check published dissimilarities and save them; write their images, with a table, where models find them."""
    descriptor = job.study()
    stop_on([Problem(descriptor.name, line) for line in changed_files(descriptor)])
    study = read_rdm_study(descriptor)
    copies = rdm_copies(study.sets)
    stop_on(copies)
    place = job.outputs["stimuli"]
    table = study.stimuli if study.images is None else write_stimulus_images(study, place.parent)
    write_table(place, table)
    job.save(
        "references",
        Arrays(study.sets | {f"model_{name}": values for name, values in study.models.items()}),
        sets=list(study.sets),
        warnings=[str(problem) for problem in copies],
        models=list(study.models),
        stimuli=study.stimuli["stimulus_id"].tolist(),
        categories=study.stimuli["category"].tolist() if "category" in study.stimuli else ["stimuli"] * len(table),
        shapes="sets (n_subjects, n_sessions, n_pairs), models (n_pairs,); row-major upper triangle",
    )
