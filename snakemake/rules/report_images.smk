# Everything about one subject who saw images, as one self-contained page.
rule report_images:
    input:
        code="pipelines/report/report_images.py",
        shared="pipelines/report/report.py",
        descriptor=lambda wildcards: SETTINGS.datasets[wildcards.dataset].descriptor,
        prepared=artifacts("responses", "splits", "ceiling"),
        scores=encodings_of("scores"),
        null=encodings_of("null"),
        profile=encodings_of("profile"),
        preference=encodings_of("preference"),
        clusters=encodings_of("clusters"),
        partition=encodings_of("partition"),
        baselines=encodings_of("baselines"),
        ensemble=encodings_of("ensemble"),
        fields=encodings_of("fields"),
        curve=encodings_of("curve"),
        networks=networks_of,
        features=features_of,
        compared=artifacts("rdm", "comparison"),
        decoded=decoded_of,
        searchlights=searchlights_of,
        synthesis=synthesis_of,
        directions=directions_of,
        captions=captions_of_voxels,
        grounding=grounding_of,
        summarized=artifacts("summary", "recovery", "contest", "winners"),
    output:
        page=report(
            report_path(RESULTS, "{dataset}", "{subject}"),
            caption="../report/subject.rst",
            category="report",
            labels={"dataset": "{dataset}", "subject": "{subject}"},
        ),
    log:
        log_path(RESULTS, "{dataset}", "report_images", subject="{subject}"),
    benchmark:
        log_path(RESULTS, "{dataset}", "report_images", subject="{subject}").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(IMAGES),
    threads: 1
    resources:
        mem_mb=memory("report_images"),
        runtime=minutes("report_images"),
    params:
        settings=whole_configuration(),
        library=library_digest(*STAGES["report_images"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.report.report_images --settings {params.settings:q} --dataset {wildcards.dataset:q}"
        " --subject {wildcards.subject:q} > {log:q} 2>&1"
