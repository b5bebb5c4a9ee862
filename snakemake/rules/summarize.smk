# Every score of one subject to one table of headline numbers.
rule summarize:
    input:
        code="pipelines/summarize/summarize.py",
        responses=artifacts("responses"),
        splits=artifacts("splits"),
        scores=encodings_of("scores"),
        identification=encodings_of("identification"),
        null=encodings_of("null"),
    output:
        decoding=files("decoding", subject="{subject}"),
        summary=files("summary", subject="{subject}"),
    log:
        log_path(RESULTS, "{dataset}", "summarize", subject="{subject}"),
    benchmark:
        log_path(RESULTS, "{dataset}", "summarize", subject="{subject}").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(BLOCKS),
    threads: 1
    resources:
        mem_mb=memory("summarize"),
        runtime=minutes("summarize"),
    params:
        settings=settings_of(
            summarize=SETTINGS.summarize, confidence=SETTINGS.confidence, ceiling_threshold=SETTINGS.ceiling_threshold
        ),
        library=library_digest(*STAGES["summarize"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.summarize.summarize --settings {params.settings:q} --seed {params.seed}"
        " --responses {input.responses:q} --splits {input.splits:q} --scores {input.scores:q} --identification {input.identification:q}"
        " --null {input.null:q} --decoding {output.decoding[0]:q} --summary {output.summary[0]:q} > {log:q} 2>&1"
