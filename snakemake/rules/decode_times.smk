# Categories decoded from the sensors of one subject, moment by moment.
rule decode_times:
    input:
        code="pipelines/decode/decode_times.py",
        responses=artifacts("responses"),
        splits=lambda wildcards: of("splits", wildcards) if wildcards.dataset in IMAGES else [],
    output:
        scores=files("timescores", subject="{subject}"),
        sensors=files("timesensors", subject="{subject}"),
        windows=files("timewindows", subject="{subject}"),
        clusters=files("timeclusters", subject="{subject}"),
        peaks=files("timepeaks", subject="{subject}"),
        squares=files("timesquares", subject="{subject}"),
    log:
        log_path(RESULTS, "{dataset}", "decode_times", subject="{subject}"),
    benchmark:
        log_path(RESULTS, "{dataset}", "decode_times", subject="{subject}").with_suffix(".tsv")
    wildcard_constraints:
        dataset=alternatives(RECORDINGS + IMAGES),
    threads: 1
    resources:
        mem_mb=memory("decode_times"),
        runtime=minutes("decode_times"),
    params:
        settings=lambda wildcards: settings_of(
            decode=SETTINGS.decode_times,
            confidence=SETTINGS.confidence,
            sensors=getattr(DESCRIPTORS[wildcards.dataset], "sensors", {}),
            windows=getattr(DESCRIPTORS[wildcards.dataset], "windows", {}),
        ),
        splits=lambda wildcards, input: f"--splits {shlex.quote(str(input.splits))}" if input.splits else "",
        library=library_digest(*STAGES["decode_times"]),
        seed=SETTINGS.seed,
    shell:
        "python -P -m brainalign.pipelines.decode.decode_times --settings {params.settings:q} --seed {params.seed}"
        " --responses {input.responses:q} {params.splits} --scores {output.scores[0]:q} --sensors {output.sensors[0]:q}"
        " --windows {output.windows[0]:q} --clusters {output.clusters[0]:q} --peaks {output.peaks[0]:q}"
        " --squares {output.squares[0]:q} > {log:q} 2>&1"
