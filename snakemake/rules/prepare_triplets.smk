# Odd-one-out judgements and the table of their objects.
rule prepare_triplets:
    input:
        code="pipelines/prepare/prepare_triplets.py",
        descriptor=lambda wildcards: ancient(SETTINGS.datasets[wildcards.dataset].descriptor),
        raw=lambda wildcards: DESCRIPTORS[wildcards.dataset].all_files(),
    output:
        triplets=files("triplets"),
        stimuli=raw_file("stimuli/stimuli.tsv"),
    log:
        log_path(RESULTS, "{dataset}", "prepare_triplets"),
    benchmark:
        log_path(RESULTS, "{dataset}", "prepare_triplets").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(TRIPLETS),
    threads: 1
    resources:
        mem_mb=memory("prepare_triplets"),
        runtime=minutes("prepare_triplets"),
    params:
        settings=lambda wildcards: settings_of(descriptor=DESCRIPTORS[wildcards.dataset].prepare_options()),
        library=library_digest(*STAGES["prepare_triplets"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.prepare.prepare_triplets --descriptor {input.descriptor:q}"
        " --settings {params.settings:q} --seed {params.seed} --triplets {output.triplets[0]:q}"
        " --stimuli {output.stimuli:q} > {log:q} 2>&1"
