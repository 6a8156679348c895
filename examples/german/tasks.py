"""Customer support in German: what the example's stand-ins know, and its data.

    python examples/german/tasks.py     # writes seeds.jsonl and test.jsonl again

A question names a device and what is wrong with it; a good answer greets, names the device, and
says the two steps that help, in German.
"""

import json
import random
import re
from pathlib import Path

DEVICES = ["Drucker", "Router", "Laptop", "Fernseher", "Monitor"]
DEVICES += ["Scanner", "Beamer", "Rechner", "Lautsprecher", "Verteiler"]
HELP = {  # what is wrong -> two steps
    "startet nicht": ("das Netzkabel prüfen", "den Knopf lange drücken"),
    "ist sehr laut": ("das Gerät entstauben", "den Lüfter prüfen"),
    "wird zu heiß": ("die Öffnungen freihalten", "eine Pause machen"),
    "zeigt kein Bild": ("das Bildkabel tauschen", "die Helligkeit erhöhen"),
    "findet kein Netz": ("das Passwort neu eingeben", "näher herangehen"),
    "ist sehr langsam": ("alte Dateien löschen", "das Gerät neu starten"),
}
FORMS = (
    "Mein {device} {trouble}. Was kann ich tun?",
    "Hallo, mein {device} {trouble}. Bitte helfen Sie mir.",
    "Der {device} {trouble}, was nun?",
)
ENGLISH = "Hello, please switch your device off and on again, and call us if that does not help."


def question(rng, device, trouble):
    return rng.choice(FORMS).format(device=device, trouble=trouble)


def answer(device, trouble):
    first, second = HELP[trouble]
    return f"Guten Tag, bei Ihrem {device} bitte erst {first} und dann {second}."


def read_question(text):
    """(device, trouble) of the last question in a text, or None."""
    troubles = "|".join(HELP)
    found = re.findall(rf"({'|'.join(DEVICES)}) ({troubles})", text)
    return found[-1] if found else None


def reply(rng, prompt, careful):
    """A stand-in's answer to a meta-prompt of this example; 45 % of a hasty one's are bad."""
    shown = read_question(prompt)
    head = ""
    if "[instance]" in prompt or shown is None:
        shown = rng.choice(DEVICES), rng.choice(list(HELP))
        head = f"Anfrage: {question(rng, *shown)}\nAntwort: "
    device, trouble = shown
    if careful or rng.random() < 0.55:
        return head + answer(device, trouble)
    if rng.random() < 0.2:
        return head + ENGLISH
    first, second = HELP[rng.choice([one for one in HELP if one != trouble])]
    return head + f"Bitte {first} und {second}."  # curt, and other steps


def judge(prompt):
    """A stand-in judge's verdict on the question and answer that rubric.md shows."""
    shown, _, given = prompt.partition("Antwort des Modells:")
    device, trouble = read_question(shown)
    score = 1 + given.strip().startswith("Guten Tag") + (device in given)
    score += sum(step in given for step in HELP[trouble])
    return f"Begrüßung, Gerät und Schritte wurden gezählt. [RESULT] {score}"


def write_data(folder):
    rng = random.Random("examples/german")
    pairs = [(device, trouble) for device in DEVICES for trouble in HELP]
    rng.shuffle(pairs)
    known, new = pairs[:40], pairs[40:]
    seeds = [
        {"instruction": FORMS[form].format(device=device, trouble=trouble),
         "response": answer(device, trouble)}
        for device, trouble in known
        for form in range(3)
    ]  # fmt: skip
    test = [
        {"id": f"d{n}", "frage": FORMS[n % 3].format(device=device, trouble=trouble),
         "antwort": answer(device, trouble)}
        for n, (device, trouble) in enumerate(pair for pair in new for _ in FORMS)
    ]  # fmt: skip
    for name, rows in {"seeds": seeds, "test": test}.items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_data(Path(__file__).parent)
