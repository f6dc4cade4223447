"""The files users open: built, recalculated and checked without Excel."""
