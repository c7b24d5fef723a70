"""The outside world on a laptop, over real protocols. Imports none of our code."""
