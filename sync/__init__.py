"""Keeps an Aito predictive database fed from BigQuery.

The way through: main.py -> entry -> app -> pipeline -> the source and target adapters.
"""

__version__ = "0.2.0"
