"""Scores of texts: exact match and F1 of answers, by SQuAD's definitions."""

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence

from research_train.errors import MetricError
from research_train.record.record import Metrics

WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


def answer_scores(
    answers: Mapping[str, str], references: Mapping[str, Sequence[str]], name: str = "test"
) -> Metrics:
    """`<name>/exact_match` and `<name>/f1` of answers, means over all questions between 0 and 1.

    By the script of SQuAD 1.1 (arXiv 1606.05250, section 6.1), which gives them in percent: texts
    are normalised, and the best of a question's references counts. A question without an answer
    scores 0.

    answers: question -> text. references: question -> one or more texts. Raises MetricError for no
    question, and for one without a reference.
    """
    if without := [question for question, texts in references.items() if not texts]:
        raise MetricError(f"question {without[0]!r} has no reference answer")
    if not references:
        raise MetricError("no questions to score")
    pairs = [
        [(normalised(answers[question]), normalised(text)) for text in texts]
        for question, texts in references.items()
        if question in answers
    ]
    exact = sum(any(answer == reference for answer, reference in each) for each in pairs)
    f1 = sum(max(word_f1(*pair) for pair in each) for each in pairs)
    return {f"{name}/exact_match": exact / len(references), f"{name}/f1": f1 / len(references)}


def normalised(text: str) -> str:
    """In lower case, without ASCII punctuation, without a, an and the, with single spaces."""
    plain = text.lower().translate(WITHOUT_PUNCTUATION)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", plain).split())


def word_f1(answer: str, reference: str) -> float:
    """Harmonic mean of precision and recall over words, repeated ones counted; 0 if none agree."""
    ours, theirs = answer.split(), reference.split()
    common = (Counter(ours) & Counter(theirs)).total()
    return 2 * common / (len(ours) + len(theirs)) if common else 0.0
