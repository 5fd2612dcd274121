"""What is kept: the record schema, the journal, loading into pandas, and the statistics that records are read with."""
