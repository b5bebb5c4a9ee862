# Words of captions grounded in the training images of a study, beside text vectors and words grounded in shuffled images.
rule ground:
    input:
        code="pipelines/decode/ground.py",
        features=lambda wildcards: of("features", wildcards, model=SETTINGS.ground.model),
        splits=over_subjects("splits"),
        captions=grounding_captions,
        norms=str(SETTINGS.ground.norms) if SETTINGS.ground.norms else [],
        texts=weights_of_model(SETTINGS.ground.text) if SETTINGS.ground.text else [],
    output:
        grounding=files("grounding"),
        words=files("groundedwords"),
        scores=files("groundedscores"),
        axes=files("groundedaxes"),
        attributes=files("groundedattributes"),
        norms=files("groundednorms"),
    log:
        log_path(RESULTS, "{dataset}", "ground"),
    benchmark:
        log_path(RESULTS, "{dataset}", "ground").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(GROUNDED),
    threads: 1
    resources:
        mem_mb=memory("ground"),
        runtime=minutes("ground"),
        gpu=int(wants_device(SETTINGS.ground.device)),
    params:
        settings=settings_of(
            ground=SETTINGS.ground.model_dump(mode="json", exclude={"subjects"}),
            text=SETTINGS.extractor_of(SETTINGS.ground.text) if SETTINGS.ground.text else {},
        ),
        captions=lambda wildcards, input: f"--captions {shlex.quote(input.captions[0])}" if input.captions else "",
        library=library_digest(*STAGES["ground"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.decode.ground --settings {params.settings:q} --seed {params.seed}"
        " --features {input.features:q} --splits {input.splits:q} {params.captions}"
        " --grounding {output.grounding[0]:q} --groundedwords {output.words[0]:q} --groundedscores {output.scores[0]:q}"
        " --groundedaxes {output.axes[0]:q} --groundedattributes {output.attributes[0]:q}"
        " --groundednorms {output.norms[0]:q} > {log:q} 2>&1"
