"""Exact match and F1 by the definitions of SQuAD 1.1 (arXiv 1606.05250, section 6.1)."""

import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(text: str) -> str:
    """In lower case, without ASCII punctuation, without a, an and the, with single spaces."""
    plain = text.lower().translate(WITHOUT_PUNCTUATION)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", plain).split())


def exact_match(answer: str, reference: str) -> float:
    """Whether both are the same once normalised."""
    return float(normalised(answer) == normalised(reference))


def f1(answer: str, reference: str) -> float:
    """Harmonic mean of precision and recall over words, once normalised; 0 without a common one."""
    ours, theirs = normalised(answer).split(), normalised(reference).split()
    common = (Counter(ours) & Counter(theirs)).total()
    return 2 * common / (len(ours) + len(theirs)) if common else 0.0


def percent(
    score: Callable[[str, str], float],
    answers: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
) -> float:
    """Mean over all questions of the best score against any of its references; no answer scores 0."""
    best = (max((score(answers[key], each) for each in texts), default=0.0) if key in answers else 0.0
            for key, texts in references.items())
    return 100 * sum(best) / len(references)
