"""Foundations that every room uses: files, locks, errors, ragged arrays, randomness. They import no other room."""
