# Raw recordings of one subject to responses, splits, ceiling, mask and background image.
rule prepare:
    input:
        code="pipelines/prepare/prepare.py",
        # What matters in the descriptor is in the settings: a corrected title reruns nothing.
        descriptor=lambda wildcards: ancient(SETTINGS.datasets[wildcards.dataset].descriptor),
        raw=lambda wildcards: DESCRIPTORS[wildcards.dataset].files(wildcards.subject).values(),
    output:
        responses=files("responses", subject="{subject}"),
        splits=files("splits", subject="{subject}"),
        ceiling=files("ceiling", subject="{subject}"),
        noise=files("noise", subject="{subject}"),
        mask=files("mask", subject="{subject}"),
        bold=files("bold", subject="{subject}"),
    log:
        log_path(RESULTS, "{dataset}", "prepare", subject="{subject}"),
    benchmark:
        log_path(RESULTS, "{dataset}", "prepare", subject="{subject}").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(BLOCKS),
    threads: 1
    resources:
        mem_mb=memory("prepare"),
        runtime=minutes("prepare"),
    params:
        settings=lambda wildcards: settings_of(
            prepare=SETTINGS.prepare,
            descriptor=DESCRIPTORS[wildcards.dataset].prepare_options(wildcards.subject),
        ),
        library=library_digest(*STAGES["prepare"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.prepare.prepare --descriptor {input.descriptor:q} --subject {wildcards.subject:q}"
        " --settings {params.settings:q} --seed {params.seed} --responses {output.responses[0]:q}"
        " --splits {output.splits[0]:q} --ceiling {output.ceiling[0]:q} --noise {output.noise[0]:q} --mask {output.mask[0]:q}"
        " --bold {output.bold[0]:q} > {log:q} 2>&1"
