"""Verdicts: what they rest on, that each can come out, and how often they are right."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from research_train import ClaimsError, ConfigError
from research_train.claims.claim import (
    Censored,
    Claim,
    judge,
    metric_of_run,
    read_claims,
    seed_value,
)
from research_train.claims.statistics import mean_interval


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


DECIMALS = st.integers(-9999, 9999)


@given(DECIMALS, st.integers(1, 999), st.sampled_from([1, 10, 100, 1000]), st.sampled_from([1, -1]))
def test_a_number_on_its_edge_is_within_it_whatever_its_last_bit(published, tolerance, unit, side):
    """Decimals as people type them: the edge belongs to the tolerance, the next decimal doesn't."""
    one = claim(published=published / unit, tolerance=tolerance / unit, seeds=1)
    edge = published + side * tolerance
    assert judge(one, [edge / unit]).verdict == "reproduced"
    assert judge(one, [(edge + side) / unit]).verdict == "not reproduced"
    known = claim(
        published=0,
        tolerance=tolerance / unit,
        seeds=1,
        known_gap={"value": (edge * 10 + 5 * 10**5) / unit, "evidence": "x"},
    )
    off = known.known_gap.value - side * tolerance / unit
    assert judge(known, [off]).verdict == "known gap"


@example(one=257, other=256, unit=1)  # a float32 as well, with fewer digits there
@example(one=8193, other=8192, unit=1)
@given(DECIMALS, DECIMALS, st.sampled_from([1, 10, 100, 1000]))
def test_bounds_ratios_and_steps_are_compared_as_decimals(one, other, unit):
    a, b = one / unit, other / unit
    for side, holds in {
        "at_least": one >= other,
        "above": one > other,
        "at_most": one <= other,
        "below": one < other,
    }.items():
        bound = claim_of_bound(**{side: b}, seeds=1)
        assert judge(bound, [a]).verdict == ("reproduced" if holds else "not reproduced")
    pair = {"overrides": {"a": ["k=1"], "b": ["k=2"]}, "seeds": 1}
    step = seed_value(claim(kind="ordering", **pair), {"a": a, "b": b})
    assert step == ((other - one) / unit,)
    upwards = judge(claim(kind="ordering", **pair), [step]).verdict
    assert upwards == ("reproduced" if other > one else "not reproduced")
    if other:
        ratio = claim(kind="ratio", published=one / other, tolerance=0, **pair)
        value = seed_value(ratio, {"a": a, "b": b})
        assert judge(ratio, [value]).verdict == "reproduced"
        quotient = claim(metric="a / b", published=one / other, tolerance=0, seeds=1)
        assert judge(quotient, [metric_of_run(quotient, {"a": a, "b": b})]).verdict == "reproduced"


def test_a_share_counted_in_float32_is_the_share_that_it_shows():
    assert judge(claim(published=0.7, tolerance=0.1, seeds=1), [0.800000011920929]).verdict == (
        "reproduced"
    )
    assert judge(claim(published=11173961, tolerance=0, seeds=1), [11173962]).verdict == (
        "not reproduced"
    )


def claim_of_bound(**changes):
    values = {"name": "it", "what": "Something.", "kind": "bound", "metric": "ratio"}
    return Claim.model_validate(values | changes)


