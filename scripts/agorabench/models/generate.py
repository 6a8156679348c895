"""A loaded language model that completes prompts, on CPU or one GPU.

Each completion is drawn with random numbers of its own, so that it depends neither on its
neighbours in the batch nor on what was asked before. What is left is the rounding of sums, which
differs between shapes of a batch by some 1e-6 of probability: about one token in a million could
fall the other way.
"""

import json

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LogitsProcessor

from agorabench.errors import UserError
from agorabench.models import chat
from agorabench.progress import hush


class Engine:
    """A loaded causal language model: token ids in, text out."""

    SCORED = 16  # continuations whose likelihood is computed in one pass

    def __init__(self, model, threads=1, precision="auto"):
        """`precision`: torch's name of the number format on a GPU; a CPU computes in float32."""
        hush()
        torch.set_num_threads(threads)
        gpu = torch.cuda.is_available()
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(model, padding_side="left")
            self.model = AutoModelForCausalLM.from_pretrained(
                model, dtype=precision if gpu else torch.float32, device_map="auto" if gpu else None
            ).eval()
        except (OSError, json.JSONDecodeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"cannot load the model {model}: {reason}") from None
        ends = self.model.generation_config.eos_token_id
        self.ends = set(ends if isinstance(ends, list) else [ends])
        if self.tokenizer.pad_token_id in self.ends | {None}:
            # Any other token does, as padding is masked; but the repetition penalty does not look
            # at the mask, and would make a padded row less likely to end.
            self.tokenizer.pad_token = self.tokenizer.convert_ids_to_tokens(
                max(set(range(len(self.tokenizer))) - self.ends)
            )

    def chat(self, messages):
        """Token ids of a conversation, up to where the assistant speaks."""
        return chat.prompt_tokens(self.tokenizer, messages)

    def plain(self, text):
        """Token ids of plain text, for a model that knows no conversation."""
        return self.tokenizer(text)["input_ids"]

    @torch.inference_mode()
    def generate(
        self,
        prompts,
        seeds,
        *,
        max_tokens,
        temperature=1.0,
        top_p=1.0,
        repetition_penalty=1.0,
        stop=(),
    ):
        """Complete a batch of token-id `prompts`, one random seed each.

        Returns one {"reply", "finish_reason", "usage"} per prompt. `temperature` 0 is greedy. The
        text ends before the first of the `stop` strings.
        """
        batch = self.tokenizer.pad({"input_ids": prompts}, return_tensors="pt")
        batch = batch.to(self.model.device)
        draw = [OwnSampler(seeds, max_tokens, temperature, top_p)] if temperature else []
        output = self.model.generate(
            **batch,
            max_new_tokens=max_tokens,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            repetition_penalty=repetition_penalty,
            logits_processor=draw,
            stop_strings=list(stop) or None,
            tokenizer=self.tokenizer if stop else None,
            pad_token_id=self.tokenizer.pad_token_id,
        )
        width = batch["input_ids"].shape[1]
        return [
            self._reply(prompt, row[width:].tolist(), stop)
            for prompt, row in zip(prompts, output, strict=True)
        ]

    @torch.inference_mode()
    def likelihoods(self, prompts, continuations):
        """Return for each (prompt, continuation) {"logprob": natural logarithm of the probability
        of the continuation, "greedy": is each of its tokens the likeliest?}; prompts are texts or
        messages.
        """
        pairs = [
            chat.continuation_tokens(self.tokenizer, *pair)
            for pair in zip(prompts, continuations, strict=True)
        ]
        rows = [torch.tensor(context + more) for context, more in pairs]
        found = []
        for start in range(0, len(rows), self.SCORED):
            batch = rows[start : start + self.SCORED]
            ids = torch.nn.utils.rnn.pad_sequence(batch, batch_first=True)  # at the right
            mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in batch], True)
            device = self.model.device
            logits = self.model(ids.to(device), attention_mask=mask.to(device)).logits
            for row, own, (context, more) in zip(batch, logits, pairs[start:], strict=False):
                own = own[len(context) - 1 : len(row) - 1].float().log_softmax(-1).cpu()
                wanted = torch.tensor(more)
                total = own.gather(1, wanted[:, None]).double().sum().item()
                likeliest = bool((own.argmax(-1) == wanted).all())
                found.append({"logprob": total, "greedy": likeliest})
        return found

    def _reply(self, prompt, ids, stop):
        # A row that stopped by a stop string is padded to the length of the longest.
        while ids and ids[-1] == self.tokenizer.pad_token_id:
            ids.pop()
        end = next((i for i, token in enumerate(ids) if token in self.ends), None)
        text = decode_after(self.tokenizer, prompt, ids[:end])
        cuts = [text.index(mark) for mark in stop if mark in text]
        return {
            "reply": text[: min(cuts)] if cuts else text,
            "finish_reason": "stop" if cuts or end is not None else "length",
            "usage": {"input": len(prompt), "output": len(ids)},
        }


def decode_after(tokenizer, prompt: list[int], ids: list[int]) -> str:
    """The text that token `ids` add to that of a prompt's.

    Decoded alone, a first token would lose its space (SentencePiece) or its ## (WordPiece). What
    follows may change the text of a prompt, as it mends half a character or joins "it ' s": then
    the prompt's last token is context enough, or none is.
    """
    for context in (prompt, prompt[-1:], []):
        before, whole = (
            tokenizer.decode(part, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            for part in (context, context + ids)
        )
        if whole.startswith(before):
            break
    return whole.removeprefix(before)


class OwnSampler(LogitsProcessor):
    """Draw each row's next token with the row's own random numbers (inverse of the CDF).

    Every other token gets -inf, so greedy decoding then takes the drawn one. Nucleus sampling keeps
    the smallest set of most likely tokens whose probability reaches top_p (Holtzman et al. 2020,
    arXiv 1904.09751).
    """

    def __init__(self, seeds, max_tokens, temperature, top_p):
        draws = [np.random.Generator(np.random.Philox(seed)).random(max_tokens) for seed in seeds]
        self.draws = torch.from_numpy(np.stack(draws))
        self.temperature, self.top_p = temperature, top_p
        self.step = 0

    def __call__(self, input_ids, scores):
        probabilities = torch.softmax(scores.double() / self.temperature, dim=-1)
        # Stable, so that equal probabilities are ordered alike in every batch.
        ordered, tokens = probabilities.sort(dim=-1, descending=True, stable=True)
        mass = ordered.cumsum(dim=-1)
        kept = (mass - ordered < self.top_p).sum(dim=-1, keepdim=True)
        nucleus = mass.gather(1, kept - 1)
        draw = self.draws[:, self.step].to(scores.device).unsqueeze(1) * nucleus
        index = torch.minimum(torch.searchsorted(mass, draw, right=True), kept - 1)
        self.step += 1
        chosen = tokens.gather(1, index)
        return torch.full_like(scores, -float("inf")).scatter(1, chosen, 0.0)
