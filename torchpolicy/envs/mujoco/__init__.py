"""Gymnasium's MuJoCo environments with all slots of a process on one model, equal to Gymnasium's to the last bit."""
