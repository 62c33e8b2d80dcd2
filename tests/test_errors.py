"""What stops a run is said in a sentence."""

from hpmkd_edge.errors import nearest


def test_numbers_inside_names_are_ordered_as_numbers():
    """A ladder of sizes is read from the smallest on."""
    assert nearest("12x1", ["16x1", "8x2", "8x1"]).endswith("Known: 8x1, 8x2, 16x1.")
