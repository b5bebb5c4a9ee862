# One rule per row of the table of steps.
for step in STEPS.values():

    rule:
        name:
            step.rule
        input:
            **inputs_of(step),
        output:
            **outputs_of(step),
        log:
            RUN.log(step.name, wildcards_of(step)),
        wildcard_constraints:
            **{name: alternatives(step, name) for name in wildcards_of(step)},
        priority: step.priority
        threads: threads_of(step)
        resources:
            mem_mb=memory(step),
            runtime=minutes(step),
            gpu=device(step),
        params:
            settings=state_of(step),
            library=code_of(step),
            seed=RUN.config.seed,
            job=file_of(step),
        shell:
            "python -P -m brainalign.pipelines {params.job:q} > {log:q} 2>&1"
