"""What only the notebooks use: checks, figures and panels.

What one chapter alone uses is in a file of that chapter.
"""
