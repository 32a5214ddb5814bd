"""The report of a bulk run: files of its rows, a summary, and a picture."""
