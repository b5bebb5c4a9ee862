# Words for the voxels of one subject, scored on the test images.
rule caption:
    input:
        code="pipelines/synthesize/caption.py",
        prepared=artifacts("responses", "splits", "ceiling"),
        features=lambda wildcards: of("features", wildcards, model=SETTINGS.caption.model),
        other=caption_files(),
    output:
        captions=files("captions", subject="{subject}"),
        scores=files("captionscores", subject="{subject}"),
        temperatures=files("captiontemperatures", subject="{subject}"),
    log:
        log_path(RESULTS, "{dataset}", "caption", subject="{subject}"),
    benchmark:
        log_path(RESULTS, "{dataset}", "caption", subject="{subject}").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(IMAGES),
    threads: 1
    resources:
        mem_mb=memory("caption"),
        runtime=minutes("caption"),
    params:
        settings=settings_of(
            caption=SETTINGS.caption.model_dump(mode="json", exclude={"subjects"}),
            model=SETTINGS.extractor_of(SETTINGS.caption.model) if SETTINGS.caption.model else {},
            ceiling_threshold=SETTINGS.ceiling_threshold,
            confidence=SETTINGS.confidence,
        ),
        library=library_digest(*STAGES["caption"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.synthesize.caption --settings {params.settings:q} --seed {params.seed}"
        " --responses {input.prepared[0]:q} --splits {input.prepared[1]:q} --ceiling {input.prepared[2]:q}"
        " --features {input.features:q} --captions {output.captions[0]:q} --captionscores {output.scores[0]:q}"
        " --captiontemperatures {output.temperatures[0]:q} > {log:q} 2>&1"
