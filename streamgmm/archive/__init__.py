"""Archives of recordings: their events as Parquet files, one per recording, made on many machines."""
