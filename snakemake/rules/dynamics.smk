# Neurons of one subject predicted over time by every model of the videos.
rule dynamics:
    input:
        code="pipelines/compare/dynamics.py",
        descriptor=lambda wildcards: ancient(SETTINGS.datasets[wildcards.dataset].descriptor),
        neural=lambda wildcards: DESCRIPTORS[wildcards.dataset].files(wildcards.subject)["neural"],
        videos=lambda wildcards: DESCRIPTORS[wildcards.dataset].shown(),
        rollouts=lambda wildcards: [
            str(artifact_path(RESULTS, wildcards.dataset, "rollouts", model=model))
            for model in SETTINGS.dynamics.models
        ],
    output:
        scores=files("dynamics", subject="{subject}"),
        neurons=files("dynamicsneurons", subject="{subject}"),
        folds=files("dynamicsfolds", subject="{subject}"),
        movies=files("dynamicsmovies", subject="{subject}"),
    log:
        log_path(RESULTS, "{dataset}", "dynamics", subject="{subject}"),
    benchmark:
        log_path(RESULTS, "{dataset}", "dynamics", subject="{subject}").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(VIDEOS),
    threads: 1
    resources:
        mem_mb=memory("dynamics"),
        runtime=minutes("dynamics"),
    params:
        settings=lambda wildcards: settings_of(
            dynamics=SETTINGS.dynamics.of_scores(),
            confidence=SETTINGS.confidence,
            descriptor=DESCRIPTORS[wildcards.dataset].prepare_options(wildcards.subject),
        ),
        library=library_digest(*STAGES["dynamics"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.compare.dynamics --descriptor {input.descriptor:q} --subject {wildcards.subject:q}"
        " --settings {params.settings:q} --seed {params.seed} --rollouts {input.rollouts:q}"
        " --scores {output.scores[0]:q} --neurons {output.neurons[0]:q} --folds {output.folds[0]:q}"
        " --movies {output.movies[0]:q} > {log:q} 2>&1"
