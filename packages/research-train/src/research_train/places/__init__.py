"""Run trainings elsewhere: a place starts, looks at and stops what it is given."""
