# A study with planted truth: files in the formats of real ones.
rule simulate:
    input:
        code="pipelines/prepare/simulate.py",
        descriptor=lambda wildcards: ancient(SETTINGS.datasets[wildcards.dataset].descriptor),
    output:
        listing=raw_file("simulated.json"),
        stimuli=raw_file("stimuli/stimuli.tsv"),
    log:
        log_path(RESULTS, "{dataset}", "simulate"),
    benchmark:
        log_path(RESULTS, "{dataset}", "simulate").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(SIMULATED),
    priority: 2
    threads: 1
    resources:
        mem_mb=memory("simulate"),
        runtime=minutes("simulate"),
    params:
        settings=lambda wildcards: settings_of(simulate=DESCRIPTORS[wildcards.dataset].simulate),
        folder=lambda wildcards: raw_file("", wildcards.dataset),
        library=library_digest(*STAGES["simulate"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.prepare.simulate --settings {params.settings:q} --seed {params.seed}"
        " --folder {params.folder:q} > {log:q} 2>&1"
