"""Recipes of the miniature's models: the config's `mini:`, with the defaults that stand here.

Only the standard library is used here.
"""

TOKENIZER = {"seed": 1, "vocabulary": 960, "lines": 8000}
PRETRAIN = {
    "seed": 1,
    "hidden": 96,
    "layers": 3,
    "heads": 4,
    "intermediate": 256,
    "steps": 2500,
    "batch_size": 8,
    "length": 128,
    "learning_rate": 3e-3,
    "shares": {
        "facts": 8,
        "stories": 13,
        "echoes": 35,
        "functions": 13,
        "phrases": 24,
        "corrections": 12,
    },
}
POSTTRAIN = {
    "seed": 1,
    "start": "base",  # the model that it is made of
    "lessons": "data",  # or answers, verdicts, preferences
    "pairs": 4500,
    "epochs": 3,
    "batch_size": 16,
    "learning_rate": 2e-3,
    "shares": {"math": 2, "code": 2, "instruction": 3},  # of answers; data has nine equal settings
    "extra_layers": 0,
    "wrong_share": 0.0,
    "few": False,
}


def recipe_keys(name: str) -> dict:
    """What the recipe of a model of this name may set, with the defaults."""
    return {"tokenizer": TOKENIZER, "base": PRETRAIN}.get(name, POSTTRAIN)
