# Networks aligned with odd-one-out judgements: a teacher that learns from people, students that learn from it.
rule align:
    input:
        code="pipelines/compare/align.py",
        shared="pipelines/compare/concepts.py",
        triplets=lambda wildcards: of("triplets", wildcards),
        concepts=lambda wildcards: of("concepts", wildcards),
        features=aligned_features,
        regions=beside_concepts,
    output:
        **{name: files(name) for name in ALIGNMENT},
    log:
        log_path(RESULTS, "{dataset}", "align"),
    benchmark:
        log_path(RESULTS, "{dataset}", "align").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(ALIGNED),
    threads: 1
    resources:
        mem_mb=memory("align"),
        runtime=minutes("align"),
        gpu=int(SETTINGS.concepts.device == "cuda"),
    params:
        settings=settings_of(align=SETTINGS.align, concepts=SETTINGS.concepts),
        library=library_digest(*STAGES["align"]),
        seed=SETTINGS.seed,
        regions=lambda wildcards, input: f"--regions {shlex.join(input.regions)}" if input.regions else "",
    shell:
        "python -P -m brainalign.pipelines.compare.align --settings {params.settings:q} --seed {params.seed}"
        " --triplets {input.triplets:q} --concepts {input.concepts:q} --features {input.features:q} {params.regions}"
        " --aligned {output.aligned[0]:q} --alignment {output.alignment[0]:q}"
        " --alignedregions {output.alignedregions[0]:q} > {log:q} 2>&1"
