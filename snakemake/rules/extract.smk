# Stimuli of a dataset to features of one model.
rule extract:
    input:
        code="pipelines/features/extract.py",
        descriptor=lambda wildcards: ancient(SETTINGS.datasets[wildcards.dataset].descriptor),
        weights=weights_of,
        stimuli=images_of,
        captions=captions_of,
    output:
        features=files("features", model="{model}"),
    log:
        log_path(RESULTS, "{dataset}", "extract", model="{model}"),
    benchmark:
        log_path(RESULTS, "{dataset}", "extract", model="{model}").with_suffix(".tsv")
    priority: 1
    threads: 1
    resources:
        mem_mb=memory("extract"),
        runtime=minutes("extract"),
    params:
        settings=lambda wildcards: settings_of(
            model=SETTINGS.extractor_of(wildcards.model), descriptor=DESCRIPTORS[wildcards.dataset].extract_options()
        ),
        images=images_changed,
        library=library_digest(*STAGES["extract"]),
        seed=SETTINGS.seed,
        stimuli=lambda wildcards, input: f"--stimuli {shlex.quote(input.stimuli[0])}" if input.stimuli else "",
        captions=lambda wildcards, input: f"--captions {shlex.quote(input.captions[0])}" if input.captions else "",
    shell:
        "python -P -m brainalign.pipelines.features.extract --descriptor {input.descriptor:q} --settings {params.settings:q}"
        " --seed {params.seed} {params.stimuli} {params.captions} --features {output.features[0]:q} > {log:q} 2>&1"
