"""Verdicts: what they rest on, that each can come out, and how often they are right."""

import math
import statistics

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from research_train import ClaimsError, ConfigError
from research_train.claims import Claim, judge, read_claims, seed_value


def claim(**changes):
    values = {
        "name": "it",
        "what": "Something.",
        "kind": "value",
        "metric": "test/accuracy",
        "published": 0.9,
        "tolerance": 0.02,
        "reason": "the paper's own spread",
    }
    return Claim.model_validate(values | changes)


NUMBERS = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30)


@settings(deadline=None)  # the first draw imports SciPy
@given(NUMBERS)
def test_the_interval_is_that_of_scipy(values):
    low, high = judge(claim(), values).interval
    spread = statistics.stdev(values) / math.sqrt(len(values))
    if spread == 0:
        assert low == high
        return
    expected = scipy.stats.t.interval(0.95, len(values) - 1, np.mean(values), spread)
    assert (low, high) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(
    ("values", "changes", "verdict"),
    [
        ([0.90, 0.91, 0.90], {}, "reproduced"),
        ([0.95, 0.951, 0.949], {"direction": "higher"}, "better"),
        ([0.95, 0.951, 0.949], {}, "not reproduced"),
        ([0.95, 0.951, 0.949], {"direction": "lower"}, "not reproduced"),
        ([0.85, 0.851, 0.849], {"direction": "lower"}, "better"),
        ([0.85, 0.851, 0.849], {"direction": "higher"}, "not reproduced"),
        ([0.91, 0.95, 0.93], {"direction": "higher"}, "reproduced"),  # perhaps better
        ([0.89, 0.85, 0.87], {"direction": "lower"}, "reproduced"),
        ([0.91, 0.95, 0.93], {"direction": "lower"}, "undecided"),
        ([0.85, 0.95, 0.90], {}, "undecided"),
        ([0.85, 0.95, 0.90], {"direction": "higher"}, "undecided"),
        ([0.92, 0.93], {}, "undecided"),
        ([0.85, 0.851, 0.849], {"known_gap": {"value": 0.85, "evidence": "x"}}, "known gap"),
        ([0.80, 0.801, 0.799], {"known_gap": {"value": 0.85, "evidence": "x"}}, "not reproduced"),
        ([0.90, 0.91, 0.90], {"known_gap": {"value": 0.85, "evidence": "x"}}, "reproduced"),
        ([0.9], {"seeds": 1, "tolerance": 0}, "reproduced"),
        ([0.9001], {"seeds": 1, "tolerance": 0}, "not reproduced"),
    ],
)
def test_every_verdict_can_come_out(values, changes, verdict):
    assert judge(claim(**changes), values).verdict == verdict


def test_a_change_of_the_published_number_turns_the_verdict():
    values = [0.90, 0.91, 0.90]
    assert judge(claim(), values).verdict == "reproduced"
    assert judge(claim(published=0.7), values).verdict == "not reproduced"


@pytest.mark.parametrize("seeds", [2, 5, 10])
def test_how_often_a_true_and_a_false_claim_are_called_reproduced(seeds):
    """Of 2,000 draws. True: published is the mean itself. False: it is six tolerances away."""
    generator = np.random.default_rng(0)
    verdicts = {0.9: [], 1.02: []}
    for _ in range(2000):
        values = generator.normal(0.9, 0.005, seeds).tolist()
        for published, found in verdicts.items():
            found.append(judge(claim(published=published), values).verdict)
    true, false = verdicts[0.9], verdicts[1.02]
    assert true.count("not reproduced") <= 0.005 * len(true)
    assert false.count("reproduced") == 0
    assert true.count("reproduced") >= {2: 0.2, 5: 0.98, 10: 0.999}[seeds] * len(true)


def test_the_interval_covers_the_mean_in_95_of_100():
    generator = np.random.default_rng(1)
    covered = 0
    for _ in range(4000):
        low, high = judge(claim(), generator.normal(0.9, 0.1, 5).tolist()).interval
        covered += low <= 0.9 <= high
    assert abs(covered / 4000 - 0.95) < 0.012  # 3.5 standard errors


