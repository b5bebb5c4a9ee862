# The same images in several modalities: recordings, trials and images, checked; simulated files are written first.
rule prepare_modalities:
    input:
        code="pipelines/prepare/prepare_modalities.py",
        descriptor=lambda wildcards: ancient(SETTINGS.datasets[wildcards.dataset].descriptor),
        raw=lambda wildcards: DESCRIPTORS[wildcards.dataset].inputs(),
    output:
        **{name: files(name) for name in MODALITIES},
    log:
        log_path(RESULTS, "{dataset}", "prepare_modalities"),
    benchmark:
        log_path(RESULTS, "{dataset}", "prepare_modalities").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(SHARED),
    threads: 1
    resources:
        mem_mb=memory("prepare_modalities"),
        runtime=minutes("prepare_modalities"),
    params:
        settings=lambda wildcards: settings_of(descriptor=DESCRIPTORS[wildcards.dataset].prepare_options()),
        images=images_changed,
        library=library_digest(*STAGES["prepare_modalities"]),
        seed=SETTINGS.seed,
        raw=lambda wildcards: SETTINGS.raw_folder(wildcards.dataset),
    shell:
        "python -P -m brainalign.pipelines.prepare.prepare_modalities --descriptor {input.descriptor:q} --raw {params.raw:q}"
        " --settings {params.settings:q} --seed {params.seed} --modalities {output.modalities[0]:q}"
        " --modalitytrials {output.modalitytrials[0]:q} --modalitystimuli {output.modalitystimuli[0]:q} > {log:q} 2>&1"
