"""Claims that the paper `tiny` can make, and the README that `reproduce` writes them into."""

SOURCE = "source: Nobody, Table 1\nclaims:\n"
POINTS = """  - name: points
    what: Accuracy on the points.
    kind: value
    metric: test/accuracy
    published: 0.9
    tolerance: 0.3
    reason: wide, for a test
    seeds: 2
"""
ANSWER = """  - name: answer
    what: The answer of the second experiment.
    kind: value
    metric: answer
    published: 7
    tolerance: 0
    reason: nothing is random
    experiment: second
    overrides: {seven: [answer=7]}
    seeds: 1
"""
MARKED = "# Tiny\n\n<!-- claims: written by `reproduce` -->\n<!-- /claims -->\n\nMore.\n"
AWAITING = """  - name: large
    what: The answer of a model that needs a GPU.
    kind: value
    metric: answer
    published: 9
    tolerance: 0
    reason: nothing is random
    experiment: second
    overrides: {nine: [answer=9]}
    seeds: 1
    awaiting: {gpu_gb: 100000, hours: 6.5, measured: 500 steps on such a GPU}
    page: 7
    quote: we reach 9
"""