def test_an_undecided_one_says_how_many_seeds_it_would_take():
    finding = judge(claim(), [0.885, 0.915, 0.90])
    assert finding.verdict == "undecided"
    generator = np.random.default_rng(2)
    more = generator.normal(0.9, statistics.stdev([0.885, 0.915, 0.90]), finding.seeds_needed)
    standardised = (more - more.mean()) / more.std(ddof=1) * 0.015 + 0.9
    assert judge(claim(), standardised.tolist()).verdict == "reproduced"


def test_each_kind_makes_its_number():
    groups = {"1": [], "2": [], "4": []}
    metrics = {"1": 3.0, "2": 6.0, "4": 12.0}
    feature = claim(kind="feature", overrides=groups)
    assert seed_value(feature, metrics) == 4
    assert seed_value(claim(kind="feature", overrides=groups, at="smallest"), metrics) == 1
    assert seed_value(claim(kind="fit", overrides=groups), metrics) == pytest.approx(3)
    logarithmic = claim(kind="fit", overrides=groups, logarithmic=True)
    assert seed_value(logarithmic, metrics) == pytest.approx(1)
    assert seed_value(claim(kind="ordering", overrides=groups), metrics) == 3
    ratio = claim(kind="ratio", overrides={"a": [], "b": []})
    assert seed_value(ratio, {"a": 3, "b": 2}) == 1.5
    assert judge(claim(kind="ordering", overrides=groups), [0.1, 0.11]).verdict == "reproduced"
    assert (
        judge(claim(kind="ordering", overrides=groups), [-0.1, -0.11]).verdict == "not reproduced"
    )
    assert judge(claim(kind="ordering", overrides=groups), [-0.1, 0.11]).verdict == "undecided"


GOOD = """source: Somebody, Table 1
claims:
  - name: it
    what: Something.
    kind: value
    metric: test/accuracy
    published: 0.9
    tolerance: 0.02
    reason: the paper's own spread
"""


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("published: 0.9", "published: high", ["line 7: claim it: published", "it is 'high'"]),
        (
            "published: 0.9",
            "publishd: 0.9",
            [
                "line 3: claim it: published: Field required",
                "line 7: claim it: publishd: there is no such key. Did you mean 'published'?",
            ],
        ),
        ("kind: value", "kind: median", ["line 5: claim it: kind", "'value'"]),
        ("tolerance: 0.02", "tolerance: 0", ["line 3: claim it: tolerance must be above 0"]),
        ("tolerance: 0.02", "tolerance: -1", ["line 8: claim it: tolerance", "-1"]),
        ("kind: value", "kind: ratio", ["claim it: a ratio is of 2 groups", "has 1"]),
        ("kind: value", "kind: fit\n    overrides: {a: [], b: []}", ["positions", "'a'"]),
        ("source: Somebody, Table 1\n", "", ["source: Field required"]),
        (GOOD[GOOD.index("claims:") :], "claims: []\n", ["line 2: claims:", "at least 1"]),
        ("  - name: it", "  - name: It is", ["claim It is: name: a name has lower case letters"]),
        (GOOD, "", ["claims.yaml", "is empty"]),
    ],
)
def test_a_wrong_file_says_the_claim_and_the_key(tmp_path, old, new, parts):
    (tmp_path / "claims.yaml").write_text(GOOD)
    assert read_claims(tmp_path).claims[0].seeds == 5
    (tmp_path / "claims.yaml").write_text(GOOD.replace(old, new))
    with pytest.raises((ClaimsError, ConfigError)) as error:
        read_claims(tmp_path)
    for part in ["claims.yaml", *parts]:
        assert part in str(error.value)


def test_what_cannot_be_judged_is_refused(tmp_path):
    with pytest.raises(ClaimsError, match="one seed gives no interval"):
        judge(claim(), [0.9])
    with pytest.raises(ClaimsError, match="no numbers"):
        judge(claim(), [0.9, math.nan])
    with pytest.raises(ClaimsError, match=r"claims\.yaml: there is none"):
        read_claims(tmp_path)
