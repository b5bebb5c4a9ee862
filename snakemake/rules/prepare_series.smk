# Region series of many people, from files or simulated.
rule prepare_series:
    input:
        code="pipelines/prepare/prepare_series.py",
        descriptor=lambda wildcards: ancient(SETTINGS.datasets[wildcards.dataset].descriptor),
        raw=lambda wildcards: DESCRIPTORS[wildcards.dataset].inputs(),
    output:
        series=files("series"),
        people=files("people"),
    log:
        log_path(RESULTS, "{dataset}", "prepare_series"),
    benchmark:
        log_path(RESULTS, "{dataset}", "prepare_series").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(SERIES),
    threads: 1
    resources:
        mem_mb=memory("prepare_series"),
        runtime=minutes("prepare_series"),
    params:
        settings=lambda wildcards: settings_of(descriptor=DESCRIPTORS[wildcards.dataset].prepare_options()),
        library=library_digest(*STAGES["prepare_series"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.prepare.prepare_series --descriptor {input.descriptor:q}"
        " --settings {params.settings:q} --seed {params.seed} --series {output.series[0]:q}"
        " --people {output.people[0]:q} > {log:q} 2>&1"
