# How far networks converge with the brain, beside their twins of random weights.
rule converge:
    input:
        code="pipelines/encode/converge.py",
        halves=lambda wildcards: halves_of(wildcards),
        maps=str(SETTINGS.converge.maps) if SETTINGS.converge.maps else [],
    output:
        convergence=files("convergence"),
        areas=files("areas"),
        latencies=files("latencies"),
        curves=files("curves"),
        halftimes=files("halftimes"),
        correlations=files("maps"),
    log:
        log_path(RESULTS, "{dataset}", "converge"),
    benchmark:
        log_path(RESULTS, "{dataset}", "converge").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(CONVERGED),
    threads: 1
    resources:
        mem_mb=memory("converge"),
        runtime=minutes("converge"),
    params:
        settings=lambda wildcards: settings_of(
            converge=SETTINGS.convergence_of(wildcards.dataset), confidence=SETTINGS.confidence
        ),
        maps=lambda wildcards, input: f"--maps {shlex.quote(input.maps)}" if input.maps else "",
        library=library_digest(*STAGES["converge"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.encode.converge --settings {params.settings:q} --seed {params.seed}"
        " --halves {input.halves:q} {params.maps} --convergence {output.convergence[0]:q} --areas {output.areas[0]:q}"
        " --latencies {output.latencies[0]:q} --curves {output.curves[0]:q} --halftimes {output.halftimes[0]:q}"
        " --correlations {output.correlations[0]:q} > {log:q} 2>&1"
