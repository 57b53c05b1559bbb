"""How property tests are run."""

from hypothesis import settings

# By default a slow example fails, as one may be on a machine that does other work too.
settings.register_profile("without a deadline", deadline=None)
settings.load_profile("without a deadline")
