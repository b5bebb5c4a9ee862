# M/EEG recordings of one subject: epochs with a category each.
rule prepare_recordings:
    input:
        code="pipelines/prepare/prepare_recordings.py",
        descriptor=lambda wildcards: ancient(SETTINGS.datasets[wildcards.dataset].descriptor),
        raw=lambda wildcards: DESCRIPTORS[wildcards.dataset].inputs(wildcards.subject),
    output:
        responses=files("responses", subject="{subject}"),
    log:
        log_path(RESULTS, "{dataset}", "prepare_recordings", subject="{subject}"),
    benchmark:
        log_path(RESULTS, "{dataset}", "prepare_recordings", subject="{subject}").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(RECORDINGS),
    threads: 1
    resources:
        mem_mb=memory("prepare_recordings"),
        runtime=minutes("prepare_recordings"),
    params:
        settings=lambda wildcards: settings_of(
            descriptor=DESCRIPTORS[wildcards.dataset].prepare_options(wildcards.subject)
        ),
        library=library_digest(*STAGES["prepare_recordings"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.prepare.prepare_recordings --descriptor {input.descriptor:q}"
        " --subject {wildcards.subject:q} --settings {params.settings:q} --seed {params.seed}"
        " --responses {output.responses[0]:q} > {log:q} 2>&1"
