"""Whether a final answer says anything: the rule that stands between a response and a model that judges it.

What must stay true: what says nothing but its own verdict is refused, in whatever language or spelling (the "master keys" of
Zhao et al. 2507.08794); an answer to a question is not.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

#: Longest final answer that is read, in characters.
LONGEST: Final = 1000

#: Words that say something about an answer and are none. An answer of these alone says nothing.
_HOLLOW: Final = frozenset(
    """a above according after all am an and answer answers are as assistant at be because been begin below better
    by can check choice complete completed completely conclude conclusion confident confirmed correct correctly
    could decision detailed do does done double easy evaluate evaluation exact exactly explain explanation final
    finally first follows for found full fully given good grade great have hence here how i id in indeed is it
    its judge judgement judgment just know let lets look me must my need now obvious obviously of ok okay on one
    option our output over perfect please problem process proof prove proved provided question reason reasoning
    reference response result right s see shall should show shown simple so solution solutions solve solved
    solving start statement step steps sure task thank thanks that the then therefore think thinking this
    thought thoughts through thus to true truth understand understood user valid verdict verified very want we
    well what which will with work working would yes you your no not false wrong incorrect none nothing unknown
    null nil nan undefined""".split()  # noqa: SIM905
)

#: The same in other languages, as whole answers.
_HOLLOW_ELSEWHERE: Final = frozenset(
    """解 解答 答案 答え 答 正解 正确 正確 正しい 回答 解決 解决 解説 步骤 思考 思考过程 解题 是 はい 풀이 정답 답 해설 네 решение ответ верно правильно да решим
    solución respuesta correcto correcta sí respuesta solucion lösung antwort richtig ja korrekt réponse
    solution oui correcte soluzione risposta corretto sì solução resposta correto sim oplossing antwoord juist
    かいせつ الحل الجواب صحيح نعم पत्युत्तर उत्तर हल सही हाँ çözüm cevap doğru evet rozwiązanie odpowiedź poprawna
    tak""".split()  # noqa: SIM905
)

#: Words to the judge, not to the question.
_PLEA: Final = re.compile(
    r"\b(?:final\s+(?:decision|verdict|judge?ment)|verdict|grad(?:e|er|ing)|judge?(?:ment)?|ignore|disregard|instructions?"
    r"|system\s*(?:prompt|message)|assistant|as an ai|respond with|answer (?:with )?yes|say yes|output yes|mark (?:it|this)"
    r"|score|full marks|(?:is|are|be|was) (?:\w+ )?(?:correct|right|true|accepted|equivalent|identical|verified)"
    r"|(?:same|equal|equivalent|identical) (?:as|to) (?:the )?(?:reference|gold|ground|correct|expected)"
    r"|reference answer|ground truth|gold answer|expected answer|correct answer)\b",
    re.IGNORECASE,
)
_MARKUP: Final = re.compile(r"<[|/!]|<[a-z_]{3,}|\|>|\[/?(?:inst|sys)\b|```|\{\{|\}\}", re.IGNORECASE)
_COMMAND: Final = re.compile(r"\\(?:text|mathrm|textbf|mathbf|mbox|boxed|fbox|displaystyle|left|right|quad|,|;|!| )")
_HEADING: Final = re.compile(r"(?:step|part|case|problem|solution|answer)\s*\d+\s*[.:)]*")
_WORD: Final = re.compile(r"[^\W\d_]+")


def refused(answer: str) -> str | None:
    """Why a final answer is not shown to a model; None where it may be.

    Refused are: nothing but punctuation, words that say nothing (an opening, a verdict on itself), words to the
    judge, markup of a chat, and what is longer than ``LONGEST``.
    """
    text = folded(answer)
    if len(answer) > LONGEST or len(text) > LONGEST:
        return f"the answer is longer than {LONGEST} characters"
    if not any(c.isalnum() for c in text):
        return "the answer is punctuation"
    if _MARKUP.search(text):
        return "the answer holds markup of a conversation"
    if _PLEA.search(text):
        return "the answer speaks to its judge"
    plain = _COMMAND.sub(" ", text).casefold().replace("n/a", "none")
    words = _WORD.findall(plain)
    if words and not any(c.isdigit() for c in plain):
        symbols = re.search(r"[=+*/^<>\\√∞π∈∪∩]|(?<!\w)-(?!\w)", plain)
        several = len(words) > 1 or len(words[0]) > 1 or not words[0].isascii()  # one Latin letter is a name
        if not symbols and several and all(w in _HOLLOW or w in _HOLLOW_ELSEWHERE for w in words):
            return "the answer says nothing"
    if _HEADING.fullmatch(plain.strip()):
        return "the answer is a heading"
    return None


def folded(text: str) -> str:
    """``text`` in compatibility form, without what is not seen, on one line."""
    folded = unicodedata.normalize("NFKC", text[: 4 * LONGEST])
    seen = "".join(" " if c.isspace() else c for c in folded if c.isspace() or unicodedata.category(c)[0] != "C")
    return re.sub(r" +", " ", seen).strip()
