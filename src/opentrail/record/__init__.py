"""From a call to its evidence: records, log files, digests. Pure: clock and ids are passed in; knows no ledger."""
