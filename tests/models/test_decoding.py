"""A completion's text is what the whole text has after the prompt, whatever the tokenizer."""

import json
import sys
from types import SimpleNamespace

import pytest
from agorabench.llm.vllm import Answers
from agorabench.models.generate import decode_after
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

TEXTS = ["The cat sat on the mat. It isn't 12 € !", "def f(x):\n    return x + 1", "naïve 中文 🙂"]


def train(model, trainer, pre, decoder, normalizer=None):
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer, tokenizer.decoder = pre, decoder
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.train_from_iterator(TEXTS * 5, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


def byte_level():
    bytes_ = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=["<unk>"], initial_alphabet=bytes_, show_progress=False
    )
    pre = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return train(models.BPE(), trainer, pre, decoders.ByteLevel())


def sentence_piece(scheme):
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False
    )
    pre = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    return train(models.Unigram(), trainer, pre, decoders.Metaspace(prepend_scheme=scheme))


def llama_like():
    """SentencePiece's BPE with bytes for what it does not know, as Llama 2 has it."""
    trainer = trainers.BpeTrainer(vocab_size=90, special_tokens=["<unk>"], show_progress=False)
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)])
    normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    pre = pre_tokenizers.Split("\n", "isolated")
    model = models.BPE(unk_token="<unk>", byte_fallback=True)
    trained = json.loads(train(model, trainer, pre, decoder, normalizer).backend_tokenizer.to_str())
    vocabulary = trained["model"]["vocab"]
    for byte in range(256):
        vocabulary[f"<0x{byte:02X}>"] = len(vocabulary)
    whole = Tokenizer.from_str(json.dumps(trained))
    return PreTrainedTokenizerFast(tokenizer_object=whole, unk_token="<unk>")


def tiktoken_like():
    """Bytes, with the words of GPT-4's and Llama 3's pattern."""
    pattern = Regex(r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+")
    pre = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(pattern, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=["<unk>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    return train(models.BPE(), trainer, pre, decoders.ByteLevel())


def word_piece(cleanup=False):
    trainer = trainers.WordPieceTrainer(
        vocab_size=120, special_tokens=["<unk>"], show_progress=False
    )
    return train(
        models.WordPiece(unk_token="<unk>"), trainer, pre_tokenizers.BertPreTokenizer(),
        decoders.WordPiece(cleanup=cleanup), normalizers.BertNormalizer(),
    )  # fmt: skip


TOKENIZERS = {
    "byte-level": byte_level,
    "SentencePiece with a prefix space": lambda: sentence_piece("always"),
    "SentencePiece without": lambda: sentence_piece("never"),
    "bytes for the unknown": llama_like,
    "tiktoken": tiktoken_like,
    "WordPiece": word_piece,
    "WordPiece that cleans up": lambda: word_piece(cleanup=True),
}


def decode(tokenizer, ids):
    return tokenizer.decode(ids, clean_up_tokenization_spaces=False)


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_completion_is_what_follows_the_prompt(kind):
    tokenizer = TOKENIZERS[kind]()
    for text in TEXTS:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        whole = decode(tokenizer, ids)
        for cut in range(1, len(ids)):
            before = decode(tokenizer, ids[:cut])
            if whole.startswith(before):
                assert before + decode_after(tokenizer, ids[:cut], ids[cut:]) == whole


@pytest.mark.parametrize("kind", ("byte-level", "bytes for the unknown", "tiktoken"))
def test_no_prompt_is_in_a_completion_that_mends_its_last_character(kind):
    tokenizer = TOKENIZERS[kind]()
    ids = tokenizer("naïve ∑ 漢字 😀", add_special_tokens=False)["input_ids"]
    cuts = [
        cut for cut in range(1, len(ids))
        if not decode(tokenizer, ids).startswith(decode(tokenizer, ids[:cut]))
    ]  # fmt: skip
    assert cuts
    for cut in cuts:
        completion = decode_after(tokenizer, ids[:cut], ids[cut:])
        assert completion.lstrip() == decode(tokenizer, ids[cut:]).lstrip()


def test_vllm_gives_its_text_as_it_is():
    """Which has what a first token lost where it were decoded alone."""
    completion = SimpleNamespace(text=" 5.\n", token_ids=[7, 8], finish_reason="stop")
    output = SimpleNamespace(outputs=[completion], prompt_token_ids=[1, 2, 3])
    engine = Answers.__new__(Answers)
    engine._llm = SimpleNamespace(generate=lambda *_, **__: [output])
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "vllm", SimpleNamespace(SamplingParams=SimpleNamespace))
        (reply,) = engine.generate([[1, 2, 3]], [1], max_tokens=9)
    assert (reply["reply"], reply["finish_reason"]) == (" 5.\n", "stop")
