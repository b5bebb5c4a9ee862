"""report_images: everything the other stages left for one subject who saw images, as one self-contained page.

Its settings are the whole configuration. With --incomplete, after a failure: a page per subject on whatever there is,
with an errors section.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Arrays, Responses
from brainalign.checks import BrainalignError
from brainalign.config import Config
from brainalign.io import Provenance, artifact_path, load, load_sidecar, open_picture, read_parquet, read_text_table
from brainalign.pipelines.report.report import report_subjects, write_report
from brainalign.report import (
    CAPTION_TABLES,
    DECODED_TABLES,
    GROUNDING_TABLES,
    SYNTHESIS_TABLES,
    DecodedTimes,
    Failure,
    FoundDirections,
    ImageEncoding,
    ImageMaterial,
    SynthesisedImages,
    render_image_page,
)
from brainalign.study import ImageStudy, load_descriptor

T = TypeVar("T")
THUMBNAIL = 96  # pixels


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the stage."""
    return report_subjects("report_images", __doc__, ImageStudy, _write, argv)


def _write(config: Config, dataset: str, subject: str, failures: list[Failure], provenance: Provenance) -> None:
    material = _gather(config, dataset, subject, failures, provenance)
    page = render_image_page(material)
    write_report(page, material.descriptor, config.results, dataset, subject, incomplete=bool(material.failures))


def _gather(
    config: Config, dataset: str, subject: str, failures: list[Failure], provenance: Provenance
) -> ImageMaterial:
    descriptor = load_descriptor(config.datasets[dataset].descriptor, ImageStudy, raw=config.raw_folder(dataset))
    material = ImageMaterial(config, dataset, descriptor, subject, failures=failures)
    out_of_date = {(failure.stage, failure.job) for failure in failures}

    def fetch(suffix: str, kind: type[T], **labels: str) -> T | None:
        path = artifact_path(config.results, dataset, suffix, **labels)
        try:
            record = load_sidecar(path)
            if (record["stage"], ", ".join(f"{key} {value}" for key, value in labels.items())) in out_of_date:
                return None
            content = load(path, kind, provenance) if kind is not object else None
        except BrainalignError:
            if failures:
                return None
            raise
        material.sidecars[path.name] = record
        return content

    material.responses = fetch("responses", Responses, subject=subject)
    material.splits = fetch("splits", pd.DataFrame, subject=subject)
    material.ceiling = fetch("ceiling", pd.DataFrame, subject=subject)
    for model in config.models_of(dataset):
        fetch("features", object, model=model)
    for model, method in config.fits_of(dataset, subject):
        labels = {"subject": subject, "model": model, "method": method}
        tables = {
            suffix: fetch(suffix, pd.DataFrame, **labels)
            for suffix in ("scores", "profile", "preference", "clusters", "partition", "baselines", "ensemble", "curve")
        }
        fields = fetch("fields", Arrays, **labels)
        if config.pretraining_of(method):
            fetch("network", object, **labels)
        whole = {suffix: table for suffix, table in tables.items() if table is not None}
        if len(whole) == len(tables):
            material.encodings[model, method] = ImageEncoding(**whole, fields=fields)
            wanted = material.fields_of(model, method)["stimuli"]
            material.pictures |= _pictures(descriptor, [name for name in wanted if name not in material.pictures])
    material.rdms = fetch("rdm", Arrays, subject=subject)
    material.comparison = fetch("comparison", pd.DataFrame, subject=subject)
    if subject in descriptor.decoded:
        found = {suffix: fetch(suffix, pd.DataFrame, subject=subject) for suffix in DECODED_TABLES}
        squares = fetch("timesquares", Arrays, subject=subject)
        known = {suffix: table for suffix, table in found.items() if table is not None}
        if squares is not None and len(known) == len(found):
            material.decoded = DecodedTimes(known, squares, material.details("timesquares"))
    for model in config.searchlights_of(dataset, descriptor, subject):
        searchlight = fetch("searchlight", pd.DataFrame, subject=subject, model=model)
        if searchlight is not None:
            material.searchlights[model] = searchlight
    if config.synthesises(dataset, descriptor, subject):
        fetch("guides", object, subject=subject)
        made = {suffix: fetch(suffix, pd.DataFrame, subject=subject) for suffix in SYNTHESIS_TABLES}
        images = fetch("synthesized", Arrays, subject=subject)
        whole = {suffix: table for suffix, table in made.items() if table is not None}
        if images is not None and len(whole) == len(made):
            table, gains, steps = (whole[suffix] for suffix in SYNTHESIS_TABLES)
            about = material.details("synthesized")
            material.synthesised = SynthesisedImages(images["images"], table, gains, steps, about, about["cost"])
    if config.directs(dataset, descriptor, subject):
        fetch("directions", object, subject=subject)
        scores = fetch("directionscores", pd.DataFrame, subject=subject)
        images = fetch("directionimages", Arrays, subject=subject)
        if scores is not None and images is not None:
            cosines = pd.DataFrame(material.details("directionscores")["cosines"])
            material.directions = FoundDirections(images["images"], scores, cosines)
    if subject in config.captioned(dataset, descriptor):
        words = {suffix: fetch(suffix, pd.DataFrame, subject=subject) for suffix in CAPTION_TABLES}
        said = {suffix: table for suffix, table in words.items() if table is not None}
        material.captions = said if len(said) == len(words) else {}
    if subject in config.grounded(dataset, descriptor):
        fetch("grounding", object)
        about = {suffix: fetch(suffix, pd.DataFrame) for suffix in GROUNDING_TABLES}
        known_words = {suffix: table for suffix, table in about.items() if table is not None}
        material.grounded_words = fetch("groundedwords", Arrays)
        material.grounded_regions = fetch("groundedregions", pd.DataFrame, subject=subject)
        if material.grounded_words is not None and len(known_words) == len(about):
            material.grounding = known_words
            wanted = material.details("groundedwords")["shown_stimuli"]
            material.pictures |= _pictures(descriptor, [name for name in wanted if name not in material.pictures])
    material.summary = fetch("summary", pd.DataFrame, subject=subject)
    material.differences = fetch("differences", pd.DataFrame, subject=subject)
    material.recovery = fetch("recovery", pd.DataFrame, subject=subject)
    material.contest = fetch("contest", pd.DataFrame, subject=subject)
    material.winners = fetch("winners", pd.DataFrame, subject=subject)
    return material


def _pictures(descriptor: ImageStudy, names: Sequence[str]) -> dict[str, NDArray[np.uint8]]:
    """Return small copies of some images; those that are no longer there are left out."""
    if not names:
        return {}
    table = descriptor.locate(descriptor.images, "images")
    stimuli = read_parquet(table) if table.suffix == ".parquet" else read_text_table(table)
    paths = stimuli.set_index("stimulus_id")["path"]
    found = {}
    for name in names:
        path = table.parent / str(paths.get(name, ""))
        if path.is_file():
            image = open_picture(path).convert("RGB")
            found[name] = np.asarray(image.resize((THUMBNAIL, THUMBNAIL)), dtype=np.uint8)
    return found


if __name__ == "__main__":
    raise SystemExit(main())
