"""IFEval: instructions that a program can verify (Zhou et al., arXiv 2311.07911).

    prompt               Write a 300+ word summary of ... Do not use any commas ...
    instruction_id_list  ["punctuation:no_comma", "length_constraints:number_words"]
    kwargs               [{}, {"relation": "at least", "num_words": 300}]

`score` is the paper's strict accuracy of prompts: all instructions of a prompt are followed. Beside
it stand the accuracy of instructions, where a prompt counts as often as it has instructions, and
both `loose`: as the best of eight versions of the answer, without its first line, its last line and
its asterisks, or with them (section 2.2).

The 25 verifiers follow the paper and Google's program, but for what needs a trained tokenizer
there: words and sentences are told by rules here. docs/graders.md says how often that differs.
"""

import json
import re
from itertools import product

ALSO = ("loose", "instruction", "instruction_loose")
WEIGHTS = {"instruction": "instructions", "instruction_loose": "instructions"}

LANGUAGE = 100_000  # characters that tell a language; langdetect itself looks at 10,000
ANSWERS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")


def read_items(rows: list[dict]) -> list[dict]:
    """Items from the published rows; the hub's rows hold every argument, most of them null."""
    items = []
    for row in rows:
        instructions = [
            (name, {key: value for key, value in given.items() if value is not None})
            for name, given in zip(row["instruction_id_list"], row["kwargs"], strict=True)
        ]
        for name, _ in instructions:
            if name not in VERIFIERS:
                raise ValueError(f"unknown instruction '{name}'")
        items.append(
            {"id": f"ifeval/{row['key']}", "prompt": row["prompt"], "instructions": instructions}
        )
    return items


def grade_items(items: list[dict], completions: list[str], sandbox=None) -> list[dict]:
    """Which instructions of each item are followed."""
    return [grade_completion(item, text) for item, text in zip(items, completions, strict=True)]


def grade_completion(item: dict, completion: str) -> dict:
    """Compare one completion with its instructions; `reason` is the first that it breaks."""
    asked = item["instructions"]
    strict = [follows_instruction(completion, *one) for one in asked]
    # Only what strict refuses can be won by another version.
    versions = loose_versions(completion) if not all(strict) else []
    loose = [
        done or any(follows_instruction(text, *one) for text in versions)
        for done, one in zip(strict, asked, strict=True)
    ]
    missed = [name for (name, _), done in zip(asked, strict, strict=True) if not done]
    return {
        "score": float(all(strict)),
        "loose": float(all(loose)),
        "instruction": sum(strict) / len(asked),
        "instruction_loose": sum(loose) / len(asked),
        "instructions": len(asked),
        "extracted": "",
        "reason": missed[0] if missed else "",
    }


def follows_instruction(text: str, name: str, arguments: dict) -> bool:
    """Does a text follow an instruction? An empty one follows none."""
    return bool(text.strip()) and bool(VERIFIERS[name](text, **arguments))


def loose_versions(completion: str) -> list[str]:
    """The versions of a completion of which any may follow an instruction."""
    lines = completion.split("\n")
    cuts = [lines, lines[1:], lines[:-1], lines[1:-1]]
    texts = [completion, *("\n".join(cut).strip() for cut in cuts[1:])]
    return [text if stars else text.replace("*", "") for text, stars in product(texts, (1, 0))]


# The verifiers: (text, arguments of the instruction) -> is it followed?


def compare_count(number: int, relation: str, limit: int) -> bool:
    """A count against its limit; the paper has only these two relations."""
    return number < limit if relation == "less than" else number >= limit


def is_language(text: str, language: str) -> bool:
    """Told by langdetect, as in the paper; a text in which it finds no words passes."""
    from langdetect import DetectorFactory, LangDetectException, detect

    DetectorFactory.seed = 0  # else it may say something else next time
    try:
        return detect(text[:LANGUAGE]) == language
    except LangDetectException:
        return True


def keywords_exist(text: str, keywords: list[str]) -> bool:
    return all(re.search(word, text, re.I) for word in keywords)


def keyword_frequency(text: str, keyword: str, frequency: int, relation: str) -> bool:
    return compare_count(len(re.findall(keyword, text, re.I)), relation, frequency)


def forbidden_words(text: str, forbidden_words: list[str]) -> bool:
    return not any(re.search(rf"\b{word}\b", text, re.I) for word in forbidden_words)


def letter_frequency(text: str, letter: str, let_frequency: int, let_relation: str) -> bool:
    return compare_count(text.lower().count(letter.lower()), let_relation, let_frequency)


def number_words(text: str, num_words: int, relation: str) -> bool:
    return compare_count(len(re.findall(r"\w+", text)), relation, num_words)


def number_sentences(text: str, num_sentences: int, relation: str) -> bool:
    return compare_count(count_sentences(text), relation, num_sentences)


# Abbreviations after which a sentence goes on, initials ("J. Doe") and numbers ("1. First").
SHORT = re.compile(
    r"(?i:mr|mrs|ms|dr|prof|st|sr|jr|vs|etc|e\.g|i\.e|u\.s|no|vol|fig|inc|ltd|co|corp|gen|gov|sen|rep"
    r"|rev|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec|a\.m|p\.m|ph\.d|approx)|[A-Z]|\d+"
)
STOP = re.compile(r"(?<![.!?])([.!?]+)[\"'\u2019\u201d)\]*]*\s+(?=(\S))")
LONGEST = 20  # characters before a full stop in which its abbreviation is looked for


