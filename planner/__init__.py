"""Capacity planning for self-hosted language models."""
