# EEG of sentences, read or simulated, a split by text, and the ledger of what was dropped.
rule prepare_sentences:
    input:
        code="pipelines/prepare/prepare_sentences.py",
        descriptor=lambda wildcards: ancient(SETTINGS.datasets[wildcards.dataset].descriptor),
        raw=lambda wildcards: DESCRIPTORS[wildcards.dataset].all_files(),
    output:
        responses=files("responses"),
        splits=files("splits"),
        ledger=files("ledger"),
        stimuli=raw_file("stimuli/stimuli.tsv"),
    log:
        log_path(RESULTS, "{dataset}", "prepare_sentences"),
    benchmark:
        log_path(RESULTS, "{dataset}", "prepare_sentences").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(SENTENCES),
    threads: 1
    resources:
        mem_mb=memory("prepare_sentences"),
        runtime=minutes("prepare_sentences"),
    params:
        settings=lambda wildcards: settings_of(descriptor=DESCRIPTORS[wildcards.dataset].prepare_options()),
        library=library_digest(*STAGES["prepare_sentences"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.prepare.prepare_sentences --descriptor {input.descriptor:q}"
        " --settings {params.settings:q} --seed {params.seed} --responses {output.responses[0]:q}"
        " --splits {output.splits[0]:q} --ledger {output.ledger[0]:q} --stimuli {output.stimuli:q} > {log:q} 2>&1"
