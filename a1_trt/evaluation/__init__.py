"""Accuracy on data sets: resumable runs, one line a sample."""
