"""Engines turn batches of audio chunks into words. Each is a plug-in behind `engines.base.Engine`."""
