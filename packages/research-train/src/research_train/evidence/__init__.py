"""Collect the runs behind each claim: find them, train them, or accept earlier ones by replay."""
