"""Pure functions of result rows: intervals, tables, curves, figures, verdicts, evidence on disk, pages. No torch."""
