"""What policies are made of: encoders of observations, normaliser, layers, heads that make actions."""