def count_sentences(text: str) -> int:
    """Number of sentences: !, ? or a full stop ends one, unless that belongs to an abbreviation."""
    text = text.strip()
    count = 1
    for found in STOP.finditer(text):
        mark, following = found.groups()
        words = text[max(0, found.start() - LONGEST) : found.start()].split()
        word = words[-1] if words and not text[found.start() - 1].isspace() else ""
        short = mark == "." and SHORT.fullmatch(word.lstrip("\"'(*["))
        goes_on = mark.startswith("..") and following.islower()
        count += not (short or goes_on)
    return count


def number_paragraphs(text: str, num_paragraphs: int) -> bool:
    """Paragraphs divided by ***; an empty one may only be the first or the last."""
    parts = [part.strip() for part in re.split(r"\s?\*\*\*\s?", text)]
    return all(parts[1:-1]) and sum(map(bool, parts)) == num_paragraphs


def first_word_of_paragraph(
    text: str, num_paragraphs: int, nth_paragraph: int, first_word: str
) -> bool:
    """Paragraphs divided by an empty line, one of which begins with a word."""
    parts = text.split("\n\n")
    if sum(bool(part.strip()) for part in parts) != num_paragraphs:
        return False
    words = parts[nth_paragraph - 1].split() if nth_paragraph <= num_paragraphs else []
    if not words:
        return False
    return re.split(r"[.,?!'\"]", words[0].lstrip("'\""))[0].lower() == first_word.lower()


def has_placeholders(text: str, num_placeholders: int) -> bool:
    # What is not closed goes with its line, so that a line of brackets is read once.
    return sum(map(bool, re.findall(r"\[.*?(?:(\])|$)", text, re.M))) >= num_placeholders


def has_postscript(text: str, postscript_marker: str) -> bool:
    """Both markers are also accepted with blanks between their letters."""
    letters = {"P.S.": r"p\.\s?s\.", "P.P.S": r"p\.\s?p\.\s?s"}
    marker = letters.get(postscript_marker, postscript_marker.lower())
    return re.search(marker, text.lower()) is not None


def number_bullets(text: str, num_bullets: int) -> bool:
    """Lines that begin with * (one, not **) or with -."""
    return len(re.findall(r"^[^\S\n]*(?:\*[^*]|-).*$", text, re.M)) == num_bullets


def one_of_three(text: str) -> bool:
    return any(answer in text for answer in ANSWERS)


def number_highlights(text: str, num_highlights: int) -> bool:
    """*Sections* and **sections** that are not empty."""
    single = re.findall(r"\*[^\n*]*\*", text)
    double = re.findall(r"\*\*[^\n*]*\*\*", text)
    return sum(bool(part.strip("*").strip()) for part in single + double) >= num_highlights


def number_sections(text: str, section_spliter: str, num_sections: int) -> bool:
    """Beginnings like "Section 1"."""
    return len(re.findall(rf"\s?{section_spliter}\s?\d+\s?", text)) >= num_sections


def is_json(text: str) -> bool:
    text = re.sub(r"^```(?:json)?", "", text.strip(), count=1, flags=re.I).removesuffix("```")
    try:
        json.loads(text.strip())
    except (ValueError, RecursionError):  # the latter: brackets about 1,000 deep
        return False
    return True


def has_title(text: str) -> bool:
    lines = ((line, line.find("<<"), line.rfind(">>")) for line in text.split("\n"))
    return any(line[start:end].strip("<> ") for line, start, end in lines if 0 <= start < end)


def two_responses(text: str) -> bool:
    """Two different answers divided by ******; nothing else but blanks before and after."""
    parts = [part.strip() for part in text.split("******")]
    answers = [part for part in parts if part]
    return all(parts[1:-1]) and len(answers) == 2 and answers[0] != answers[1]


def repeats_prompt(text: str, prompt_to_repeat: str) -> bool:
    return text.strip().lower().startswith(prompt_to_repeat.strip().lower())


def ends_with(text: str, end_phrase: str) -> bool:
    return text.strip().strip('"').lower().endswith(end_phrase.strip().lower())


def capital_words(text: str, capital_frequency: int, capital_relation: str) -> bool:
    """Words all in capitals; a word with a hyphen is one."""
    words = re.findall(r"\w(?:[\w.'\u2019&/-]*\w)?", text)
    return compare_count(sum(map(str.isupper, words)), capital_relation, capital_frequency)


def is_quoted(text: str) -> bool:
    text = text.strip()
    return len(text) > 1 and text[0] == text[-1] == '"'


VERIFIERS = {
    "keywords:existence": keywords_exist,
    "keywords:frequency": keyword_frequency,
    "keywords:forbidden_words": forbidden_words,
    "keywords:letter_frequency": letter_frequency,
    "language:response_language": is_language,
    "length_constraints:number_sentences": number_sentences,
    "length_constraints:number_paragraphs": number_paragraphs,
    "length_constraints:number_words": number_words,
    "length_constraints:nth_paragraph_first_word": first_word_of_paragraph,
    "detectable_content:number_placeholders": has_placeholders,
    "detectable_content:postscript": has_postscript,
    "detectable_format:number_bullet_lists": number_bullets,
    "detectable_format:constrained_response": one_of_three,
    "detectable_format:number_highlighted_sections": number_highlights,
    "detectable_format:multiple_sections": number_sections,
    "detectable_format:json_format": is_json,
    "detectable_format:title": has_title,
    "combination:two_responses": two_responses,
    "combination:repeat_prompt": repeats_prompt,
    "startend:end_checker": ends_with,
    "startend:quotation": is_quoted,
    "change_case:capital_word_frequency": capital_words,
    "change_case:english_capital": lambda text: text.isupper() and is_language(text, "en"),
    "change_case:english_lowercase": lambda text: text.islower() and is_language(text, "en"),
    "punctuation:no_comma": lambda text: "," not in text,
}
