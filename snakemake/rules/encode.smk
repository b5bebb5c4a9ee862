# One method on one model's features for one subject.
rule encode:
    input:
        code="pipelines/encode/encode.py",
        responses=artifacts("responses"),
        splits=artifacts("splits"),
        ceiling=artifacts("ceiling"),
        mask=artifacts("mask"),
        features=lambda wildcards: of("features", wildcards, model=wildcards.model),
    output:
        scores=files("scores", subject="{subject}", model="{model}", method="{method}"),
        identification=files("identification", subject="{subject}", model="{model}", method="{method}"),
        null=files("null", subject="{subject}", model="{model}", method="{method}"),
        statmap=files("statmap", subject="{subject}", model="{model}", method="{method}"),
    log:
        log_path(
            RESULTS,
            "{dataset}",
            "encode",
            subject="{subject}",
            model="{model}",
            method="{method}",
        ),
    benchmark:
        log_path(
            RESULTS,
            "{dataset}",
            "encode",
            subject="{subject}",
            model="{model}",
            method="{method}",
        ).with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(BLOCKS),
    threads: 1
    resources:
        mem_mb=memory("encode"),
        runtime=minutes("encode"),
        gpu=lambda wildcards: int(wants_gpu(SETTINGS, wildcards.method)),
    params:
        settings=lambda wildcards: settings_of(
            method=SETTINGS.encoder_of(wildcards.method),
            permute=SETTINGS.models[wildcards.model].permute,
            encode=SETTINGS.encode,
        ),
        library=library_digest(*STAGES["encode"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.encode.encode --settings {params.settings:q} --seed {params.seed}"
        " --responses {input.responses:q} --splits {input.splits:q} --ceiling {input.ceiling:q} --mask {input.mask:q}"
        " --features {input.features:q} --scores {output.scores[0]:q} --identification {output.identification[0]:q}"
        " --null {output.null[0]:q} --statmap {output.statmap[0]:q} > {log:q} 2>&1"
