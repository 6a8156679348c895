"""Seed data and benchmark items, from the sources that the config names.

Needs: `seeds:` and `benchmarks:` of the config; local files where an entry has a `path`, else the
       network; for a set that is classified, the generator that does it.
Makes: resources/seeds/{domain}/{method}.jsonl, resources/benchmarks/{benchmark}.jsonl, and a
       manifest of source, version, licence, sha256 and rows beside each. Versions found are kept in
       config["lock"], verdicts in journal/classify/.
"""


localrules:
    fetch_seeds,
    fetch_benchmark,
    fetch_file,


rule fetch_seeds:
    """Seed data of a domain and method, from where the config says."""
    input:
        inputs(of_names(stages.seeds, "domain", "method")),
    output:
        rows=paths.seed_rows("{domain}", "{method}"),
        manifest=paths.manifest(paths.seed_rows("{domain}", "{method}")),
    log:
        "logs/fetch/seeds/{domain}/{method}.log",
    conda:
        "../envs/local.yaml"
    resources:
        api=lambda wildcards: int(
            bool(matrix.classification(config["seeds"][wildcards.domain][wildcards.method]))
        ),
    params:
        decides=decides(of_names(stages.seeds, "domain", "method")),
    shell:
        program("fetch", "--domain {wildcards.domain} --method {wildcards.method}")


rule fetch_benchmark:
    """The test items of a benchmark, from where the config says."""
    input:
        inputs(of_names(stages.benchmark, "benchmark")),
    output:
        rows=paths.benchmark_items("{benchmark}"),
        manifest=paths.manifest(paths.benchmark_items("{benchmark}")),
    log:
        "logs/fetch/benchmarks/{benchmark}.log",
    conda:
        "../envs/local.yaml"
    params:
        decides=decides(of_names(stages.benchmark, "benchmark")),
    shell:
        program("fetch", "--benchmark {wildcards.benchmark}")


rule fetch_file:
    """A further file of a benchmark: its judge's prompt, its baseline's answers."""
    input:
        inputs(of_names(stages.benchmark_file, "benchmark", "file")),
    output:
        file=paths.benchmark_file("{benchmark}", "{file}"),
        manifest=paths.manifest(paths.benchmark_file("{benchmark}", "{file}")),
    log:
        "logs/fetch/benchmarks/{benchmark}/{file}.log",
    wildcard_constraints:
        file="judge|control|baseline",
    conda:
        "../envs/local.yaml"
    params:
        decides=decides(of_names(stages.benchmark_file, "benchmark", "file")),
    shell:
        program("fetch", "--benchmark {wildcards.benchmark} --file {wildcards.file}")
