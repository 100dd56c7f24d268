"""CodePipeline's engine: declarations, states and what follows from what. Pure: no clock, disk, socket or log."""
