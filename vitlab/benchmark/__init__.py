"""How fast training and inference are here, and how much memory they take: models by themselves, and whole scripts."""
