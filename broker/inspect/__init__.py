"""Looking at a data directory without changing it: what `kwire dump` shows and `kwire check` judges.

Files are opened for reading only and no lock is taken. What is damaged is told, with its place, and passed over.
"""
