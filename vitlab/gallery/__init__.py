"""Weights opened for looking at: any checkpoint as a subject, what it makes of images, figures and rows of both."""
