# What in-context encoding of one subject learns from the others: one job per held-out subject, model and method.
rule pretrain:
    input:
        code="pipelines/encode/pretrain.py",
        held_out=artifacts("splits"),
        responses=of_others("responses"),
        splits=of_others("splits"),
        features=lambda wildcards: of("features", wildcards, model=wildcards.model),
    output:
        network=files("network", subject="{subject}", model="{model}", method="{method}"),
    log:
        log_path(RESULTS, "{dataset}", "pretrain", subject="{subject}", model="{model}", method="{method}"),
    benchmark:
        log_path(
            RESULTS, "{dataset}", "pretrain", subject="{subject}", model="{model}", method="{method}"
        ).with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(IMAGES),
    priority: 2
    threads: 1
    resources:
        mem_mb=memory("pretrain"),
        runtime=minutes("pretrain"),
        gpu=lambda wildcards: int(wants_gpu(SETTINGS, wildcards.method)),
    params:
        settings=lambda wildcards: settings_of(
            method=SETTINGS.pretraining_of(wildcards.method),
            ceiling_threshold=SETTINGS.ceiling_threshold,
        ),
        library=library_digest(*STAGES["pretrain"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.encode.pretrain --settings {params.settings:q} --seed {params.seed}"
        " --held-out {input.held_out:q} --responses {input.responses:q} --splits {input.splits:q}"
        " --features {input.features:q} --network {output.network[0]:q} > {log:q} 2>&1"
