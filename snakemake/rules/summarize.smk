# Every score of one subject to one table of headline numbers.
rule summarize:
    input:
        code="pipelines/summarize.py",
        splits=artifacts("splits"),
        scores=encodings_of("scores"),
        identification=encodings_of("identification"),
        null=encodings_of("null"),
        decoding=artifacts("decoding"),
    output:
        summary=files("summary", subject="{subject}"),
    log:
        log_path(RESULTS, "{dataset}", "summarize", subject="{subject}"),
    benchmark:
        log_path(RESULTS, "{dataset}", "summarize", subject="{subject}").with_suffix(
            ".tsv"
        )
    threads: 1
    resources:
        mem_mb=memory("summarize"),
        runtime=minutes("summarize"),
    params:
        settings=quoted(summarize=SETTINGS.summarize),
        library=library_digest(*STAGES["summarize"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.summarize --settings {params.settings} --seed {params.seed}"
        " --splits {input.splits:q} --scores {input.scores:q} --identification {input.identification:q}"
        " --null {input.null:q} --decoding {input.decoding:q} --summary {output.summary[0]:q} > {log:q} 2>&1"
