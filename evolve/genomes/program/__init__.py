"""Source code as a genome: files with evolvable regions, the rest protected."""
