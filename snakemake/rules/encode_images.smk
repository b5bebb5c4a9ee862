# One method on one model's features for one subject, scored on images held out.
rule encode_images:
    input:
        code="pipelines/encode/encode_images.py",
        responses=artifacts("responses"),
        splits=artifacts("splits"),
        ceiling=artifacts("ceiling"),
        features=lambda wildcards: of("features", wildcards, model=wildcards.model),
        semantics=semantics_of,
        cls=cls_of,
        network=networks_of,
        texts=lambda wildcards: weights_of(wildcards) if SETTINGS.texts_of(wildcards.model, wildcards.method) else [],
    output:
        scores=files("scores", subject="{subject}", model="{model}", method="{method}"),
        null=files("null", subject="{subject}", model="{model}", method="{method}"),
        profile=files("profile", subject="{subject}", model="{model}", method="{method}"),
        preference=files("preference", subject="{subject}", model="{model}", method="{method}"),
        clusters=files("clusters", subject="{subject}", model="{model}", method="{method}"),
        bands=files("bands", subject="{subject}", model="{model}", method="{method}"),
        partition=files("partition", subject="{subject}", model="{model}", method="{method}"),
        baselines=files("baselines", subject="{subject}", model="{model}", method="{method}"),
        ensemble=files("ensemble", subject="{subject}", model="{model}", method="{method}"),
        fields=files("fields", subject="{subject}", model="{model}", method="{method}"),
        draws=files("draws", subject="{subject}", model="{model}", method="{method}"),
        halves=files("halves", subject="{subject}", model="{model}", method="{method}"),
        curve=files("curve", subject="{subject}", model="{model}", method="{method}"),
    log:
        log_path(RESULTS, "{dataset}", "encode_images", subject="{subject}", model="{model}", method="{method}"),
    benchmark:
        log_path(
            RESULTS, "{dataset}", "encode_images", subject="{subject}", model="{model}", method="{method}"
        ).with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(IMAGES),
    threads: 1
    resources:
        mem_mb=memory("encode_images"),
        runtime=minutes("encode_images"),
        gpu=lambda wildcards: int(wants_gpu(SETTINGS, wildcards.method)),
    params:
        settings=lambda wildcards: settings_of(
            method=SETTINGS.encoder_of(wildcards.method),
            encode=SETTINGS.encode_images,
            ceiling_threshold=SETTINGS.ceiling_threshold,
            confidence=SETTINGS.confidence,
            **SETTINGS.texts_of(wildcards.model, wildcards.method),
        ),
        semantics=lambda wildcards, input: f"--semantics {shlex.quote(input.semantics)}" if input.semantics else "",
        cls=lambda wildcards, input: f"--cls {shlex.quote(input.cls)}" if input.cls else "",
        network=lambda wildcards, input: f"--network {shlex.quote(str(input.network))}" if input.network else "",
        library=library_digest(*STAGES["encode_images"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.encode.encode_images --settings {params.settings:q} --seed {params.seed}"
        " --responses {input.responses:q} --splits {input.splits:q} --ceiling {input.ceiling:q} --features {input.features:q}"
        " --scores {output.scores[0]:q} --null {output.null[0]:q} --profile {output.profile[0]:q}"
        " --preference {output.preference[0]:q} --clusters {output.clusters[0]:q}"
        " --bands {output.bands[0]:q} --partition {output.partition[0]:q} --baselines {output.baselines[0]:q}"
        " --ensemble {output.ensemble[0]:q} --fields {output.fields[0]:q} --draws {output.draws[0]:q}"
        " --halves {output.halves[0]:q} --curve {output.curve[0]:q} {params.semantics} {params.cls} {params.network}"
        " > {log:q} 2>&1"
