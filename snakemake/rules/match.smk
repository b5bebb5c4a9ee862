# Networks beside networks: how alike their layers are, how many dimensions they use, what fills them, how categories lie.
rule match:
    input:
        code="pipelines/compare/match.py",
        features=lambda wildcards: [of("features", wildcards, model=model) for model in matched(wildcards)],
        stimuli=lambda wildcards: images_of(wildcards) if SETTINGS.match.features else [],
    output:
        similarity=files("similarity"),
        dimensions=files("dimensions"),
        featurebias=files("featurebias"),
        manifolds=files("manifolds"),
    log:
        log_path(RESULTS, "{dataset}", "match"),
    benchmark:
        log_path(RESULTS, "{dataset}", "match").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(MATCHED),
    threads: 1
    resources:
        mem_mb=memory("match"),
        runtime=minutes("match"),
    params:
        settings=lambda wildcards: settings_of(
            match=SETTINGS.matching_of(wildcards.dataset), checkpoints=SETTINGS.checkpoints_of(wildcards.dataset)
        ),
        stimuli=lambda wildcards, input: f"--stimuli {shlex.quote(input.stimuli[0])}" if input.stimuli else "",
        library=library_digest(*STAGES["match"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.compare.match --settings {params.settings:q} --seed {params.seed}"
        " --features {input.features:q} {params.stimuli} --similarity {output.similarity[0]:q}"
        " --dimensions {output.dimensions[0]:q} --featurebias {output.featurebias[0]:q}"
        " --manifolds {output.manifolds[0]:q} > {log:q} 2>&1"
