"""What all studies share: settings, plans, and the way from the command line to the evidence."""
