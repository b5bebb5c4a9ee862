# Features over time of one model of videos: hidden frames as it expects them.
rule rollout:
    input:
        code="pipelines/features/rollout.py",
        descriptor=lambda wildcards: ancient(SETTINGS.datasets[wildcards.dataset].descriptor),
        videos=lambda wildcards: DESCRIPTORS[wildcards.dataset].shown(),
        function=lambda wildcards: [
            place
            for place in [SETTINGS.dynamics.models[wildcards.model].function.rpartition(":")[0]]
            if place.endswith(".py")
        ],
    output:
        rollouts=files("rollouts", model="{model}"),
    log:
        log_path(RESULTS, "{dataset}", "rollout", model="{model}"),
    benchmark:
        log_path(RESULTS, "{dataset}", "rollout", model="{model}").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(VIDEOS),
        model=alternatives(SETTINGS.dynamics.models),
    threads: 1
    resources:
        mem_mb=memory("rollout"),
        runtime=minutes("rollout"),
    params:
        settings=lambda wildcards: settings_of(
            dynamics=SETTINGS.dynamics.of_rollout(wildcards.model),
            descriptor=DESCRIPTORS[wildcards.dataset].extract_options(),
        ),
        library=library_digest(*STAGES["rollout"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.features.rollout --descriptor {input.descriptor:q} --model {wildcards.model:q}"
        " --settings {params.settings:q} --seed {params.seed} --rollouts {output.rollouts[0]:q} > {log:q} 2>&1"
