"""Average cosine similarity of all pairs of a set's instructions, or responses.

arXiv 2412.03679 calls it c-dist; its values are similarities, so lower is more diverse, and
1 - similarity is given beside it. With normalised embeddings x_i and s = sum x_i,

    mean of x_i . x_j over i != j  =  (|s|^2 - N) / (N (N - 1))

so all pairs are in it, in time linear in N. The standard error is the jackknife's (Efron and Stein
1981): without x_i the mean is (N m - 2 a_i) / (N - 2), where a_i = (x_i . s - 1) / (N - 1) is the
mean similarity of x_i to the others, so

    SE^2 = 4 (N - 1) / (N (N - 2)^2) sum_i (a_i - m)^2

and sum_i (x_i . s)^2 = s' (sum_i x_i x_i') s needs no second look at the embeddings.
"""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from transformers import AutoModel

from agorabench.errors import UserError
from agorabench.intrinsic import Measured, loading
from agorabench.models import hub

CHUNK = 4096  # texts that are embedded before their embeddings are added up and forgotten


def load_model(entry: dict, threads: int):
    """embed(texts, batch_size) -> vectors, [texts, dimensions].

    By the entry's `pooling`, "model" takes a model of sentence-transformers, as that says itself;
    "mean" takes a plain model of transformers, and the mean of its last layer over the tokens. Its
    `options` replace settings in the model's own config.json.

    Raises:
        UserError: "model", and it is no model of sentence-transformers; see also loading.opening.
    """
    if entry["pooling"] == "mean":
        return partial(
            mean_pooled, *loading.load_pretrained(AutoModel, entry, threads, **entry["options"])
        )
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.util import is_sentence_transformer_model

    with loading.guard_loading(entry, threads):
        if not is_sentence_transformer_model(entry["model"], revision=entry["revision"]):
            raise UserError(hub.pooling_message(entry["model"]))
        loaded = SentenceTransformer(
            entry["model"],
            device="cuda" if entry["gpus"] else "cpu",
            revision=entry["revision"],
            trust_remote_code=entry["trust_remote_code"],
            model_kwargs={"dtype": entry["precision"]},
            config_kwargs=entry["options"],
        )
    return partial(loaded.encode, show_progress_bar=False)


@torch.inference_mode()
def mean_pooled(tokenizer, model, texts: list[str], batch_size: int):
    """Means of a model's last hidden states over the tokens of each text."""
    limit = min(tokenizer.model_max_length, model.config.max_position_embeddings)
    rows = tokenizer(texts, truncation=True, max_length=limit)["input_ids"]
    found = np.empty((len(rows), model.config.hidden_size), dtype=np.float32)
    for indices, batch in loading.token_batches(rows, batch_size, model.device):
        hidden = model(**batch).last_hidden_state.float()
        kept = batch["attention_mask"].unsqueeze(-1)
        found[indices] = ((hidden * kept).sum(1) / kept.sum(1)).cpu().numpy()
    return found


def measure_pairs(embed: Callable, entry: dict, pairs: list[dict], advance: Callable) -> Measured:
    """Similarity, -1 to 1, of what the entry's `of` names; the model cuts texts too long for it."""
    texts = [pair[entry["of"]] for pair in pairs]
    cosines = Cosines()
    for start in range(0, len(texts), CHUNK):
        chunk = texts[start : start + CHUNK]
        cosines.add_rows(embed(chunk, batch_size=entry["batch_size"]))
        advance(len(chunk))
    if cosines.count < 3:
        raise UserError(f"{entry['name']}: {cosines.count} examples; it takes 3")
    value, error = cosines.mean_similarity()
    return Measured(value, error, cosines.count, also={"diversity": 1 - value})


class Cosines:
    """Mean cosine similarity of all pairs of vectors that are added chunk by chunk."""

    def __init__(self):
        self.count, self._sum, self._products = 0, 0.0, 0.0

    def add_rows(self, rows) -> None:
        """Add vectors, [vectors, dimensions].

        Raises:
            UserError: a vector is zero or no vector of numbers.
        """
        rows = np.asarray(rows, dtype=np.float64)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        if not (np.isfinite(lengths).all() and lengths.all()):
            raise UserError("an embedding is zero or no vector of finite numbers")
        rows = rows / lengths
        self.count += len(rows)
        self._sum = self._sum + rows.sum(axis=0)
        self._products = self._products + rows.T @ rows

    def mean_similarity(self) -> tuple[float, float]:
        """(mean, standard error) over all pairs of at least three vectors."""
        n, whole = self.count, self._sum
        value = (whole @ whole - n) / (n * (n - 1))
        # sum a_i^2 - n m^2, with a_i = (x_i . s - 1) / (n - 1)
        squares = (whole @ self._products @ whole - 2 * whole @ whole + n) / (n - 1) ** 2
        spread = max(squares - n * value**2, 0.0)
        return float(value), math.sqrt(4 * (n - 1) / (n * (n - 2) ** 2) * spread)