@pytest.mark.parametrize(
    ("values", "changes", "verdict"),
    [
        ([0.900, 0.905, 0.899, 0.902, 0.904], {}, "reproduced"),
        ([0.950, 0.951, 0.949, 0.950, 0.952], {"direction": "higher"}, "better"),
        ([0.950, 0.951, 0.949, 0.950, 0.952], {}, "not reproduced"),
        ([0.950, 0.951, 0.949, 0.950, 0.952], {"direction": "lower"}, "not reproduced"),
        ([0.850, 0.851, 0.849, 0.850, 0.852], {"direction": "lower"}, "better"),
        ([0.850, 0.851, 0.849, 0.850, 0.852], {"direction": "higher"}, "not reproduced"),
        ([0.92, 0.95, 0.93, 0.94, 0.93], {"direction": "higher"}, "reproduced"),  # perhaps better
        ([0.88, 0.85, 0.87, 0.86, 0.87], {"direction": "lower"}, "reproduced"),
        ([0.92, 0.95, 0.93, 0.94, 0.93], {"direction": "lower"}, "undecided"),
        ([0.85, 0.95, 0.90], {}, "undecided"),
        ([0.85, 0.95, 0.90], {"direction": "higher"}, "undecided"),
        ([0.92, 0.93], {}, "undecided"),
        ([0.850, 0.851, 0.849], {"known_gap": {"value": 0.85, "evidence": "x"}}, "known gap"),
        ([0.80, 0.801, 0.799], {"known_gap": {"value": 0.85, "evidence": "x"}}, "not reproduced"),
        ([0.900, 0.901, 0.900], {"known_gap": {"value": 0.85, "evidence": "x"}}, "reproduced"),
        ([0.9], {"seeds": 1, "tolerance": 0}, "reproduced"),
        ([0.9001], {"seeds": 1, "tolerance": 0}, "not reproduced"),
    ],
)
def test_every_verdict_can_come_out(values, changes, verdict):
    assert judge(claim(**changes), values).verdict == verdict


@pytest.mark.parametrize(
    ("side", "bound", "verdict"),
    [
        ("at_least", 5, "reproduced"),
        ("above", 5, "reproduced"),
        ("at_least", 9, "not reproduced"),
        ("above", 9, "not reproduced"),
        ("at_most", 9, "reproduced"),
        ("below", 9, "reproduced"),
        ("at_most", 5, "not reproduced"),
        ("below", 5, "not reproduced"),
        *((side, 7.02, "undecided") for side in ("at_least", "above", "at_most", "below")),
    ],
)
def test_a_bound_holds_where_the_whole_interval_lies_on_its_side(side, bound, verdict):
    one = claim_of_bound(**{side: bound})
    assert (one.published, one.tolerance) == (bound, None)
    assert judge(one, [7.0, 7.1, 6.9, 7.05, 7.02]).verdict == verdict


def test_a_change_of_the_published_number_turns_the_verdict():
    values = [0.90, 0.901, 0.90, 0.902, 0.899]
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
            found.append(judge(claim(published=published, seeds=seeds), values).verdict)
    true, false = verdicts[0.9], verdicts[1.02]
    assert true.count("not reproduced") <= 0.005 * len(true)
    assert false.count("reproduced") == 0
    assert true.count("reproduced") >= {2: 0.2, 5: 0.85, 10: 0.97}[seeds] * len(true)


def test_a_plan_that_may_be_extended_gives_each_look_half_of_the_error():
    values = [0.90, 0.905, 0.899, 0.902, 0.904]
    (low, high), (far_low, far_high) = (
        judge(claim(**more), values).interval for more in ({}, {"extend_to": 10})
    )
    assert far_low < low and high < far_high
    assert (far_low, far_high) == pytest.approx(mean_interval(values, 0.0125))
    assert judge(claim(), values).notes == ()
    assert judge(claim(extend_to=10), values).notes == ()
    for plan, seeds in ((claim(), " 5 seeds"), (claim(extend_to=10), " 5 or 10 seeds")):
        [note] = judge(plan, values[:4]).notes
        assert note.endswith(seeds)


