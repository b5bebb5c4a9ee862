# The geometry of every neighbourhood of the brain against that of one model's layers.
rule searchlight:
    input:
        code="pipelines/compare/searchlight.py",
        responses=artifacts("responses"),
        splits=lambda wildcards: of("splits", wildcards) if wildcards.dataset in IMAGES else [],
        noise=lambda wildcards: of("noise", wildcards) if wildcards.dataset in BLOCKS else [],
        mask=lambda wildcards: of("mask", wildcards) if wildcards.dataset in BLOCKS else [],
        features=lambda wildcards: of("features", wildcards, model=wildcards.model),
        meshes=[str(path) for path in SETTINGS.searchlight.meshes.values()],
    output:
        searchlight=files("searchlight", subject="{subject}", model="{model}"),
    log:
        log_path(RESULTS, "{dataset}", "searchlight", subject="{subject}", model="{model}"),
    benchmark:
        log_path(RESULTS, "{dataset}", "searchlight", subject="{subject}", model="{model}").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(BLOCKS + IMAGES),
    threads: 1
    resources:
        mem_mb=memory("searchlight"),
        runtime=minutes("searchlight"),
    params:
        settings=settings_of(searchlight=SETTINGS.searchlight.model_dump(mode="json", exclude={"models", "subjects"})),
        study=lambda wildcards, input: " ".join(
            f"--{name} {shlex.quote(str(getattr(input, name)))}"
            for name in ("splits", "noise", "mask")
            if getattr(input, name)
        ),
        library=library_digest(*STAGES["searchlight"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.compare.searchlight --settings {params.settings:q} --seed {params.seed}"
        " --responses {input.responses:q} {params.study} --features {input.features:q}"
        " --searchlight {output.searchlight[0]:q} > {log:q} 2>&1"
