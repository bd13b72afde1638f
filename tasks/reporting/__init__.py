"""What a run tells people: the live panel, the funnel, pass rates beside the blind baseline, the report."""
