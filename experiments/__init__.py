"""Programs that make recorded runs: `python -m experiments.NAME runs/FOLDER`."""
