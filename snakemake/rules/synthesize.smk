# Images that the regions of a subject would prefer, beside everything that could explain them.
rule synthesize:
    input:
        code="pipelines/synthesize/synthesize.py",
        guides=artifacts("guides"),
        stimuli=images_of,
        features=lambda wildcards: [of("features", wildcards, model=model) for model in encoder_models()[:1]],
        weights=[path for model in encoder_models() for path in weights_of_model(model)],
        prior=prior_files(),
        captions=prompting_captions,
    output:
        synthesized=files("synthesized", subject="{subject}"),
        synthesis=files("synthesis", subject="{subject}"),
        synthesisgains=files("synthesisgains", subject="{subject}"),
        synthesissteps=files("synthesissteps", subject="{subject}"),
        image=files("image", subject="{subject}"),
    log:
        log_path(RESULTS, "{dataset}", "synthesize", subject="{subject}"),
    benchmark:
        log_path(RESULTS, "{dataset}", "synthesize", subject="{subject}").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(IMAGES),
    priority: 2
    threads: 1
    resources:
        mem_mb=memory("synthesize"),
        runtime=minutes("synthesize"),
        gpu=int(wants_device(SETTINGS.synthesize.device)),
    params:
        settings=settings_of(
            synthesize=SETTINGS.synthesize.model_dump(mode="json", exclude={"subjects"}),
            models=SETTINGS.encoders_of_synthesis(),
            confidence=SETTINGS.confidence,
        ),
        captions=lambda wildcards, input: f"--captions {shlex.quote(input.captions[0])}" if input.captions else "",
        simulated=lambda wildcards: "--simulated" if wildcards.dataset in SIMULATED else "",
        library=library_digest(*STAGES["synthesize"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.synthesize.synthesize --settings {params.settings:q} --seed {params.seed}"
        " --guides {input.guides:q} {params.simulated} {params.captions} --stimuli {input.stimuli[0]:q} --features {input.features:q}"
        " --synthesized {output.synthesized[0]:q} --synthesis {output.synthesis[0]:q}"
        " --synthesisgains {output.synthesisgains[0]:q} --synthesissteps {output.synthesissteps[0]:q}"
        " --image {output.image[0]:q} > {log:q} 2>&1"
