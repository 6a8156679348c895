"""AgoraBench: what a language model's training data is worth, as a pipeline of files.

A program in scripts/ is a verb and its rule's name; it moves files and calls this package, whose
parts follow the stages. Imports go one way, from the bottom of this table to its top.

    errors files progress matrix paths   faults in a sentence; whole files; cells, runs, every path
    plugins                              what Python of a user's own offers, found by name
    models                               chat templates, generation, weights, the hub
    llm                                  requests, journal, budget, backends: online, batch, local
    sandbox                              model-written code, isolated
    stats                                bootstrap, PGR, regressions, learning curves
    report                               tables, figures and pages, whatever they show
    seeds                                sources, samples and classes of seed data
    generation                           prompts, replies -> pairs, validators, slots, duplicates
    training                             fine-tuning of students, checkpoints, speed
    evaluation                           completions, grading, judges; benchmarks/ a protocol each
    intrinsic                            metrics of generated sets, a module each
    config                               every key, what keys refer to, what decides each stage
    analysis                             what is compared; a module for each question asked of it
    planning                             what a run would do and cost, by a dry run of its programs
    cluster                              SLURM, locks of a run, resources, warm starts
    cli                                  the form of command lines, and how programs end

docs/architecture.md says where each behaviour is and walks the paths between files.
"""
