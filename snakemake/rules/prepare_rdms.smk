# Published dissimilarity matrices and their images, unpacked.
rule prepare_rdms:
    input:
        code="pipelines/prepare/prepare_rdms.py",
        descriptor=lambda wildcards: ancient(SETTINGS.datasets[wildcards.dataset].descriptor),
        raw=lambda wildcards: DESCRIPTORS[wildcards.dataset].found_files().values(),
    output:
        references=files("references"),
        stimuli=raw_file("stimuli/stimuli.tsv"),
    log:
        log_path(RESULTS, "{dataset}", "prepare_rdms"),
    benchmark:
        log_path(RESULTS, "{dataset}", "prepare_rdms").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(RDMS),
    threads: 1
    resources:
        mem_mb=memory("prepare_rdms"),
        runtime=minutes("prepare_rdms"),
    params:
        settings=lambda wildcards: settings_of(descriptor=DESCRIPTORS[wildcards.dataset].extract_options()),
        library=library_digest(*STAGES["prepare_rdms"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.prepare.prepare_rdms --descriptor {input.descriptor:q} --settings {params.settings:q}"
        " --seed {params.seed} --references {output.references[0]:q} --stimuli {output.stimuli:q} > {log:q} 2>&1"
