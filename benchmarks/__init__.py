"""Times this function against other ways to bring the same rows from BigQuery to Aito.

See README.md.
"""
