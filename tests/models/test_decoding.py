"""A completion's text is what the whole text has after the prompt, whatever the tokenizer."""

import pytest
from agorabench.models.generate import decode_after
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
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


def word_piece():
    trainer = trainers.WordPieceTrainer(
        vocab_size=120, special_tokens=["<unk>"], show_progress=False
    )
    return train(
        models.WordPiece(unk_token="<unk>"), trainer, pre_tokenizers.BertPreTokenizer(),
        decoders.WordPiece(cleanup=False), normalizers.BertNormalizer(),
    )  # fmt: skip


TOKENIZERS = {
    "byte-level": byte_level,
    "SentencePiece with a prefix space": lambda: sentence_piece("always"),
    "SentencePiece without": lambda: sentence_piece("never"),
    "WordPiece": word_piece,
}


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_completion_is_what_follows_the_prompt(kind):
    tokenizer = TOKENIZERS[kind]()
    for text in TEXTS:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        whole = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
        for cut in range(1, len(ids)):
            before = tokenizer.decode(ids[:cut], clean_up_tokenization_spaces=False)
            if "\ufffd" not in before:  # a prompt is whole text
                assert before + decode_after(tokenizer, ids[:cut], ids[cut:]) == whole
