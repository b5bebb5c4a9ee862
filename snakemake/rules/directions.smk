# Directions in the middle block of the diffusion model along which a subject's regions answer more.
rule directions:
    input:
        code="pipelines/synthesize/directions.py",
        shared="pipelines/synthesize/synthesize.py",
        guides=artifacts("guides"),
        stimuli=images_of,
        features=lambda wildcards: [of("features", wildcards, model=model) for model in encoder_models()[:1]],
        weights=[path for model in encoder_models() for path in weights_of_model(model)],
        prior=prior_files(),
    output:
        directions=files("directions", subject="{subject}"),
        directionscores=files("directionscores", subject="{subject}"),
        directionimages=files("directionimages", subject="{subject}"),
    log:
        log_path(RESULTS, "{dataset}", "directions", subject="{subject}"),
    benchmark:
        log_path(RESULTS, "{dataset}", "directions", subject="{subject}").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(IMAGES),
    priority: 2
    threads: 1
    resources:
        mem_mb=memory("directions"),
        runtime=minutes("directions"),
        gpu=int(wants_device(SETTINGS.synthesize.device)),
    params:
        settings=settings_of(
            directions=SETTINGS.directions,
            synthesize=SETTINGS.synthesize.model_dump(
                mode="json", include={"prior", "guide", "check", "steps", "n_natural", "device", "save_memory"}
            ),
            models=SETTINGS.encoders_of_synthesis(),
        ),
        simulated=lambda wildcards: "--simulated" if wildcards.dataset in SIMULATED else "",
        library=library_digest(*STAGES["directions"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.synthesize.directions --settings {params.settings:q} --seed {params.seed}"
        " --guides {input.guides:q} {params.simulated} --stimuli {input.stimuli[0]:q} --features {input.features:q}"
        " --directions {output.directions[0]:q} --directionscores {output.directionscores[0]:q}"
        " --directionimages {output.directionimages[0]:q} > {log:q} 2>&1"
