"""Gymnasium's classic environments on tensors, one file each."""
