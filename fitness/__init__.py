"""What scores genomes: objects that satisfy `evolve.score.Fitness`. Knows no operator."""
