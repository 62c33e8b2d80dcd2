"""What is kept between runs, as text."""

from hpmkd_edge.plan.memory import PredictionError, Summary
from hpmkd_edge.report.memory import summary_as_text
from hpmkd_edge.store.index import Usage


def summary(**changes):
    kept = {
        "folder": "/cache",
        "usage": (Usage(kind="logits", files=3, bytes=2_500_000),),
        "most_bytes": 20_000_000_000,
        "trials": {"adult": 8, "digits": 2},
        "prediction_error": PredictionError(mean=0.0123, predictions=4),
    }
    return Summary(**{**kept, **changes})


def test_files_trials_and_predictions_are_told():
    """Each with its count; the error in points."""
    text = summary_as_text(summary(), 1234)

    assert "/cache: 2.5 MB of at most 20,000" in text
    assert "logits: 3 files, 2.5 MB" in text
    assert "trials: 10" in text
    assert "predictions: 4, wrong by 1.23 points of retention on average" in text
    assert "measurements: 1,234" in text


def test_an_empty_memory_is_said_to_be_empty():
    """No mean of nothing."""
    text = summary_as_text(summary(usage=(), trials={}, prediction_error=PredictionError(mean=None, predictions=0)), 0)

    assert "predictions: none whose outcome is known" in text
