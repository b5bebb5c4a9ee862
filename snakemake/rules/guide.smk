# Encoders that images can be made with: one that guides, one that judges, and twins fitted to exchanged images.
rule guide:
    input:
        code="pipelines/synthesize/guide.py",
        responses=artifacts("responses"),
        splits=artifacts("splits"),
        ceiling=artifacts("ceiling"),
        stimuli=images_of,
        features=lambda wildcards: [of("features", wildcards, model=model) for model in encoder_models()],
        weights=[path for model in encoder_models() for path in weights_of_model(model)],
        prior=prior_files(),
    output:
        guides=files("guides", subject="{subject}"),
    log:
        log_path(RESULTS, "{dataset}", "guide", subject="{subject}"),
    benchmark:
        log_path(RESULTS, "{dataset}", "guide", subject="{subject}").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(IMAGES),
    priority: 2
    threads: 1
    resources:
        mem_mb=memory("guide"),
        runtime=minutes("guide"),
        gpu=int(wants_device(SETTINGS.synthesize.device)),
    params:
        settings=settings_of(
            synthesize=SETTINGS.synthesize.of_the_guide(),
            models=SETTINGS.encoders_of_synthesis(),
            ceiling_threshold=SETTINGS.ceiling_threshold,
        ),
        library=library_digest(*STAGES["guide"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.synthesize.guide --settings {params.settings:q} --seed {params.seed}"
        " --responses {input.responses:q} --splits {input.splits:q} --ceiling {input.ceiling:q}"
        " --stimuli {input.stimuli[0]:q} --features {input.features:q} --guides {output.guides[0]:q} > {log:q} 2>&1"
