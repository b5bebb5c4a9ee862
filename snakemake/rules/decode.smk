# Sentences from EEG by one decoder, with its control matrix and all that stands beside.
rule decode:
    input:
        code="pipelines/decode/decode.py",
        responses=lambda wildcards: of("responses", wildcards),
        splits=lambda wildcards: of("splits", wildcards),
        features=lambda wildcards: of("features", wildcards, model=SETTINGS.decoded_model(wildcards.dataset)),
        language=language_of,
    output:
        **{name: files(name, method="{decoder}") for name in DECODED},
    log:
        log_path(RESULTS, "{dataset}", "decode", method="{decoder}"),
    benchmark:
        log_path(RESULTS, "{dataset}", "decode", method="{decoder}").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(SENTENCES),
    threads: 1
    resources:
        mem_mb=memory("decode"),
        runtime=minutes("decode"),
        gpu=lambda wildcards: int(wants_device(SETTINGS.decode.device_of(wildcards.decoder))),
    params:
        settings=lambda wildcards: settings_of(decode=SETTINGS.decode.of(wildcards.decoder)),
        library=library_digest(*STAGES["decode"]),
        seed=SETTINGS.seed,
        tables=lambda wildcards, output: shlex.join(
            word for name in DECODED for word in (f"--{name}", output.get(name)[0])
        ),
    shell:
        "python -P -m brainalign.pipelines.decode.decode --settings {params.settings:q} --seed {params.seed}"
        " --decoder {wildcards.decoder:q} --responses {input.responses:q} --splits {input.splits:q}"
        " --features {input.features:q} {params.tables} > {log:q} 2>&1"
