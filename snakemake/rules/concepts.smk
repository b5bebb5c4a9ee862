# Embeddings of odd-one-out judgements, their dimensions, and networks and brain regions beside them.
rule concepts:
    input:
        code="pipelines/compare/concepts.py",
        triplets=lambda wildcards: of("triplets", wildcards),
        features=features_of,
        regions=beside_concepts,
    output:
        **{name: files(name) for name in CONCEPTS},
    log:
        log_path(RESULTS, "{dataset}", "concepts"),
    benchmark:
        log_path(RESULTS, "{dataset}", "concepts").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(TRIPLETS),
    threads: 1
    resources:
        mem_mb=memory("concepts"),
        runtime=minutes("concepts"),
        gpu=int(SETTINGS.concepts.device == "cuda"),
    params:
        settings=settings_of(concepts=SETTINGS.concepts),
        library=library_digest(*STAGES["concepts"]),
        seed=SETTINGS.seed,
        regions=lambda wildcards, input: f"--regions {shlex.join(input.regions)}" if input.regions else "",
    shell:
        "python -P -m brainalign.pipelines.compare.concepts --settings {params.settings:q} --seed {params.seed}"
        " --triplets {input.triplets:q} --features {input.features:q} {params.regions}"
        " --concepts {output.concepts[0]:q} --choices {output.choices[0]:q}"
        " --conceptdimensions {output.conceptdimensions[0]:q} --networks {output.networks[0]:q}"
        " --readouts {output.readouts[0]:q} --conceptregions {output.conceptregions[0]:q} > {log:q} 2>&1"
