"""One module per study of the paper; each is run with `python -m experiments.<name>`."""
