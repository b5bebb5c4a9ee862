# Regions of every fMRI subject named after the geometry of the others, over all thresholds of topological RSA.
rule identify:
    input:
        code="pipelines/compare/identify.py",
        rdms=regions_of,
    output:
        regions=files("regions"),
        thresholds=files("thresholds"),
        agreement=files("agreement"),
    log:
        log_path(RESULTS, "{dataset}", "identify"),
    benchmark:
        log_path(RESULTS, "{dataset}", "identify").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(IDENTIFIED),
    threads: 1
    resources:
        mem_mb=memory("identify"),
        runtime=minutes("identify"),
    params:
        settings=settings_of(identify=SETTINGS.identify, confidence=SETTINGS.confidence),
        library=library_digest(*STAGES["identify"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.compare.identify --settings {params.settings:q} --seed {params.seed}"
        " --rdms {input.rdms:q} --regions {output.regions[0]:q} --thresholds {output.thresholds[0]:q}"
        " --agreement {output.agreement[0]:q} > {log:q} 2>&1"
