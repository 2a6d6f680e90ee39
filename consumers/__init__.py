"""Long-running loops, one file each: sequencer, followers."""
