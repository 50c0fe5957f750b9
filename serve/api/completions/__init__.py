"""Text that goes on, or fills a gap: Completions, and the infill of editors."""
