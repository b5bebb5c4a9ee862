# Hidden regions filled in from visible ones, and what is learned of people from it.
rule decode_series:
    input:
        code="pipelines/decode/decode_series.py",
        series=lambda wildcards: of("series", wildcards),
        people=lambda wildcards: of("people", wildcards),
    output:
        **{name: files(name) for name in MASKED},
    log:
        log_path(RESULTS, "{dataset}", "decode_series"),
    benchmark:
        log_path(RESULTS, "{dataset}", "decode_series").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(SERIES),
    threads: 1
    resources:
        mem_mb=memory("decode_series"),
        runtime=minutes("decode_series"),
        gpu=int(wants_device(SETTINGS.decode_series.model.device)),
    params:
        settings=settings_of(decode_series=SETTINGS.decode_series, confidence=SETTINGS.confidence),
        library=library_digest(*STAGES["decode_series"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.decode.decode_series --settings {params.settings:q} --seed {params.seed}"
        " --series {input.series:q} --people {input.people:q} --maskedmodel {output.maskedmodel[0]:q}"
        " --filled {output.filled[0]:q} --filledtraces {output.filledtraces[0]:q}"
        " --regionnetworks {output.regionnetworks[0]:q} --regionmap {output.regionmap[0]:q}"
        " --personscores {output.personscores[0]:q} > {log:q} 2>&1"
