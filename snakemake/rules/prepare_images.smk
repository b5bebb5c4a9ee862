# Recordings of one subject who saw images: responses, splits, ceiling.
rule prepare_images:
    input:
        code="pipelines/prepare/prepare_images.py",
        descriptor=lambda wildcards: ancient(SETTINGS.datasets[wildcards.dataset].descriptor),
        raw=raw_of,
        images=images_of,
    output:
        responses=files("responses", subject="{subject}"),
        splits=files("splits", subject="{subject}"),
        ceiling=files("ceiling", subject="{subject}"),
    log:
        log_path(RESULTS, "{dataset}", "prepare_images", subject="{subject}"),
    benchmark:
        log_path(RESULTS, "{dataset}", "prepare_images", subject="{subject}").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(IMAGES),
    threads: 1
    resources:
        mem_mb=memory("prepare_images"),
        runtime=minutes("prepare_images"),
    params:
        settings=lambda wildcards: settings_of(
            prepare=SETTINGS.prepare,
            descriptor=DESCRIPTORS[wildcards.dataset].prepare_options(wildcards.subject),
        ),
        raw=lambda wildcards: raw_file("", wildcards.dataset),
        images=images_changed,
        library=library_digest(*STAGES["prepare_images"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.prepare.prepare_images --descriptor {input.descriptor:q} --raw {params.raw:q}"
        " --subject {wildcards.subject:q} --stimuli {input.images:q} --settings {params.settings:q} --seed {params.seed}"
        " --responses {output.responses[0]:q} --splits {output.splits[0]:q} --ceiling {output.ceiling[0]:q} > {log:q} 2>&1"
