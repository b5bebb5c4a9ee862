# What the subjects of a study of images share.
rule summarize_group:
    input:
        code="pipelines/summarize/summarize_group.py",
        responses=over_subjects("responses"),
        splits=over_subjects("splits"),
    output:
        ceiling=files("ceiling"),
    log:
        log_path(RESULTS, "{dataset}", "summarize_group"),
    benchmark:
        log_path(RESULTS, "{dataset}", "summarize_group").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(IMAGES),
    threads: 1
    resources:
        mem_mb=memory("summarize_group"),
        runtime=minutes("summarize_group"),
    params:
        settings=settings_of(),
        library=library_digest(*STAGES["summarize_group"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.summarize.summarize_group --settings {params.settings:q} --seed {params.seed}"
        " --responses {input.responses:q} --splits {input.splits:q} --ceiling {output.ceiling[0]:q} > {log:q} 2>&1"
