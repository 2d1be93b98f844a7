"""Training, one generation after another: the plan, scoring, diagnosis, callbacks and the trainer."""
