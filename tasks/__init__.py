"""The steps of the work: sources, engines, sampling, labelling, views, publishing, reporting, the run store."""
