"""The parts of a policy: encoders of observations, the normaliser, layers, and heads that make actions."""
