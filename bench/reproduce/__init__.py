"""Published experiments, run as they were published: recipe -> trials of a normal run -> published against measured."""
