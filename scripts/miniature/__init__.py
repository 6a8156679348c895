"""The miniature: a small world of tasks and the tiny language models that live in it."""
