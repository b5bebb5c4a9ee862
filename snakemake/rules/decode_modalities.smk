# EEG, MEG and fMRI in one space with the images, beside ridge, single networks and nulls.
rule decode_modalities:
    input:
        code="pipelines/decode/decode_modalities.py",
        tables=lambda wildcards: [of(suffix, wildcards) for suffix in MODALITIES],
        features=vectors_of_images,
    output:
        **{name: files(name) for name in ("sharedspace", *SPACE)},
        weights=RESULTS / "{dataset}" / "group" / "modalities" / "weights.safetensors",
    log:
        log_path(RESULTS, "{dataset}", "decode_modalities"),
    benchmark:
        log_path(RESULTS, "{dataset}", "decode_modalities").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(SHARED),
    threads: 1
    resources:
        mem_mb=memory("decode_modalities"),
        runtime=minutes("decode_modalities"),
        gpu=int(wants_device(SETTINGS.decode_modalities.device)),
    params:
        settings=settings_of(decode_modalities=SETTINGS.decode_modalities),
        library=library_digest(*STAGES["decode_modalities"]),
        seed=SETTINGS.seed,
        features=lambda wildcards, input: f"--features {shlex.join(input.features)}" if input.features else "",
    shell:
        "python -P -m brainalign.pipelines.decode.decode_modalities --settings {params.settings:q} --seed {params.seed}"
        " --modalities {input.tables[0]:q} --modalitytrials {input.tables[1]:q} --modalitystimuli {input.tables[2]:q}"
        " {params.features} --weights {output.weights:q} --sharedspace {output.sharedspace[0]:q}"
        " --spaceretrieval {output.spaceretrieval[0]:q} --spacechanges {output.spacechanges[0]:q}"
        " --spacecurve {output.spacecurve[0]:q} --spacegeometry {output.spacegeometry[0]:q} > {log:q} 2>&1"
