"""Weights as flat vectors: reading and writing a module's, drawing populations of them, weighing and moving them."""
