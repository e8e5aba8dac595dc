"""What ``sidechop install`` puts in place: one module for each target."""
