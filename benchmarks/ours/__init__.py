"""Our side of each measurement: programs that print one JSON object of numbers."""
