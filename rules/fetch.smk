"""Seed data and benchmark items, from the sources that the config names.

Needs: `seeds:` and `benchmarks:` of the config; local files where an entry has a `path`.
Makes: resources/seeds/{domain}/{method}.jsonl, resources/benchmarks/{benchmark}.jsonl, and a
       manifest of source, sha256 and rows beside each.
"""


rule fetch_seeds:
    input:
        lambda wildcards: local(config["seeds"][wildcards.domain][wildcards.method]),
    output:
        rows="resources/seeds/{domain}/{method}.jsonl",
        manifest="resources/seeds/{domain}/{method}.manifest.json",
    log:
        "logs/fetch/seeds/{domain}/{method}.log",
    conda:
        "../envs/local.yaml"
    params:
        version=1,
        source=lambda wildcards: json.dumps(
            config["seeds"][wildcards.domain][wildcards.method], sort_keys=True
        ),
    shell:
        "python scripts/fetch.py seeds --source {params.source:q}"
        " --domain {wildcards.domain} --method {wildcards.method}"
        " --output {output.rows} --manifest {output.manifest} 2>&1 | tee {log}"


rule fetch_benchmark:
    input:
        lambda wildcards: local(config["benchmarks"][wildcards.benchmark]["source"]),
    output:
        rows="resources/benchmarks/{benchmark}.jsonl",
        manifest="resources/benchmarks/{benchmark}.manifest.json",
    log:
        "logs/fetch/benchmarks/{benchmark}.log",
    conda:
        "../envs/local.yaml"
    params:
        version=1,
        source=lambda wildcards: json.dumps(
            config["benchmarks"][wildcards.benchmark]["source"], sort_keys=True
        ),
    shell:
        "python scripts/fetch.py benchmark --source {params.source:q}"
        " --name {wildcards.benchmark}"
        " --output {output.rows} --manifest {output.manifest} 2>&1 | tee {log}"
