# Headline numbers of one subject, and what was planted against what was recovered.
rule summarize_images:
    input:
        code="pipelines/summarize/summarize_images.py",
        scores=encodings_of("scores"),
        profile=encodings_of("profile"),
        preference=encodings_of("preference"),
        null=encodings_of("null"),
        draws=encodings_of("draws"),
        ceiling=artifacts("ceiling"),
        responses=artifacts("responses"),
        truth=lambda wildcards: raw_of(wildcards) if wildcards.dataset in SIMULATED else [],
    output:
        summary=files("summary", subject="{subject}"),
        recovery=files("recovery", subject="{subject}"),
        differences=files("differences", subject="{subject}"),
        contest=files("contest", subject="{subject}"),
        winners=files("winners", subject="{subject}"),
    log:
        log_path(RESULTS, "{dataset}", "summarize_images", subject="{subject}"),
    benchmark:
        log_path(RESULTS, "{dataset}", "summarize_images", subject="{subject}").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(IMAGES),
    threads: 1
    resources:
        mem_mb=memory("summarize_images"),
        runtime=minutes("summarize_images"),
    params:
        settings=lambda wildcards: settings_of(
            summarize=SETTINGS.summarize,
            confidence=SETTINGS.confidence,
            ceiling_threshold=SETTINGS.ceiling_threshold,
            contest=SETTINGS.contest_of(wildcards.dataset, DESCRIPTORS[wildcards.dataset], wildcards.subject),
        ),
        library=library_digest(*STAGES["summarize_images"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.summarize.summarize_images --settings {params.settings:q} --seed {params.seed}"
        " --responses {input.responses:q} --ceiling {input.ceiling:q} --scores {input.scores:q} --profile {input.profile:q} --preference {input.preference:q}"
        " --null {input.null:q} --draws {input.draws:q} --contest {output.contest[0]:q} --winners {output.winners[0]:q}"
        " --truth {input.truth:q} --summary {output.summary[0]:q} --recovery {output.recovery[0]:q} --differences {output.differences[0]:q} > {log:q} 2>&1"
