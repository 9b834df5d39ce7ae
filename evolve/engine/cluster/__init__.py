"""Workers on Ray. Only the files of this folder import ray."""
