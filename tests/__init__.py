"""The tests mirror `src/opentrail`; being packages, they may share the fakes of the ports."""
