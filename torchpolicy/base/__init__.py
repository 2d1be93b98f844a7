"""What everything else stands on: checks, seeds, processes, devices and files, which know no policy and no search."""