def test_an_undecided_finding_gives_the_number_of_seeds_that_would_decide():
    values = [0.88, 0.92, 0.90, 0.91, 0.89]
    finding = judge(claim(), values)
    assert finding.verdict == "undecided"

    def verdict(count):  # of as many with this mean and spread
        more = np.random.default_rng(2).normal(size=count // 2)
        even = np.concatenate([more, -more, [0.0] * (count % 2)])
        scaled = even / even.std(ddof=1) * statistics.stdev(values) + 0.9
        return judge(claim(seeds=count), scaled.tolist()).verdict

    assert verdict(finding.seeds_needed) == "reproduced"
    assert verdict(finding.seeds_needed - 1) == "undecided"


def test_seeds_that_change_nothing_count_as_one_value():
    finding = judge(claim(), [0.9] * 5)
    assert (finding.n, finding.half_width, finding.verdict) == (1, None, "reproduced")
    [note] = finding.notes
    assert note.endswith("n = 1")
    assert judge(claim(), [0.8] * 5).verdict == "not reproduced"
    nearly = judge(claim(), [0.9, 0.9 + 1e-16, 0.9 - 1e-16, 0.9, 0.9])
    assert nearly.n == 1
    peak = claim(kind="feature", overrides={"1": ["k=1"], "2": ["k=2"]}, published=1, tolerance=0.5)
    finding = judge(peak, [1.0] * 5)  # a position has few values: the runs may differ
    assert (finding.n, finding.verdict, finding.notes) == (5, "reproduced", ("all 5 seeds agree",))
    steps = judge(THREE, [(0.1, 0.2)] * 5)
    assert (steps.n, steps.verdict) == (1, "reproduced")
    assert judge(THREE, [(0.1, 0.0)] * 5).verdict == "not reproduced"


def test_a_seed_apart_and_skewed_seeds_are_noted():
    assert judge(claim(), [0.91, 0.9, 0.905, 0.902, 0.5]).notes == ("one seed apart",)
    skewed = [0.9, 0.901, 0.902, 0.903, 0.905, 0.91, 0.92, 0.95, 0.96, 1.0, 0.9, 0.9]
    assert judge(claim(seeds=12), skewed).notes == ("skewed",)
    assert judge(claim(), [0.91, 0.9, 0.905, 0.902, 0.899]).notes == ()


THREE = claim(kind="ordering", overrides={"a": ["k=1"], "b": ["k=2"], "c": ["k=3"]})


def test_an_ordering_looks_at_every_step_and_shows_the_weakest():
    up = [(0.10, 0.02), (0.11, 0.021), (0.09, 0.015), (0.10, 0.026), (0.12, 0.018)]
    finding = judge(THREE, up)
    assert finding.verdict == "reproduced"
    [note] = finding.notes
    assert note.endswith("b to c")
    assert finding.values == [0.02, 0.021, 0.015, 0.026, 0.018]
    assert finding.mean == pytest.approx(0.02) and finding.interval[0] > 0
    assert list(finding.steps) == ["a to b", "b to c"]
    down = judge(THREE, [(one, -other) for one, other in up])
    assert down.verdict == "not reproduced" and down.interval[1] < 0
    mixed = judge(
        THREE,
        [(one, other * sign) for (one, other), sign in zip(up, [1, -1, 1, 1, -1], strict=True)],
    )
    assert mixed.verdict == "undecided" and mixed.interval[0] < 0 < mixed.interval[1]
    assert mixed.seeds_needed > 5
    # Of an older results.json only the smallest steps are known: they show an order, never refute.
    assert judge(THREE, [0.1, 0.11, 0.1, 0.09, 0.1]).verdict == "reproduced"
    assert judge(THREE, [-0.1, -0.11, -0.1, -0.09, -0.1]).verdict == "undecided"
    with pytest.raises(ClaimsError, match="2 steps"):
        judge(THREE, [(0.1, 0.2, 0.3)] * 2)


def test_more_seeds_of_a_true_order_are_never_more_wrong():
    """Three groups 0.01 apart whose seeds spread by 0.02: the smallest step's mean is below 0."""
    generator = np.random.default_rng(3)
    shares = []
    for seeds in (5, 50):
        found = []
        for _ in range(300):
            groups = generator.normal([0.0, 0.01, 0.02], 0.02, (seeds, 3))
            values = [
                seed_value(THREE, dict(zip("abc", row, strict=True))) for row in groups.tolist()
            ]
            found.append(judge(THREE, values).verdict)
        shares.append((found.count("not reproduced") / 300, found.count("reproduced") / 300))
    assert max(wrong for wrong, _ in shares) <= 0.01
    assert shares[1][1] > shares[0][1]


def test_each_kind_makes_its_number():
    groups = {"1": ["k=1"], "2": ["k=2"], "4": ["k=4"]}
    metrics = {"1": 3.0, "2": 6.0, "4": 12.0}
    feature = claim(kind="feature", overrides=groups)
    assert seed_value(feature, metrics) == 4
    assert seed_value(claim(kind="feature", overrides=groups, at="smallest"), metrics) == 1
    assert seed_value(claim(kind="fit", overrides=groups), metrics) == pytest.approx(3)
    logarithmic = claim(kind="fit", overrides=groups, logarithmic=True)
    assert seed_value(logarithmic, metrics) == pytest.approx(1)
    assert seed_value(claim(kind="ordering", overrides=groups), metrics) == (3, 6)
    ratio = claim(kind="ratio", overrides={"a": ["k=1"], "b": ["k=2"]})
    assert seed_value(ratio, {"a": 3, "b": 2}) == 1.5
    assert math.isnan(seed_value(ratio, {"a": 3, "b": 0}))


def test_a_metric_may_be_a_quotient_or_a_difference_of_one_run():
    delay = claim_of_bound(metric="test/steps_to_99 / train/steps_to_99", at_least=5)
    assert delay.metrics == ["test/steps_to_99", "train/steps_to_99"]
    run = {"test/steps_to_99": 7600.0, "train/steps_to_99": 800.0}
    assert metric_of_run(delay, run) == 9.5
    assert metric_of_run(claim_of_bound(metric="a - b", above=0), {"a": 0.3, "b": 0.1}) == 0.2
    with pytest.raises(ClaimsError, match="division by zero"):
        metric_of_run(delay, {**run, "train/steps_to_99": 0.0})
    with pytest.raises(ClaimsError, match=r"test/steps_to_99 .* finite"):
        metric_of_run(delay, {**run, "test/steps_to_99": None})


def test_a_metric_never_reached_is_a_bound_and_never_dropped():
    late = claim_of_bound(metric="steps_to_99", at_least=4000, censored_at=10000)
    never = metric_of_run(late, {"steps_to_99": None})
    assert never == Censored(low=10000)
    finding = judge(late, [7000.0, 8000.0, never, 7500.0, never])
    assert finding.verdict == "reproduced" and finding.interval[1] == math.inf
    [note] = finding.notes
    assert note.startswith("2 of 5 ") and "10,000 steps" in note
    assert judge(late, [never] * 5).verdict == "reproduced"
    below = claim_of_bound(metric="steps_to_99", at_most=9000, censored_at=10000)
    assert judge(below, [7000.0, 8000.0, never, 7500.0, never]).verdict == "undecided"
    assert judge(below, [never] * 5).verdict == "not reproduced"
    value = claim(published=5000, tolerance=100, censored_at="steps", metric="steps_to_99")
    assert metric_of_run(value, {"steps_to_99": None}, 6000) == Censored(low=6000)
    assert judge(value, [4990.0, 5010.0, 5005.0, 4995.0, Censored(low=6000)]).verdict == "undecided"
    alone = claim_of_bound(metric="steps_to_99", above=9000, censored_at=10000, seeds=1)
    assert judge(alone, [never]).notes == ("not within 10,000 steps",)
    assert judge(alone, [never]).verdict == "reproduced"


def test_not_within_the_budget_is_a_bound_at_the_budget():
    one = claim_of_bound(metric="test/steps_to_99", at_least=10000, censored_at=10000, seeds=1)
    assert judge(one, [metric_of_run(one, {"test/steps_to_99": None})]).verdict == "reproduced"
    assert judge(one, [9990.0]).verdict == "not reproduced"


def test_a_censored_metric_becomes_a_range_in_each_kind_of_claim():
    never = Censored(low=100.0)
    two = {"overrides": {"1": ["k=1"], "2": ["k=2"]}}
    ratio = claim(kind="ratio", **two)
    assert seed_value(ratio, {"1": never, "2": 10.0}) == Censored(10, math.inf)
    assert seed_value(ratio, {"1": 10.0, "2": never}) == Censored(0, 0.1)
    assert seed_value(ratio, {"1": -10.0, "2": never}) == Censored(-0.1, 0)
    assert seed_value(ratio, {"1": never, "2": never}) == Censored(0, math.inf)
    assert seed_value(ratio, {"1": never, "2": -10.0}) == Censored(-math.inf, -10)
    ordering = claim(kind="ordering", seeds=1, **two)
    assert seed_value(ordering, {"1": 60.0, "2": never}) == (Censored(40, math.inf),)
    assert judge(ordering, [(Censored(40, math.inf),)]).verdict == "reproduced"
    assert judge(ordering, [(Censored(-math.inf, -40),)]).verdict == "not reproduced"
    assert judge(ordering, [(Censored(),)]).verdict == "undecided"
    five = claim(kind="ordering", **two)
    rows = [(40.0,), (45.0,), (Censored(40, math.inf),), (42.0,), (41.0,)]
    assert judge(five, rows).verdict == "reproduced"
    assert judge(five, [(Censored(),), *rows[1:]]).verdict == "undecided"
    feature = claim(kind="feature", **two)
    assert seed_value(feature, {"1": never, "2": 50.0}) == 1
    assert seed_value(feature, {"1": never, "2": never}) == Censored(1, 2)
    assert seed_value(claim(kind="feature", at="smallest", **two), {"1": never, "2": 50.0}) == 2
    fit = claim(kind="fit", **two)
    assert seed_value(fit, {"1": 40.0, "2": never}) == Censored(60, math.inf)
    assert seed_value(fit, {"1": never, "2": 40.0}) == Censored(-math.inf, -60)
    logarithmic = claim(kind="fit", logarithmic=True, **two)
    assert seed_value(logarithmic, {"1": 1.0, "2": never}).high == math.inf


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
        ("published: 0.9", "published: high", ["line 7: claim it: published", "'high'"]),
        (
            "published: 0.9",
            "publishd: 0.9",
            [
                "line 3: claim it: published: ",
                "line 7: claim it: publishd: ",
                "'published'?",
            ],
        ),
        ("kind: value", "kind: median", ["line 5: claim it: kind", "'value'"]),
        ("tolerance: 0.02", "tolerance: 0", ["line 3: claim it: tolerance", "above 0"]),
        ("tolerance: 0.02", "tolerance: -1", ["line 8: claim it: tolerance", "-1"]),
        ("kind: value", "kind: ratio", ["claim it: ", "ratio", "2 groups", "1"]),
        ("kind: value", "kind: fit\n    overrides: {a: [], b: []}", ["positions", "'a'"]),
        ("source: Somebody, Table 1\n", "", ["source: "]),
        (GOOD[GOOD.index("claims:") :], "claims: []\n", ["line 2: claims:", "at least 1"]),
        ("  - name: it", "  - name: It is", ["claim It is: name: ", "lower-case"]),
        (GOOD, "", ["claims.yaml", "is empty"]),
        (
            "reason:",
            "overrides: {a: [model=mlp, seed=3]}\n    reason:",
            ["line 3: claim it: ", "'seed=3'", "seeds 0 to 4"],
        ),
        ("reason:", "overrides: {a: [k=1, k=2]}\n    reason:", ["claim it", "'k'", "twice"]),
        ("reason:", "overrides: {a: [o.k=1, o=1]}\n    reason:", ["'o' and 'o.k' overlap"]),
        ("reason:", "overrides: {a: [fast]}\n    reason:", ["'fast'", "key=value"]),
        ("reason:", "extend_to: 5\n    reason:", ["claim it: extend_to is 5", "seeds is 5"]),
        ("reason:", "extend_to: 9\n    seeds: 1\n    reason:", ["extend_to is 9", "seeds is 1"]),
        ("reason:", "at_least: 1\n    reason:", ["value has no at_least", "bound"]),
        ("reason:", "logarithmic: true\n    reason:", ["value has no logarithmic"]),
        ("kind: value", "kind: bound\n    above: 1", ["bound has no tolerance"]),
        ("metric: test/accuracy", "metric: a / b / c", ["claim it: ", "'a / b / c'"]),
        ("metric: test/accuracy", "metric: a * b", ["claim it: ", "'a * b'", "one / other"]),
        ("metric: test/accuracy", "metric: a / a", ["claim it: ", "always 1"]),
        ("reason:", "awaiting: {gpu_gb: 0, hours: 1, measured: x}\n    reason:", ["gpu_gb", "0"]),
        ("reason:", "awaiting: {gpu_gb: 16, hours: 1}\n    reason:", ["awaiting.measured"]),
        ("reason:", "scale: ''\n    reason:", ["claim it: scale"]),
        (
            "kind: value\n    metric: test/accuracy\n    published: 0.9\n    tolerance: 0.02\n",
            "kind: bound\n    metric: a\n    published: 0.9\n    at_least: 1\n",
            ["claim it: ", "published 0.9", "at least 1"],
        ),
        ("reason:", "censored_at: never\n    reason:", ["censored_at"]),
        (
            "    metric: test/accuracy\n    published: 0.9\n    tolerance: 0.02\n"
            "    reason: the paper's own spread\n",
            "    metric: a\n",
            ["published: ", "tolerance: ", "reason: "],
        ),
        (
            "kind: value\n    metric: test/accuracy\n    published: 0.9\n    tolerance: 0.02\n",
            "kind: bound\n    metric: a\n    above: 1\n    below: 2\n",
            ["at_least, at_most, above, below", "above and below"],
        ),
        (
            "kind: value\n    metric: test/accuracy\n    published: 0.9\n    tolerance: 0.02\n",
            "kind: bound\n    metric: a\n",
            ["at_least, at_most, above, below", "none"],
        ),
    ],
)
def test_an_invalid_claims_file_is_refused_with_line_claim_and_key(tmp_path, old, new, parts):
    (tmp_path / "claims.yaml").write_text(GOOD)
    assert read_claims(tmp_path).claims[0].seeds == 5
    (tmp_path / "claims.yaml").write_text(GOOD.replace(old, new))
    with pytest.raises((ClaimsError, ConfigError)) as error:
        read_claims(tmp_path)
    for part in ["claims.yaml", *parts]:
        assert part in str(error.value)


def test_values_that_cannot_be_judged_are_refused(tmp_path):
    with pytest.raises(ClaimsError, match="one seed"):
        judge(claim(), [0.9])
    with pytest.raises(ClaimsError, match=r"it: .*nan"):
        judge(claim(), [0.9, math.nan])
    assert judge(claim(), [5e-324, 0.0, 0.0, 0.0, 0.0]).verdict == "not reproduced"
    with pytest.raises(ClaimsError, match="too large"):
        judge(claim(), [1.7e308, 1.7e308, 1.7e308, 1.7e308, 1.6e308])
    with pytest.raises(ClaimsError, match=r"claims\.yaml"):
        read_claims(tmp_path)


@pytest.mark.parametrize("published", [257 / 256, 513 / 1024, 0.8, 0.9375, 244 / 300])
def test_an_exact_metric_of_few_digits_is_judged_by_itself(published):
    one = claim(published=published, tolerance=0, seeds=1)
    assert judge(one, [published]).verdict == "reproduced"


def test_a_metric_that_was_a_float32_is_judged_by_the_digits_it_had():
    share = claim(published=0.8, tolerance=0, seeds=1)
    assert judge(share, [0.800000011920929]).verdict == "reproduced"
