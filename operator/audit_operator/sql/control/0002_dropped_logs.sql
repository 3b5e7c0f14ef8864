-- A log that its owner had dropped. The row stays, so that neither the shard's id nor the tenant's is ever given again.
ALTER TABLE {schema}.shard ADD COLUMN dropped_at timestamptz CHECK (dropped_at IS NULL OR isolation = 'Dedicated');
