"""The paper's claims as statistics: one interval, one p, one rule that decides, everywhere."""
